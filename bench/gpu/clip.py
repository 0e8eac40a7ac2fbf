"""Whole clips, from the words to the mp4 on disk: diffusers' own pipeline as it is, and the Studio's engine.

All start from the same weights, noise and prompts; how far the latents are apart at the end is told too.
"""

from __future__ import annotations

import gc
import json
import tempfile
import time
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from bench import full_size
from bench.engine import T2V
from bench.gpu import compare, timeline
from common.catalog import CHECKPOINTS, MAX_PROMPT_TOKENS, Preset, Weights
from common.contract import Plan, PresetName
from common.media.write import write_video
from common.modes.t2v import MODE, Request
from common.runtime.device.residency import Residency
from common.runtime.model import load, lora
from common.runtime.model import weights as found
from common.runtime.sample import generate
from common.settings import SpaceSettings

PROMPT = "A lighthouse on a cliff in a storm, waves breaking below it"
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A clip of a checkpoint with its preset, of so many steps."""

    checkpoint: str
    preset: PresetName
    size: tuple[int, int, int]
    steps: int

    def request(self, steps: int) -> Request:
        """What the Studio is asked for; the plan of it is what diffusers gets."""
        width, height, frames = self.size
        return MODE.parse({
            "prompt": PROMPT, "checkpoint": self.checkpoint, "preset": self.preset, "width": width,
            "height": height, "num_frames": frames, "num_inference_steps": steps, "seed": 1,
        })  # fmt: skip


CASES = (
    Case("wan2.1-t2v-14b", "fast", (832, 480, 81), 4),
    Case("wan2.1-t2v-14b", "quality", (832, 480, 81), 30),
)


@dataclass(frozen=True)
class Way:
    """The Studio with this WAN_SPEED, or without one diffusers' pipeline; what it does better in which cases.

    Without `shortcuts` all steps are computed and guided, which a preset may have otherwise. With a `threshold` steps
    are reused by that one: random weights change more from step to step than the preset allows.

    A clip of `warm` steps comes before the one that counts: it loads, and meets every form that is compiled.
    """

    name: str
    speed: Literal["", "exact"] | None
    warm: int
    presets: tuple[PresetName, ...] = ("fast", "quality")
    shortcuts: bool = True
    threshold: float | None = None


STOCK = Way("diffusers", None, 1)
WAYS = (
    STOCK,
    Way("studio, all steps", "", 4, ("quality",), shortcuts=False),
    Way("studio", "", 4),
    Way("studio, all reused that may be", "", 4, ("quality",), threshold=1e9),
    Way("studio, exact", "exact", 1, ("fast",)),  # what of `off` is the way that they are compared in
)


def measure(
    presets: Collection[str] = (), ways: Collection[str] = (), before: Collection[Row] = (),
    folder: Path | None = None, cases: Collection[Case] = CASES, weights: Weights = "wan",
) -> Iterator[Row]:
    """A row for each case and way, or for those that are named.

    What diffusers made may be from a run `before`, whose rows these are; its tensors lie in the folder.
    """
    rows = [*before]
    with tempfile.TemporaryDirectory(prefix="wan-clip-") as temporary:
        root, tensors = Path(temporary), folder or Path(temporary)
        tensors.mkdir(parents=True, exist_ok=True)
        with full_size.loaded(root) if weights == "wan" else nullcontext():
            for case in (c for c in cases if not presets or c.preset in presets):
                for way in (w for w in WAYS if case.preset in w.presets and (not ways or w.name in ways)):
                    row = _row(case, way, rows, tensors, weights)
                    rows.append(row)
                    print(json.dumps(row), flush=True)
                    yield row


def _row(case: Case, way: Way, rows: list[Row], tensors: Path, weights: Weights) -> Row:
    said: Row = {"way": way.name, "checkpoint": case.checkpoint, "preset": case.preset, "size": [*case.size]}
    stock = {**said, "way": STOCK.name}
    same = [r for r in rows if "seconds" in r and all(r[k] == stock[k] for k in stock)]
    files = {name: tensors / f"{case.preset}-{name}.pt" for name in (STOCK.name, way.name)}
    try:
        with compare.kept() as made:
            said |= (_stock if way.speed is None else _studio)(case, way, weights)
        torch.save({name: x.detach().cpu().clone() for name, x in made.items()}, files[way.name])
        if same and way is not STOCK:
            said["times"] = round(same[-1]["seconds"] / said["seconds"], 2)
        if way is not STOCK and files[STOCK.name].exists():
            said |= compare.distances(torch.load(files[way.name]), torch.load(files[STOCK.name]))
    except Exception as error:
        traceback.print_exc()
        said["failed"] = f"{type(error).__name__}: {error}"[:300]
    finally:
        _clear()
    return said


def _studio(case: Case, way: Way, weights: Weights) -> Row:
    engine = T2V(replace(SpaceSettings(weights=weights), speed=way.speed))
    if not way.shortcuts:
        engine.backend = engine.backend.model_copy(update={"step_cache": False})
    try:
        with _reusing(case, way.threshold):
            first = timeline.clip(engine, *_asked(engine, case, way.warm))
            _forget_peak()
            request, plan = _asked(engine, case, case.steps)
            made = timeline.clip(engine, request, plan)
    finally:
        engine.unload()
    assert plan.placement is not None
    return {
        "planned_seconds": plan.expected_seconds, "compile": plan.placement.compile,
        "attention": plan.placement.attention, "shortcuts": plan.placement.shortcuts, "how": plan.placement.why,
        "first_steps": way.warm, "first_seconds": first.seconds, "first_stages": first.stages,
        "first_step_seconds": [first.first_step_seconds, made.first_step_seconds],
        "seconds": made.seconds, "stages": made.stages, "step_seconds": made.step_seconds,
        "each_step": [round(b - a, 2) for a, b in pairwise([made.stages["denoise"], *made.steps])],
        "peak_gb": _peak(), "planned_gb": round(plan.placement.peak_bytes / 1e9, 2),
    }  # fmt: skip


@contextmanager
def _reusing(case: Case, threshold: float | None) -> Iterator[None]:
    """In it the preset's steps are reused by another threshold."""
    presets = cast(dict[PresetName, Preset], CHECKPOINTS[case.checkpoint].presets)
    own = presets[case.preset]
    if threshold is not None and own.shortcuts is not None:
        shortcuts = replace(own.shortcuts, residual_diff_threshold=threshold)
        presets[case.preset] = replace(own, shortcuts=shortcuts)
    try:
        yield
    finally:
        presets[case.preset] = own


def _asked(engine: T2V, case: Case, steps: int) -> tuple[Request, Plan]:
    request = case.request(steps)
    return request, engine.plan(request)


def _stock(case: Case, way: Way, weights: Weights) -> Row:
    """diffusers as its documentation has it; its mp4 is written by our writer, all frames at once."""
    engine, row = T2V(SpaceSettings(weights=weights)), CHECKPOINTS[case.checkpoint]
    pipe = load.build(
        "WanPipeline", found.resolve(row, weights, print), engine.backend, Residency(engine.backend.device),
        weights=weights,
    )  # fmt: skip
    for key in row.presets[case.preset].loras:
        lora.attach(pipe, key, row, weights, print)
    said: Row = {"first_steps": way.warm}
    for name, steps in (("first_seconds", way.warm), ("seconds", case.steps)):
        _, plan = _asked(engine, case, steps)
        pipe.scheduler = generate.fresh_scheduler(pipe.scheduler, plan.flow_shift)
        _forget_peak()
        began = time.monotonic()
        made = pipe(
            prompt=PROMPT, negative_prompt=plan.negative_prompt, width=plan.width, height=plan.height,
            num_frames=plan.num_frames, num_inference_steps=steps, guidance_scale=plan.guidance_scale,
            output_type="np", generator=torch.Generator("cpu").manual_seed(plan.seed),
            max_sequence_length=MAX_PROMPT_TOKENS,
        ).frames[0]  # fmt: skip
        with tempfile.TemporaryDirectory() as place:
            write_video((made * 255).round().astype(np.uint8), row.fps, Path(place) / "clip.mp4", None)
            said[name] = round(time.monotonic() - began, 2)
    return said | {"peak_gb": _peak()}


def _forget_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak() -> float:
    return round(torch.cuda.max_memory_allocated() / 1e9, 2) if torch.cuda.is_available() else 0.0


def _clear() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
