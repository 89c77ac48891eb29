"""Images as a model and a reader need them: preprocessing, breast region, enhancement, mask edits.

Arrays in, arrays out.
"""
