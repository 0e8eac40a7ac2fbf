"""Peak memory of full-size checkpoints on this card, beside what the placement says: `python -m bench.peaks`.

Random weights (`bench/full_size.py`), and the Studio's own placement, loader and sampler. A smaller machine is played
by this card with its memory capped. Prints a table, writes one JSON object: `--out FILE`.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench import full_size
from common import memory
from common.catalog import CHECKPOINTS, GpuSize, Resolution
from common.contract import Backend, Event, ModeKey, Plan, Step
from common.modes.all import MODES
from common.placement import ZEROGPU_BYTES, zerogpu
from common.runtime.device import backend as machine
from common.runtime.device.residency import Residency
from common.runtime.job import Job
from common.runtime.model import load, lora, settle, weights
from common.runtime.sample import generate
from common.settings import SpaceSettings
from common.speech import CLIPS

PIPELINES: dict[str, str] = {
    "t2v": "WanPipeline",
    "i2v": "WanImageToVideoPipeline",
    "flf2v": "WanImageToVideoPipeline",
    "vace": "WanVACEPipeline",
    "s2v": "WanSpeechToVideoPipeline",
    "animate": "WanAnimatePipeline",
}
R480, R704, R720 = Resolution(832, 480), Resolution(1280, 704), Resolution(1280, 720)
R640 = Resolution(640, 800)
R448, R1024 = Resolution(832, 448), Resolution(1024, 704)


@dataclass(frozen=True)
class Case:
    """One clip, or one segment of a longer one, on one machine. `also` is what a mode is asked for beside that."""

    mode: ModeKey
    checkpoint: str
    size: Resolution
    machine: str = "card"
    also: str = ""


CASES = (
    Case("t2v", "wan2.1-t2v-1.3b", R480),
    Case("t2v", "wan2.2-ti2v-5b", R704),
    Case("t2v", "wan2.1-t2v-14b", R480),
    Case("t2v", "wan2.1-t2v-14b", R720),
    Case("flf2v", "wan2.1-flf2v-14b-720p", R720),
    Case("vace", "wan2.1-vace-14b", R720),
    Case("t2v", "wan2.2-t2v-a14b", R480),
    Case("t2v", "wan2.2-t2v-a14b", R720),
    Case("t2v", "wan2.2-ti2v-5b", R704, "large"),
    Case("t2v", "wan2.1-t2v-14b", R720, "large"),
    Case("i2v", "wan2.1-i2v-14b-480p", R480, "large"),
    Case("flf2v", "wan2.1-flf2v-14b-720p", R720, "large"),
    Case("vace", "wan2.1-vace-14b", R720, "large"),
    Case("t2v", "wan2.2-t2v-a14b", R720, "xlarge"),
    Case("i2v", "wan2.2-i2v-a14b", R720, "xlarge"),
    Case("t2v", "wan2.2-ti2v-5b", R704, "24 GB"),
    Case("t2v", "wan2.1-t2v-14b", R480, "24 GB"),
    Case("vace", "wan2.1-vace-14b", R720, "24 GB"),
    Case("t2v", "wan2.2-t2v-a14b", R480, "24 GB"),
    Case("s2v", "wan2.2-s2v-14b", R448),
    Case("s2v", "wan2.2-s2v-14b", R1024),
    Case("s2v", "wan2.2-s2v-14b", R1024, "large"),
    Case("s2v", "wan2.2-s2v-14b", R448, "24 GB"),
    Case("animate", "wan2.2-animate-14b", R480),
    Case("animate", "wan2.2-animate-14b", R720),
    Case("animate", "wan2.2-animate-14b", R720, also="replace"),
    Case("animate", "wan2.2-animate-2-14b-distilled", R640),
    Case("animate", "wan2.2-animate-2-14b", R480),
    Case("animate", "wan2.2-animate-2-14b", R640, "56 GB"),
)
ALSO: dict[str, dict[str, Any]] = {"": {}, "replace": {"animate_mode": "replace", "relight": True}}


class Watched(Job):
    """A job that keeps the most that each of its stages held, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.peaks: dict[str, int] = {}
        self.reserved = 0
        self.now = "load"
        self.began: dict[str, float] = {}
        self.steps: list[float] = []
        """When each of them was over."""

    def stage(self, name: str, text: str) -> None:
        """Begins a stage; what the last one held is kept."""
        self.keep()
        self.now = name
        self.began[name] = self.seconds()
        super().stage(name, text)

    def say(self, event: Event) -> None:
        """Sends an event; of a step, the time is kept."""
        if isinstance(event, Step):
            torch.cuda.synchronize()
            self.steps.append(self.seconds())
        super().say(event)

    def times(self) -> dict[str, float]:
        """Seconds since the last call, of the last step, of all before the first one counts, and after the last."""
        now, step = self.seconds(), self.steps[-1] - self.steps[-2]
        found = {"all": now, "step": step, "after": now - self.steps[-1]}
        found["before"] = self.steps[0] - self.began["denoise"] - step
        self.start, self.steps = time.monotonic(), []
        return {name: round(seconds, 2) for name, seconds in found.items()}

    def keep(self) -> None:
        """The peak since the last call, for the stage that ends."""
        torch.cuda.synchronize()
        self.peaks[self.now] = max(self.peaks.get(self.now, 0), torch.cuda.max_memory_allocated())
        self.reserved = max(self.reserved, torch.cuda.max_memory_reserved())
        torch.cuda.reset_peak_memory_stats()


def backend_of(name: str, card: Backend) -> Backend:
    """The machine that the card plays."""
    if name in ZEROGPU_BYTES:
        return zerogpu(cast(GpuSize, name))
    if name == "24 GB":
        changes = {"name": "24 GB card", "memory_bytes": 25_300_000_000, "capability": (8, 9)}
        changes |= {"compiles": False, "attention": "sdpa"}
        return card.model_copy(update=changes)
    if name == "56 GB":
        return card.model_copy(update={"name": "56 GB card", "memory_bytes": 56_000_000_000})
    return card


def inputs(plan: Plan) -> dict[str, Any]:
    """What the mode's pipeline is given beside text."""
    gray = Image.new("RGB", (plan.width, plan.height), "gray")
    match plan.mode:
        case "i2v":
            return {"image": gray}
        case "flf2v":
            return {"image": gray, "last_image": gray}
        case "vace":
            white = Image.new("L", gray.size, 255)
            return {"video": [gray] * plan.num_frames, "mask": [white] * plan.num_frames}
        case "s2v":  # not the first clip, which is shown nothing that was before
            before = np.repeat(np.asarray(gray)[None], CLIPS.motion, 0)
            hears = torch.randn(1, 25, full_size.SOUND["hidden_size"], CLIPS.frames)
            return {"image": gray, "audio_embeds": hears, "tail": before}
        case "animate":
            length, face = plan.segments[0].frames, gray.resize((memory.FACE, memory.FACE))
            given: dict[str, Any] = {"image": gray, "segment_frame_length": length}
            given |= {"mode": plan.values["animate_mode"], "prev_segment_conditioning_frames": 1}
            given |= {"pose_video": [gray] * length, "face_video": [face] * length}
            if given["mode"] == "replace":
                given |= {"background_video": [gray] * length, "mask_video": [gray.convert("L")] * length}
            return given
        case _:
            return {}


def sample(pipe: Any, plan: Plan, steps: int, job: Job) -> NDArray[np.uint8]:
    """The frames of a clip, or of its first segment."""
    if not CHECKPOINTS[plan.checkpoint].architecture.caches_video:
        return np.stack([*generate.make(pipe, "a", plan, inputs(plan), steps, job)])
    from common.runtime.pipelines import animate2_job

    gray = Image.new("RGB", (plan.width, plan.height), "gray")
    driving = [gray] * plan.segments[0].frames
    return animate2_job.make(
        pipe, "a", plan, job, segment=0, image=gray, opening=gray, driving=driving, tail=None
    )


def run(case: Case, card: Backend) -> dict[str, Any]:
    """One case as the engine does it: planned, loaded, settled, sampled for a few steps, decoded."""
    mode, row, backend = MODES[case.mode], CHECKPOINTS[case.checkpoint], backend_of(case.machine, card)
    asked = {"prompt": "a", "checkpoint": row.key, "width": case.size.width, "height": case.size.height}
    clip = {"path": "a.mp4", "fps": row.fps, "frames": row.num_frames}
    media = {"image": {"path": "a.png"}, "video": clip, "audio": {"path": "a.wav", "seconds": 10}}
    asked |= {slot.name: media[slot.kind] for slot in mode.slots if slot.required}
    asked |= {"video": clip} if case.mode in ("vace", "animate") else {}
    asked |= ALSO[case.also]
    guidance = {} if "fast" in row.presets or row.segments else {"guidance_scale": 1.0}
    # Two for each transformer: the first of an offloaded one fetches nothing ahead.
    steps = 4 if row.moe else 2
    plan = mode.plan(mode.parse({**asked, **guidance, "num_inference_steps": steps}), backend, weights="wan")
    placed = plan.placement
    assert placed is not None, "the plan says that it does not fit"
    said: dict[str, Any] = {
        "mode": case.mode,
        "checkpoint": row.key,
        "machine": case.machine,
        "also": case.also,
    }
    said |= {"size": [plan.width, plan.height, plan.segments[0].frames], "how": placed.why}
    said |= {"plan_gb": round(placed.peak_bytes / 1e9, 2), "plan_seconds": plan.expected_seconds}
    began = time.monotonic()
    waiting = settle.waiting(placed, backend)
    pipe = load.build(
        row.pipeline or PIPELINES[case.mode],
        weights.resolve(row, "wan", print),
        backend,
        Residency("cuda"),
        waiting,
        "wan",
    )
    full_size.check(pipe, row)
    for key in (key for preset in row.presets.values() for key in preset.loras):
        lora.attach(pipe, key, row, "wan", print)
    # From here on no more than the machine has; what is made at random is made on the whole card.
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(backend.memory_bytes / total, 1.0))
    settle.settle(pipe, placed, backend)
    lora.apply(pipe, plan, row, "wan", print)
    said["load_seconds"] = round(time.monotonic() - began, 1)
    job = Watched()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    times: list[dict[str, float]] = []
    try:
        # The first segment of Animate-2 has its attention compiled: the second is what all others take.
        for _ in range(2 if row.architecture.caches_video else 1):
            frames = sample(pipe, plan, steps, job)
            times.append(job.times())
        assert frames.shape == (plan.segments[0].frames, plan.height, plan.width, 3)
    except Exception as error:
        said["failed"] = f"{type(error).__name__}: {error}"[:300]
        times += [job.times()] if len(job.steps) > 1 else []
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    job.keep()
    peak = max(bytes_ for name, bytes_ in job.peaks.items() if name != "load")
    said |= {
        "stages_gb": {name: round(bytes_ / 1e9, 2) for name, bytes_ in job.peaks.items()},
        "peak_gb": round(peak / 1e9, 2),
        "reserved_gb": round(job.reserved / 1e9, 2),
        "off": round(peak / placed.peak_bytes - 1, 3),
        "seconds": round(sum(each["all"] for each in times), 3),
        "times": times,
    }
    return said


def main() -> int:
    """Every case, or those whose text holds one of the words given; 1 where a job died or is 10% off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="run the cases that hold one of these, such as a14b")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    card = machine.detect(SpaceSettings(weights="wan"), CASES[0].checkpoint)
    if card.device != "cuda":
        print("bench.peaks needs a CUDA card", file=sys.stderr)
        return 1
    facts = {name: version(name) for name in ("torch", "diffusers", "transformers", "torchao", "peft")}
    whole: dict[str, Any] = {"device": card.name, "memory_bytes": card.memory_bytes, "versions": facts}
    whole |= {"date": datetime.now(UTC).date().isoformat(), "weights": "random", "cases": []}
    with tempfile.TemporaryDirectory(prefix="wan-peaks-") as root, full_size.loaded(Path(root)):
        for case in CASES:
            if args.words and not any(word in str(case) for word in args.words):
                continue
            if backend_of(case.machine, card).memory_bytes > card.memory_bytes:
                print(f"{case} needs a larger card", file=sys.stderr)
                continue
            try:
                row = run(case, card)
            except Exception as error:
                row = {
                    "checkpoint": str(case),
                    "failed": f"{type(error).__name__}: {error}"[:300],
                    "off": 1.0,
                }
            whole["cases"].append(row)
            print(json.dumps(row), flush=True)
            gc.collect()
            torch.cuda.empty_cache()
            if args.out:
                args.out.write_text(json.dumps(whole, indent=1) + "\n")
    bad = [row["checkpoint"] for row in whole["cases"] if "failed" in row or abs(row["off"]) > 0.1]
    print("all within 10% of the plan" if not bad else f"off or dead: {', '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
