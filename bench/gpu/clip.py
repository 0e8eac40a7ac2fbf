"""Whole clips, from the words to the mp4 on disk: diffusers' own pipeline as it is, and the Studio's engine."""

from __future__ import annotations

import gc
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import full_size
from bench.engine import T2V
from common.catalog import CHECKPOINTS, MAX_PROMPT_TOKENS
from common.contract import Event, PresetName, Stage, Step
from common.media.write import write_video
from common.modes.t2v import MODE
from common.runtime.sample import generate
from common.settings import SpaceSettings

PROMPT = "A lighthouse on a cliff in a storm, waves breaking below it"


@dataclass(frozen=True)
class Case:
    """A clip of a checkpoint with its preset, of so many steps."""

    checkpoint: str
    preset: PresetName
    size: tuple[int, int, int]
    steps: int


CASES = (
    Case("wan2.1-t2v-14b", "fast", (832, 480, 81), 4),
    Case("wan2.1-t2v-14b", "quality", (832, 480, 81), 30),
)


def measure() -> list[dict[str, Any]]:
    """A row for each case and way; of a fast one the second clip counts, for the first one loads and compiles."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="wan-clip-") as root, full_size.loaded(Path(root)):
        for case in CASES:
            ours = _studio(case)
            print(json.dumps(ours), flush=True)
            stock = _stock(case, Path(root))
            print(json.dumps(stock), flush=True)
            for said in (stock, ours):
                said |= {"checkpoint": case.checkpoint, "preset": case.preset, "size": [*case.size]}
            ours["times"] = round(stock["seconds"] / ours["seconds"], 2)
            rows += [stock, ours]
    return rows


def _studio(case: Case) -> dict[str, Any]:
    engine = T2V(SpaceSettings(weights="wan"))
    width, height, frames = case.size
    request = MODE.parse({
        "prompt": PROMPT, "checkpoint": case.checkpoint, "preset": case.preset, "width": width, "height": height,
        "num_frames": frames, "num_inference_steps": case.steps, "seed": 1,
    })  # fmt: skip
    plan = engine.plan(request)
    assert plan.placement is not None
    said: dict[str, Any] = {"way": "studio", "planned_seconds": plan.expected_seconds}
    said |= {"compile": plan.placement.compile, "attention": plan.placement.attention, "how": plan.placement.why}
    for name in ("first_seconds", "seconds") if case.preset == "fast" else ("seconds",):
        torch.cuda.reset_peak_memory_stats()
        seen: list[Event] = []
        began = time.monotonic()
        path = None
        for made, event in engine.generate(request, plan):
            path = made or path
            if event is not None:
                seen.append(event)
        said[name] = round(time.monotonic() - began, 2)
        assert path is not None
    said["stages"] = {e.name: e.t for e in seen if isinstance(e, Stage)}
    steps = [e.t for e in seen if isinstance(e, Step)]
    said["step_seconds"] = round((steps[-1] - steps[0]) / (len(steps) - 1), 3)
    said["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    said["planned_gb"] = round(plan.placement.peak_bytes / 1e9, 2)
    engine.unload()
    _clear()
    return said


def _stock(case: Case, root: Path) -> dict[str, Any]:
    """diffusers as its documentation has it; its mp4 is written by our writer, all frames at once."""
    from common.runtime.device.residency import Residency
    from common.runtime.model import load, lora, weights

    engine = T2V(SpaceSettings(weights="wan"))
    row, (width, height, frames) = CHECKPOINTS[case.checkpoint], case.size
    pipe = load.build(
        "WanPipeline", weights.resolve(row, "wan", print), engine.backend, Residency("cuda"), weights="wan"
    )
    preset = row.presets[case.preset]
    for key in preset.loras:
        lora.attach(pipe, key, row, "wan", print)
    pipe.scheduler = generate.fresh_scheduler(pipe.scheduler, preset.flow_shift)
    said: dict[str, Any] = {"way": "diffusers"}
    for name in ("first_seconds", "seconds"):
        torch.cuda.reset_peak_memory_stats()
        began = time.monotonic()
        made = pipe(
            prompt=PROMPT, negative_prompt="blurry", width=width, height=height, num_frames=frames,
            num_inference_steps=case.steps, guidance_scale=preset.guidance_scale, output_type="np",
            generator=torch.Generator("cuda").manual_seed(1), max_sequence_length=MAX_PROMPT_TOKENS,
        ).frames[0]  # fmt: skip
        write_video((made * 255).round().astype(np.uint8), row.fps, root / f"{name}.mp4", None)
        said[name] = round(time.monotonic() - began, 2)
        if case.preset == "quality":
            said["seconds"] = said[name]  # the fast one before it has warmed the card up, and nothing is compiled
            break
    said["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    del pipe
    _clear()
    return said


def _clear() -> None:
    gc.collect()
    torch.cuda.empty_cache()
