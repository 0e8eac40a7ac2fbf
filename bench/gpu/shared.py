"""What `bench.gpu.parallel` runs in a process each: a clip with one card and all, a replica, forwards in step."""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

import nano
from bench import full_size
from bench.gpu import clip, compare, timeline
from bench.gpu.clock import timed
from common.catalog import CHECKPOINTS
from common.contract import Backend, Placement
from common.runtime import again
from common.runtime.crew import ranks
from common.runtime.fast import attention, blocks, ulysses
from common.runtime.model import load
from common.runtime.model.settle import settle
from common.runtime.together import Ranks

APP = Path(__file__).with_name("replica.py")
QUALITY_STEPS = 30
WARM = 4
"""Steps in which, half of them guided, every form of a block comes: exact and in 8 bits, whole and in part."""
ENTRY = ["diffusers", "WanTransformer3DModel"]


def said(row: dict[str, Any]) -> None:
    """A row for `bench.gpu.parallel`."""
    print(json.dumps(row), flush=True)


def heard(text: str) -> None:
    """A line for who watches."""
    print(time.strftime("%X"), text, file=sys.stderr, flush=True)


def clips(asked: dict[str, Any]) -> None:
    """The same clip with all cards and with one; with all, which then load together, a first one meets every form."""
    engine = again.load(APP).service
    for size in asked["sizes"]:
        several: Clip | None = None
        for cards in (asked["cards"], 1):
            if time.time() > asked["until"] - 30:
                return said({"failed": f"no time for {cards} cards at {size}"})
            engine.backend = engine.backend.model_copy(update={"cards": cards, "step_cache": False})
            first: dict[str, Any] = {}
            if several is None:
                heard(f"{size}: warming up")
                steps = WARM if engine.backend.compiles else 1
                first = {"first_seconds": _made(engine, asked, size, steps).row["seconds"]}
            heard(f"{size} with {cards}: {asked['steps']} steps {first or ''}")
            made = _made(engine, asked, size, asked["steps"])
            said(made.row | first)
            if several is None:
                several = made
            else:
                said({"way": f"{asked['cards']} cards against one", "size": size} | _against(made, several))
    engine.unload()


@dataclass(frozen=True)
class Clip:
    """What was made, and how: `latents` after each step, the first `guided` of which had guidance."""

    row: dict[str, Any]
    guided: int
    tensors: dict[str, torch.Tensor]
    latents: list[torch.Tensor]
    frames: np.ndarray


def _made(engine: Any, asked: dict[str, Any], size: Any, steps: int, scale: float | None = None) -> Clip:
    from diffusers import UniPCMultistepScheduler  # pyright: ignore[reportPrivateImportUsage]

    case = clip.Case(asked["checkpoint"], "quality", tuple(size), steps)
    request = case.request(steps).model_copy(update={"guidance_scale": scale})
    plan = engine.plan(request)
    frames, latents = list[Any](), list[torch.Tensor]()
    own = engine._sampled

    def sampled(ready: Any, job: Any) -> Any:
        made = own(ready, job)  # at once, as it is without this
        return (frames.append(np.asarray(frame)) or frame for frame in made)

    engine._sampled = sampled
    keep = compare.watched(UniPCMultistepScheduler, "step", lambda made: latents.append(made[0].clone()))
    try:
        with compare.kept() as tensors, keep:
            made = timeline.clip(engine, request, plan)
    finally:
        del engine._sampled
    placed = plan.placement
    shortcuts = CHECKPOINTS[asked["checkpoint"]].presets["quality"].shortcuts
    guided = shortcuts.computed_from(steps) if placed.shortcuts and shortcuts else steps
    each = [round(b - a, 3) for a, b in pairwise([made.stages["denoise"], *made.steps])]
    row = {
        "way": f"{placed.cards} of {asked['cards']} cards", "size": [*size], "steps": steps, "guided": guided,
        "cards": placed.cards, "shared": placed.shared, "compile": placed.compile, "attention": placed.attention,
        "seconds": made.seconds, "each_step": each,
        "step_seconds": round(statistics.median(each[1 : min(guided, steps - 1)] or each), 3),
        "stages": made.stages, "planned_seconds": plan.expected_seconds,
    }  # fmt: skip
    if middle := each[guided:-1]:
        row["unguided_step_seconds"] = round(statistics.median(middle), 3)
    # Of a whole job, all of it with guidance: the first step and the last are exact, and all the rest as it was.
    rest = row["seconds"] - sum(each)
    row["quality_seconds"] = round(rest + 2 * each[0] + (QUALITY_STEPS - 2) * row["step_seconds"], 1)
    kept = {name: tensor.cpu() for name, tensor in tensors.items()}
    return Clip(row, guided, kept, [x.cpu() for x in latents], np.stack(frames))


def _against(one: Clip, several: Clip) -> dict[str, Any]:
    off = np.abs(one.frames.astype(np.int16) - several.frames.astype(np.int16))
    apart = [float((a.double() - b.double()).abs().max()) for a, b in zip(one.latents, several.latents, strict=True)]
    names = ("step_seconds", "unguided_step_seconds", "seconds", "quality_seconds")
    times = {
        f"times_{name.removesuffix('_seconds')}": round(one.row[name] / several.row[name], 3)
        for name in names
        if name in one.row and name in several.row
    }
    return compare.distances(several.tensors, one.tensors) | times | {
        "latents_max_off": apart,
        "frames_max_off": int(off.max()), "frames_mean_off": round(float(off.mean()), 5),
        "equal_with_guidance": max(apart[: one.guided]) == 0,
        "equal": bool(off.max() == 0 and max(apart) == 0),
    }  # fmt: skip


def replica(asked: dict[str, Any]) -> None:
    """An engine with a card of its own: a clip at each line that comes."""
    engine = again.load(APP).service
    (size,) = asked["sizes"]
    engine.backend = engine.backend.model_copy(update={"step_cache": False})
    _made(engine, asked, size, asked["steps"], scale=1.0)  # the same forms
    said({"ready": True})
    for _ in sys.stdin:
        said({"seconds": _made(engine, asked, size, asked["steps"]).row["seconds"]})


def forwards(asked: dict[str, Any]) -> None:
    """Milliseconds of a forward by this card alone, and by all of them in step."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    group = ranks.join(Path(asked["folder"]) / "store", asked["rank"], asked["cards"], device)
    sizes = [tuple(size) for size in asked["sizes"]]
    transformer = _transformer(asked, device)
    stock = _Timed(transformer, asked, group)
    for size in sizes[:1]:
        stock.time("diffusers, alone", size, None)
    try:
        _parallel(transformer, group.size)
        for size in sizes[:1]:
            stock.time("diffusers, all", size, None, against="diffusers, alone")
    except Exception as error:  # it knows no CPU
        heard(f"diffusers' own context parallelism: {type(error).__name__}: {error}")
    del transformer, stock.transformer
    gc.collect()
    transformer = _transformer(asked, device)
    capability = torch.cuda.get_device_capability() if device == "cuda" else None
    fa3, quick = attention.has_fa3(capability), attention.compiles(capability)
    placed = Placement(
        precision={"transformer": "float8" if quick else "float32"}, compile="blocks" if quick else "none",
        attention="fa3-8-bit" if fa3 else "sdpa", peak_bytes=0, weight_bytes=0,
    )  # fmt: skip
    heard("8 bits")
    settle(SimpleNamespace(transformer=transformer, transformer_2=None), placed, Backend(device=device))
    ours = _Timed(transformer, asked, group)
    for size in sizes:
        blocks.at_step([transformer], 1, 3)
        ours.time("rounded, alone", size, None)
        for pieces in (1, 2):
            ulysses.PIECES = pieces
            ours.time(f"rounded, all, in {pieces}", size, group, against="rounded, alone")
        ulysses.PIECES = 1
    for size in sizes[:1]:
        blocks.at_step([transformer], 0, 3)
        ours.time("exact, alone", size, None)
        ours.time("exact, all", size, group, against="exact, alone")


class _Timed:
    def __init__(self, transformer: Any, asked: dict[str, Any], group: Ranks) -> None:
        self.transformer, self.asked, self.group = transformer, asked, group
        self.rows: dict[Any, Any] = {}

    def time(self, way: str, size: Any, shared: Ranks | None, against: str = "") -> None:
        """Says a row, of the first of them."""
        if self._late():
            return
        heard(f"{way} {size}")
        given = _inputs(self.asked, size, self.transformer)

        def go() -> Any:
            torch.distributed.barrier()
            return timed(lambda: self.transformer(**given)[0])

        with torch.no_grad(), blocks.many_forms(), ulysses.split([self.transformer], shared):
            first, made = go()
            each = [go()[0] for _ in range(3)]
        row = {"way": way, "size": [*size], "ms": round(1000 * statistics.median(each), 1), "first": round(first, 1)}
        if before := self.rows.get((against, size)):
            off = (made.float() - before[1]).abs()
            row |= {"times": round(before[0]["ms"] / row["ms"], 3), "max_off": float(off.max())}
            row["off"] = float(off.norm() / before[1].norm())
        self.rows[way, size] = (row, made.float())
        if self.group.rank == 0:
            said(row)

    def _late(self) -> bool:
        """All decide the same, by the first one's clock."""
        late = torch.tensor([float(time.time() > self.asked["until"] - 30)], device=self.transformer.device)
        torch.distributed.broadcast(late, 0)
        return bool(late)


def _parallel(transformer: Any, size: int) -> None:
    from diffusers import ContextParallelConfig  # pyright: ignore[reportPrivateImportUsage]

    transformer.enable_parallelism(config=ContextParallelConfig(ulysses_degree=size))


def _transformer(asked: dict[str, Any], device: str) -> Any:
    heard("making the transformer")
    if asked["weights"] == "nano":
        return load.part(nano.find("dense") / "transformer", ENTRY, Backend())
    return full_size.module(Path(asked["folder"]) / asked["checkpoint"] / "transformer", ENTRY, device)


def _inputs(asked: dict[str, Any], size: Any, transformer: Any) -> dict[str, Any]:
    row, (width, height, frames) = CHECKPOINTS[asked["checkpoint"]], size
    side, config = row.architecture.spatial, transformer.config
    dtype = torch.bfloat16 if transformer.device.type == "cuda" else torch.float32
    one = torch.Generator(transformer.device).manual_seed(2)
    shape = (1, config.in_channels, row.law.latent(frames), height // side, width // side)

    def noise(*of: int) -> torch.Tensor:
        return torch.randn(of, device=transformer.device, dtype=dtype, generator=one)

    return {
        "hidden_states": noise(*shape), "timestep": torch.tensor([500], device=transformer.device),
        "encoder_hidden_states": noise(1, 512, config.text_dim), "return_dict": False,
    }  # fmt: skip


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    {"clip": clips, "replica": replica, "forward": forwards}[told["what"]](told)
