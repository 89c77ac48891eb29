"""A click, a scribble or a box answered with the outline of the lesion it means.

One small network looks at a square around the lesion, as large as fits it, with the prompts and
the mask so far as further channels: `prompts` says what it sees, `answering` asks it on one slice,
`lesion` carries the answer through the slices of a lesion, `simulated` is the reader that it learns
from, `learning` the training.
"""
