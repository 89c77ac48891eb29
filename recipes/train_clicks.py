"""Train the click network that comes with the package: from the starter's weights.

    python recipes/train_clicks.py --output first --steps 4200
    python recipes/train_clicks.py --output work --base first/model --steps 4000 --rate 1.2e-3

Learns from the windows of I-SPY's training patients and from slices of phantoms, as the starter
did. One core does a step in about half a second where the processor computes in bfloat16, which is
used there. Interrupted, the same command goes on; `--install` copies the result into the package.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from queue import Queue
from threading import Thread

import numpy as np
import torch
from ispy import IspySlice, late, read_slices, smoothed
from phantoms import PhantomSlab, make_phantom

from napari_breastseg.clicks.learning import SIDES, Example, ExampleSlice, example, sitting
from napari_breastseg.clicks.lesion import ClickReader
from napari_breastseg.clicks.prompts import CHANNELS, SIDE, UNKNOWN_MM, Prompts
from napari_breastseg.clicks.simulated import as_drawn, click_on_largest_error
from napari_breastseg.core.atomic import write_text
from napari_breastseg.core.overlap import dice
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam
from napari_breastseg.imaging.preprocessing import available_roles, prepare
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import Checkpoint, ModelInfo
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.predict.prediction import predict
from napari_breastseg.training.loss import segmentation_loss
from napari_breastseg.training.steps import average_into

BATCH, AVERAGING = 24, 0.998
CLICKS = (0, 1, 2, 3)
CLICK_SHARES = (0.4, 0.3, 0.2, 0.1)
"""How many clicks on its own answers come before the one that is learned from."""

PHANTOMS, PHANTOM_SHARE = 420, 0.25
SAVE_EVERY, LOOK_EVERY = 100, 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("clicks-work"))
    parser.add_argument("--phantoms", type=Path, help="folder with the starter's phantoms")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--base", type=Path, default=checkpoint.STARTER, help="what it begins from")
    parser.add_argument("--install", action="store_true", help="copy the result into the package")
    parser.add_argument("--card", action="store_true", help="write the model card anew")
    arguments = parser.parse_args()
    work = arguments.output
    if arguments.card:
        info = checkpoint.read_info(checkpoint.CLICKS)
        write_text(checkpoint.CLICKS / checkpoint.CARD_FILE, card(info))
        return
    if arguments.install:
        install(work / "model")
        return
    root = Path(__file__).resolve().parent.parent
    data = Path(os.environ.get("BREASTSEG_TEST_DATA", root.parent / "shared" / "data"))
    if not (data / "ispy_slices").is_dir():
        sys.exit(f"Expected the folder ispy_slices in {data}. Set BREASTSEG_TEST_DATA.")
    work.mkdir(parents=True, exist_ok=True)
    starter = checkpoint.load(checkpoint.STARTER)
    slices = read_slices(data / "ispy_slices")
    patients = examples_of(starter, slices["train"], arguments.phantoms or work / "phantoms", work)
    base = widened(checkpoint.load(arguments.base))
    train(base, patients, slices["validation"], work, arguments.steps, arguments.rate)


def widened(base: Checkpoint) -> Checkpoint:
    """A network with the channels of prompts; of those it did not have it makes nothing yet."""
    spec = base.spec.model_copy(
        update={"prompts": CHANNELS, "patch_size": (SIDE, SIDE), "scales": (1.0,)}
    )
    network = build(spec)
    weights = dict(base.network.state_dict())
    (first,) = (name for name in weights if name.startswith("stem") and "conv_0.conv.w" in name)
    wider = torch.zeros_like(network.state_dict()[first])
    wider[:, : weights[first].shape[1]] = weights[first]
    network.load_state_dict({**weights, first: wider})
    info = ModelInfo(
        name="clicks",
        spec=spec,
        training=base.info.training.model_copy(update={"steps": 0}),
        parent=base.info.identity,
        licence=base.info.licence,
    )
    return replace(base, network=network, info=info, card="")


def examples_of(
    starter: Checkpoint, real: Sequence[IspySlice], phantoms: Path, work: Path
) -> list[list[ExampleSlice]]:
    """Slices to learn from, patient by patient; kept in the work folder once made."""
    kept = work / "examples.pt"
    if kept.is_file():
        return torch.load(kept, weights_only=False)  # our own file
    patients: dict[str, list[ExampleSlice]] = {}
    for one in [*smoothed(real), *late(smoothed(real))]:
        exam, label = one.exam(), one.label_map()
        fine = replace(one, is_halved=False).label_map()
        made = slice_of(starter, exam, [label.data[0]], 0, one.patient_id, 2 * one.mm_per_px)
        truth = torch.from_numpy(fine.tumor[0].astype(np.float16))
        patients.setdefault(one.patient_id, []).append(replace(made, truth=truth))
        if not one.is_late:  # and with fine pixels, of a size that is not told
            exam = replace(one, is_halved=False).exam()
            made = slice_of(starter, exam, fine.data, 0, one.patient_id, UNKNOWN_MM)
            patients[one.patient_id].append(made)
    print(len(patients), "patients", flush=True)
    groups = max(1, round(len(patients) * PHANTOM_SHARE / (1 - PHANTOM_SHARE)))
    for number in range(PHANTOMS):
        slab = make_phantom(number, phantoms, f"phantoms {number % groups}", 3)
        patients.setdefault(slab.patient_id, []).extend(phantom_slices(starter, slab))
    everyone = list(patients.values())
    torch.save(everyone, kept)
    return everyone


def phantom_slices(starter: Checkpoint, slab: PhantomSlab) -> Iterator[ExampleSlice]:
    """Its slices, each with the truth of the one beside it."""
    exam, truth = slab.exam(), slab.label_map()
    spacing = exam.grid.spacing_mm
    assert spacing is not None
    draft = drain(predict(starter, exam, device="cpu")).probability.data
    for z in range(len(truth.data)):
        yield slice_of(starter, exam, truth.data == 1, z, slab.patient_id, spacing[1], draft[z])


def slice_of(
    starter: Checkpoint,
    exam: Exam,
    truth: Sequence[np.ndarray],
    z: int,
    patient: str,
    pixel_mm: float,
    draft: np.ndarray | None = None,
) -> ExampleSlice:
    """One slice of an exam as it is learned from."""
    roles = tuple(r for r in available_roles(exam) if r in ("pre", "post1", "last", "least"))
    prepared = prepare(exam, roles, percentiles=starter.spec.percentiles)
    if draft is None:
        probability = drain(predict(starter, exam, device="cpu")).probability
        assert probability is not None
        draft = probability.data[z]
    near = [n for n in (z - 1, z + 1) if 0 <= n < len(truth)]
    neighbor = truth[near[0]] if near else None
    return ExampleSlice(
        patient,
        prepared.phases[:, z].half(),
        roles,
        torch.from_numpy(np.asarray(truth[z], np.float16)),
        torch.from_numpy(np.asarray(draft, np.float16)),
        None if neighbor is None else torch.from_numpy(np.asarray(neighbor, np.float16)),
        pixel_mm,
    )


Batch = tuple[list[Example], int, np.random.Generator]


def batch_of(patients: Sequence[Sequence[ExampleSlice]], spec: ModelSpec, step: int) -> Batch:
    """A step's examples, how many clicks come before the last, and what draws these."""
    rng = np.random.default_rng((0, step))
    side = int(rng.choice(list(SIDES), p=list(SIDES.values())))
    chosen = [patients[int(rng.integers(len(patients)))] for _ in range(BATCH)]
    examples = [example(slices, spec, rng, side) for slices in chosen]
    return examples, int(rng.choice(CLICKS, p=CLICK_SHARES)), rng


def train(
    base: Checkpoint,
    patients: Sequence[Sequence[ExampleSlice]],
    validation: Sequence[IspySlice],
    work: Path,
    steps: int,
    highest: float,
) -> None:
    """The training loop; its state is one file, replaced whole."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    network, spec = base.network.to(memory_format=torch.channels_last), base.spec
    averaged = build(spec).to(memory_format=torch.channels_last)
    averaged.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), lr=highest, weight_decay=1e-3)
    step, losses = 0, []
    state = work / "state.pt"
    if state.is_file():
        kept = torch.load(state, weights_only=True)
        network.load_state_dict(kept["network"])
        averaged.load_state_dict(kept["averaged"])
        optimizer.load_state_dict(kept["optimizer"])
        step = kept["step"]
    queue: Queue[Batch] = Queue(3)

    def fill() -> None:
        for number in range(step, steps):
            queue.put(batch_of(patients, spec, number))

    Thread(target=fill, daemon=True).start()
    started = time.process_time()
    network.train()
    while step < steps:
        rate = highest * min(1, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = float(max(rate, 1e-5))
        examples, clicks, rng = queue.get()
        averaged.eval()
        with torch.autocast("cpu", torch.bfloat16):
            inputs, truth = sitting(averaged, examples, clicks, rng)
            logits = network(inputs.contiguous(memory_format=torch.channels_last))
        loss = segmentation_loss(logits.float(), truth, dice_over_batch=False)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        average_into(averaged, network, AVERAGING, step)
        losses.append(float(loss.detach()))
        if step % 50 == 0:
            spent = (time.process_time() - started) / len(losses)
            recent = np.mean(losses[-50:])
            print(f"{step}/{steps} loss {recent:.4f}, {spent:.2f} core-s a step", flush=True)
        if step % SAVE_EVERY == 0:
            part = work / "state.part"
            parts = {"network": network, "averaged": averaged, "optimizer": optimizer}
            states = {name: one.state_dict() for name, one in parts.items()}
            torch.save({**states, "step": step}, part)
            part.replace(state)
        if step % LOOK_EVERY == 0 or step == steps:
            training = base.info.training.model_copy(update={"steps": step})
            info = base.info.model_copy(update={"training": training})
            checkpoint.save(work / "model", averaged.state_dict(), info)
            print(step, json.dumps(look(checkpoint.load(work / "model"), validation)), flush=True)


PHASES = {
    "all": ("pre", "post1", "post2"),
    "pair": ("pre", "post1"),
    "post": ("post1",),
    "drawn": ("post1",),
}


def look(model: Checkpoint, validation: Sequence[IspySlice]) -> dict[str, list[float]]:
    """Mean Dice over validation patients after 1, 2, 3 and 5 clicks from nothing.

    "drawn" is against an outline like a hand's, on fine pixels of unknown size.
    """
    found = {}
    for name, roles in PHASES.items():
        dices: dict[str, list[list[float]]] = {}
        for one in validation[::2]:
            is_drawn = name == "drawn"
            shown = replace(one, roles=roles, is_halved=not is_drawn, smooth_px=float(is_drawn))
            truth = shown.label_map().tumor
            truth = as_drawn(truth[0])[None] if is_drawn else truth
            reader = ClickReader(model, shown.exam())
            mask, prompts, row = np.zeros_like(truth[0]), Prompts(only_enhancing=not is_drawn), []
            for _ in range(5):
                said = click_on_largest_error(mask, truth[0])
                if said is not None:
                    prompts = prompts.with_click(*said)
                    mask = reader.answer(0, prompts, mask).mask
                row.append(dice(mask, truth[0]))
            dices.setdefault(one.patient_id, []).append(row)
        mean = np.mean([np.mean(rows, 0) for rows in dices.values()], 0)
        found[name] = [round(float(mean[n - 1]), 3) for n in (1, 2, 3, 5)]
    return found


def install(model: Path) -> None:
    """Put the weights, in half precision, where the package looks for its click network."""
    trained = checkpoint.load(model)
    licence = "CC BY 4.0, see MODEL_CARD.md for the attribution of the training data"
    info = trained.info.model_copy(update={"licence": licence})
    written = checkpoint.save(checkpoint.CLICKS, trained.network.state_dict(), info, half=True)
    write_text(checkpoint.CLICKS / checkpoint.CARD_FILE, card(written))
    print(f"Installed {written.identity} in {checkpoint.CLICKS}")


def card(info: ModelInfo) -> str:
    """Its model card; figures come from the benchmark's table, once that was made with it."""
    results = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
    table = results / "clicks.json"
    kept = json.loads(table.read_text()) if table.is_file() else {}
    figures = "Not measured yet: `python benchmarks/clicks.py`."
    if kept.get("model") == info.identity:
        _, _, tables = (results / "clicks.md").read_text().partition("## ")
        figures = f"## {tables}".replace("## ", "### ").strip()
    return _CARD.format(identity=info.identity, steps=info.training.steps, figures=figures)


_CARD = """# Click network {identity}

**Research software, not a medical device.** Nothing it marks may decide about a patient.

## What it takes and gives

A square of a slice around the lesion, its phases as the starter takes them, and what the reader
said: clicks on the lesion and beside it, scribbles, a box, the mask so far, the mask of the slice
before, and whether only what enhances is asked for or the outline that a hand would draw. It gives
the outline in that square. The answers in two squares are averaged: of 75 and 112.5 mm at first,
then of 1.5 and 2.5 times the lesion's extent, 64 to 128 pixels a side. From the clicked slice the
outline is carried from slice to slice until the lesion ends. The network is the starter's with six
more input channels.

## Data, licence

Trained from the starter's weights for 4,200 steps of 24 examples, with squares of 96 pixels and
what enhances as targets, then for {steps} steps with squares of 64, 96 and 128 pixels, half of them
with targets smoothed and filled as hands draw them, some with pixels twice as fine; on the windows
of the same 147 I-SPY patients (I-SPY 1: doi 10.7937/K9/TCIA.2016.HdHpgJLK, CC BY 3.0; I-SPY 2 /
ACRIN-6698: doi 10.7937/TCIA.D8Z0-9T85 and 10.7937/TCIA.KK02-6D95, CC BY 4.0; through BreastDCEDL,
doi 10.1038/s41597-026-06589-6; changes as in the starter's card, targets from smoothed enhancement)
and on 420 synthetic slabs. A simulated reader clicks in the middle of the largest error, with
jitter, now and then wrongly. The weights are licensed CC BY 4.0; keep this attribution.

How squares are fitted was chosen on the slices of the 12 validation patients.

## How well it does

{figures}
"""


if __name__ == "__main__":
    main()
