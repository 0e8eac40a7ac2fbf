"""A process of `test_halves`: `python halved_steps.py FOLDER RANK SIZE`; saves clips of Wan-Nano and what they took."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from common.runtime.crew import ranks as groups
from common.runtime.fast import attention, blocks, halves, shortcuts
from common.runtime.together import Ranks
from common.shortcuts import Shortcuts
from nano.judge.cases import cases, load, run

STEPS = 8
UNGUIDED_FROM = 6
CASES = cases(1, 4_100_000)
TAKEN = {
    "guidance off in the last steps": Shortcuts(None, guided=0.75),
    "every second step reused": Shortcuts(1e9, warmup_steps=2, guided=0.75),
    "compiled": Shortcuts(None, guided=0.75),
}
KINDS = ("dense", "moe")


def made(kind: str, way: str, ranks: Ranks | None) -> dict[str, Any]:
    """A clip, the forwards of the last block in each step, and the graphs that a second clip added."""
    pipe = load(kind, "cpu")
    transformers = [t for t in (pipe.transformer, getattr(pipe, "transformer_2", None)) if t is not None]
    if way == "compiled":
        torch._dynamo.reset()
        for transformer in transformers:
            blocks.quicken(transformer, attention.plain, None)
            for block in blocks.blocks_of(transformer):
                block.compile(fullgraph=True, backend="aot_eager")
    found = _clip(kind, pipe, transformers, way, ranks)
    before = _graphs()
    assert before or way != "compiled"
    if way == "compiled":
        _clip(kind, pipe, transformers, way, ranks)
    assert all("forward" not in vars(t) for t in transformers), "nothing of it stays behind"
    return found | {"again": _graphs() - before}


def _clip(kind: str, pipe: Any, transformers: list[Any], way: str, ranks: Ranks | None) -> dict[str, Any]:
    counts = [0]
    hooks = []
    if way != "compiled":  # it would be a part of the graph
        hooks = [
            t.blocks[-1].register_forward_hook(lambda *_: counts.__setitem__(-1, counts[-1] + 1))
            for t in transformers
        ]
    with (
        torch.no_grad(), blocks.many_forms(),
        halves.split(pipe, transformers, ranks, halves=True),
        shortcuts.taken(pipe, transformers, TAKEN[way], STEPS, guided=ranks is None) as at_step,
    ):  # fmt: skip

        def after(pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            at_step(index + 1)
            counts.append(0)
            return tensors

        clip = next(run(pipe, kind, CASES, num_inference_steps=STEPS, callback_on_step_end=after))
    for hook in hooks:
        hook.remove()
    return {"clip": torch.as_tensor(clip), "counts": counts[:STEPS]}


def _graphs() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def _mean(x: torch.Tensor, op: Any) -> None:
    """As NCCL has it, for gloo has no mean."""
    assert op == dist.ReduceOp.AVG
    _summed(x)
    x /= dist.get_world_size()


_summed = dist.all_reduce


def main(folder: Path, rank: int, size: int) -> None:
    dist.all_reduce = _mean
    ranks = groups.join(folder / "store", rank, size, "cpu")
    found = {(kind, way): made(kind, way, ranks) for kind in KINDS for way in TAKEN}
    torch.save(found, folder / f"{rank}.pt")
    groups.leave(folder / "store")


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
