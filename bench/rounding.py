"""Whether a viewer sees what speed costs: Wan-Nano's clips as they are and made faster, judged by what is promised.

`python -m bench.rounding --count 12 --out FILE` takes minutes for each kind on a CPU, where products and attention in
8 bits are emulated. All steps are rounded, the first and the last too, which the Studio leaves exact. Shortcuts are
the Studio's own, as its catalog has them for the models that a kind of Wan-Nano stands for.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.catalog import CHECKPOINTS
from common.runtime.fast import attention, blocks, integers
from common.runtime.fast.shortcuts import taken
from common.runtime.model.load import transformers
from common.shortcuts import Shortcuts
from nano.judge.cases import Case, Clip, add_lightning, as_array, cases, edges, load, pil, run
from nano.judge.measure import look
from nano.kinds import kind_named
from nano.train.flow import quality
from nano.train.world import STILL, render

FIRST_SEED = 4_000_000
PROMISES = ("colour", "shape", "motion", "background")
Given = dict[str, Any]
Around = Callable[[Given], AbstractContextManager[Given]]
"""What each clip is made in: of what the pipeline is given to what it is called with beside."""


# ---------------------------------------------------------------------- ways to be faster


def rounded(x: Tensor) -> Tensor:
    """As it is after 8 bits, with a scale for each row (the last dimension)."""
    scale = x.abs().amax(-1, keepdim=True).clamp_min(1e-12) / attention.LARGEST
    return (x / scale).to(torch.float8_e4m3fn).to(x.dtype) * scale


def in_8_bits(pipe: Any, _: str = "", exact: tuple[str, ...] = ()) -> Around:
    """Products and attention of all blocks; layers with `exact` in their names have weights in 8 bits alone."""
    for transformer in transformers(pipe):
        blocks.quicken(transformer, attention.plain, attention.emulated_in_8_bits).in_8_bits = True
        for name, module in transformer.named_modules():
            if not isinstance(module, torch.nn.Linear) or "lora_" in name:
                continue
            if name.startswith(("blocks.", "vace_blocks.")):
                module.weight.data = rounded(module.weight.data)
                if not any(word in name for word in exact):
                    module.register_forward_pre_hook(lambda _, given: (rounded(given[0]), *given[1:]))
    return as_it_is


def as_it_is(_: Given) -> AbstractContextManager[Given]:
    """Nothing more around a clip."""
    return nullcontext({})


def shortened(weights: str) -> Shortcuts:
    """As Quality has them where a model of this kind has any."""
    rows = (row.presets.get("quality") for row in CHECKPOINTS.values() if row.kind == weights)
    return next(preset.shortcuts for preset in rows if preset and preset.shortcuts)


def by_shortcuts(pipe: Any, weights: str) -> Around:
    """Steps reused and not guided by the Studio's own code, anew for each clip."""

    @contextmanager
    def around(given: Given) -> Iterator[Given]:
        steps = given.get("num_inference_steps", quality(weights).num_inference_steps)
        steps = int(steps * given.get("strength", 1))  # as diffusers counts those that are left of a clip
        with taken(pipe, transformers(pipe), shortened(weights), steps, guided=True) as at_step:

            def after(_pipe: Any, index: int, _timestep: Any, tensors: Given) -> Given:
                at_step(index + 1)
                return tensors

            yield {"callback_on_step_end": after}

    return around


def by_integers(pipe: Any, _: str) -> Around:
    """Attention in 8-bit integers, as on Blackwell; everything else is exact."""
    for transformer in transformers(pipe):
        blocks.attend(transformer, attention.plain, integers.emulated).in_8_bits = True
    return as_it_is


def by_both(pipe: Any, weights: str) -> Around:
    """8 bits and shortcuts together: what Quality is made by on Hopper."""
    in_8_bits(pipe)
    return by_shortcuts(pipe, weights)


SHORTCUTS = "shortcuts"
"""In the names of ways that take them, and so are no ways of Fast."""
Way = Callable[[Any, str], Around]
"""Changes a pipeline of these weights, and says what each of its clips is to be made in."""

WAYS: dict[str, Way] = {
    "8-bit": partial(in_8_bits, exact=(".attn2.",)),
    "8-bit, prompt's products too": in_8_bits,
    "integers": by_integers,
    SHORTCUTS: by_shortcuts,
    f"8-bit and {SHORTCUTS}": by_both,
}


# ---------------------------------------------------------------------- what is made


@dataclass(frozen=True)
class Kind:
    """Clips of one of Wan-Nano's kinds of weights, by this pipeline where it is not the kind's own."""

    weights: str
    given: Callable[[Case], Given] = lambda _: {}
    """What the pipeline is given beside the prompt."""
    pipeline: str | None = None
    motions: Collection[int] | None = None

    @property
    def presets(self) -> tuple[str, ...]:
        """Fast where there is a Lightning LoRA, but not on a clip that is there already."""
        return ("fast", "quality") if kind_named(self.weights).lightning and not self.motions else ("quality",)

    def tests(self, count: int, first_seed: int = FIRST_SEED) -> list[Case]:
        """The first that it can show."""
        found = cases(count if self.motions is None else 2 * count, first_seed)
        shown = (case for case in found if self.motions is None or int(case.scenes.motion[0]) in self.motions)
        return [*shown][:count]


def _first(case: Case) -> Given:
    return {"image": pil(case.clip[0])}


def _ends(case: Case) -> Given:
    return {"image": pil(case.clip[0]), "last_image": pil(case.clip[-1])}


def _other_colour(case: Case) -> Given:
    other = replace(case.scenes, colour=(case.scenes.colour + 3) % 8)
    return {"video": [pil(f) for f in as_array(render(other, *case.clip.shape[:3])[0][0])], "strength": 0.8}


KINDS: dict[str, Kind] = {
    "dense": Kind("dense"),
    "moe": Kind("moe"),
    "i2v-clip": Kind("i2v-clip", _first),
    "i2v-moe": Kind("i2v-moe", _first),
    "flf2v": Kind("flf2v", _ends),
    # As the judge has it: a growing or spinning shape says little about a track.
    "v2v": Kind("dense", _other_colour, "WanVideoToVideoPipeline", (0, 1, 2, 3, STILL)),
    "vace": Kind("vace", lambda case: {"video": edges(case)}),
}


def clips(
    kind: Kind, preset: str, tests: list[Case], way: Way = lambda _pipe, _weights: as_it_is, **more: Any
) -> tuple[list[Clip], int]:
    """One for each case, and how many forwards of the last block they took."""
    pipe, fast = load(kind.weights, "cpu", kind.pipeline), preset == "fast"
    if fast:
        add_lightning(pipe, kind.weights)
    around, forwards, made = way(pipe, kind.weights), list[None](), list[Clip]()
    for transformer in transformers(pipe):
        transformer.blocks[-1].register_forward_hook(lambda *_: forwards.append(None))
    for case in tests:
        given = kind.given(case) | more
        with around(given) as beside:
            made.append(next(run(pipe, kind.weights, [case], fast=fast, **given, **beside)))
    return made, len(forwards)


# ---------------------------------------------------------------------- what is seen


def kept(tests: list[Case], made: list[Clip]) -> dict[str, int]:
    """How many clips keep each promise of their prompts."""
    seen = [(case, look(clip)) for case, clip in zip(tests, made, strict=True)]
    return {name: sum(getattr(found, name) == case.wanted[name] for case, found in seen) for name in PROMISES}


def apart(first: list[Clip], second: list[Clip]) -> list[float]:
    """Median and least of the distances between clips, in dB."""
    each = [-10 * np.log10(max(float(((a - b) ** 2).mean()), 1e-10)) for a, b in zip(first, second, strict=True)]
    return [round(float(np.median(each)), 1), round(min(map(float, each)), 1)]


def compare(
    kind: str, preset: str, tests: list[Case], ways: Collection[str] = tuple(WAYS), **more: Any
) -> Iterator[dict[str, Any]]:
    """A row for each way: promises kept without it and with it, how far the clips are apart, and what they took.

    That is forwards of the last block, of how many without it. Fast has no shortcuts, and no row for them.
    """
    ways = [way for way in ways if preset == "quality" or SHORTCUTS not in way]
    exact, whole = clips(KINDS[kind], preset, tests, **more) if ways else ([], 0)
    for way in ways:
        made, forwards = clips(KINDS[kind], preset, tests, WAYS[way], **more)
        yield {
            "way": way, "kind": kind, "preset": preset, "of": len(tests), "exact": kept(tests, exact),
            "kept": kept(tests, made), "db": apart(exact, made), "forwards": [forwards, whole],
        }  # fmt: skip


def main() -> int:
    """Prints a row for each kind, preset and way; with --out the file has them instead of those it had of them."""
    parser = argparse.ArgumentParser(prog="python -m bench.rounding", description=__doc__)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = json.loads(args.out.read_text("utf-8"))["rows"] if args.out and args.out.exists() else []
    for kind in args.kinds:
        tests = KINDS[kind].tests(args.count)
        for preset in KINDS[kind].presets:
            for row in compare(kind, preset, tests, args.ways):
                print(json.dumps(row), flush=True)
                rows = [r for r in rows if any(r[k] != row[k] for k in ("way", "kind", "preset"))] + [row]
                if args.out:
                    text = ",\n".join("  " + json.dumps(r) for r in rows)
                    args.out.write_text(f'{{\n "first_seed": {FIRST_SEED},\n "rows": [\n{text}\n ]\n}}\n', "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
