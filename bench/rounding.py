"""Whether a viewer sees what 8 bits lose: Wan-Nano's clips with and without, judged by what their prompts promise.

`python -m bench.rounding --count 12` takes minutes on a CPU, where products and attention in 8 bits are emulated, and
prints one JSON object. All steps are rounded, the first and the last too, which the Studio leaves exact.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.runtime.fast import attention, blocks, linears
from nano.judge.cases import Case, add_lightning, cases, load, run
from nano.judge.measure import look

KINDS = ("dense", "moe")
FIRST_SEED = 4_000_000
PROMISES = ("colour", "shape", "motion", "background")


def rounded(x: Tensor) -> Tensor:
    """As it is after 8 bits, with a scale for each row (the last dimension)."""
    scale = x.abs().amax(-1, keepdim=True).clamp_min(1e-12) / attention.LARGEST
    return (x / scale).to(torch.float8_e4m3fn).to(x.dtype) * scale


def emulate(transformer: Any) -> None:
    """Gives a transformer's blocks 8-bit products and attention."""
    blocks.quicken(transformer, attention.plain, attention.emulated_in_8_bits).in_8_bits = True
    for name, module in transformer.named_modules():
        if isinstance(module, torch.nn.Linear) and name.startswith("blocks.") and "lora_" not in name:
            module.weight.data = rounded(module.weight.data)
            if linears.EXACT not in name:
                module.register_forward_pre_hook(lambda _, given: (rounded(given[0]), *given[1:]))


def right(case: Case, clip: Any) -> dict[str, bool]:
    """Which of a prompt's promises a clip keeps."""
    seen = look(clip)
    return {name: getattr(seen, name) == case.wanted[name] for name in PROMISES}


def compare(kind: str, tests: list[Case], *, fast: bool) -> dict[str, Any]:
    """Promises kept without and with 8 bits, and how far the clips are apart, in dB."""
    made: list[list[Any]] = []
    for eight in (False, True):
        pipe = load(kind, "cpu")
        if fast:
            add_lightning(pipe, kind)
        if eight:
            for transformer in filter(None, (pipe.transformer, getattr(pipe, "transformer_2", None))):
                emulate(transformer)
        made.append([next(run(pipe, kind, [case], fast=fast)) for case in tests])
    kept = [
        {name: sum(right(case, clip)[name] for case, clip in zip(tests, clips, strict=True)) for name in PROMISES}
        for clips in made
    ]
    apart = [-10 * np.log10(max(float(((a - b) ** 2).mean()), 1e-10)) for a, b in zip(*made, strict=True)]
    return {
        "kind": kind, "preset": "fast" if fast else "quality", "of": len(tests), "exact": kept[0],
        "rounded": kept[1], "db": [round(float(np.median(apart)), 1), round(min(map(float, apart)), 1)],
    }  # fmt: skip


def main() -> int:
    """Prints a row for each kind and preset."""
    parser = argparse.ArgumentParser(prog="python -m bench.rounding", description=__doc__)
    parser.add_argument("--count", type=int, default=12)
    args = parser.parse_args()
    tests = cases(args.count, FIRST_SEED)
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        for fast in (True, False):
            rows.append(compare(kind, tests, fast=fast))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"first_seed": FIRST_SEED, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
