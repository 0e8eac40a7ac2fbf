"""A process of `test_ulysses`: `python shared_forward.py FOLDER RANK SIZE`; saves what its forwards gave."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from diffusers import WanTransformer3DModel, WanVACETransformer3DModel

from common.runtime.fast import attention, blocks, ulysses
from common.runtime.together import Ranks

SIZES: dict[str, Any] = {"attention_head_dim": 32, "ffn_dim": 128, "num_layers": 2, "text_dim": 32, "freq_dim": 64}


def dense(heads: int = 4, **more: Any) -> Any:
    torch.manual_seed(0)
    return WanTransformer3DModel(num_attention_heads=heads, **SIZES, **more).eval().requires_grad_(False)


def vace() -> Any:
    torch.manual_seed(0)
    more: dict[str, Any] = {"vace_layers": [0, 1], "vace_in_channels": 96}
    made = WanVACETransformer3DModel(num_attention_heads=4, **SIZES, **more).eval().requires_grad_(False)
    for block in made.vace_blocks:  # as they come, they add next to nothing
        torch.nn.init.normal_(block.proj_out.weight, std=0.2)
    return made


def given(frames: int = 2, height: int = 8, **more: Any) -> dict[str, Any]:
    one = torch.Generator().manual_seed(1)
    return {
        "hidden_states": torch.randn(1, 16, frames, height, 8, generator=one),
        "timestep": torch.tensor([500]), "encoder_hidden_states": torch.randn(1, 512, 32, generator=one),
        "return_dict": False, **more,
    }  # fmt: skip


def of_each_token() -> torch.Tensor:
    return torch.cat([torch.zeros(1, 16), torch.full((1, 16), 700.0)], 1)


CASES: dict[str, tuple[Callable[[], Any], Callable[[], dict[str, Any]]]] = {
    "even": (dense, given),
    "tokens that do not divide": (dense, lambda: given(frames=3, height=10)),
    "heads that do not divide": (lambda: dense(heads=7), given),
    "a timestep for each token": (dense, lambda: given(timestep=of_each_token())),
    "a picture": (
        lambda: dense(image_dim=32, added_kv_proj_dim=128),
        lambda: given(encoder_hidden_states_image=torch.ones(1, 257, 32)),
    ),
    "vace": (vace, lambda: given(control_hidden_states=torch.ones(1, 96, 2, 8, 8))),
    "vace, a reference": (vace, lambda: given(frames=3, control_hidden_states=torch.ones(1, 96, 3, 8, 8))),
}
KERNELS = ("diffusers", "8 bits", "pieces", "compiled")
SOME = ("tokens that do not divide", "heads that do not divide")


def wanted() -> list[tuple[str, str]]:
    """Cases and kernels: all with diffusers' own, the others where something is filled up."""
    return [(case, kernel) for case in CASES for kernel in KERNELS if kernel == "diffusers" or case in SOME]


def made(case: str, kernel: str, ranks: Ranks | None) -> torch.Tensor:
    make, asked = CASES[case]
    transformer = make()
    if kernel != "diffusers":
        eight = attention.emulated_in_8_bits if kernel == "8 bits" else None
        blocks.quicken(transformer, attention.plain, eight).in_8_bits = eight is not None
    if kernel == "compiled":
        torch._dynamo.reset()
        for block in blocks.blocks_of(transformer):
            block.compile(fullgraph=True, backend="aot_eager")
    ulysses.PIECES = 2 if kernel == "pieces" else 1
    with torch.no_grad(), blocks.many_forms():
        with ulysses.split([transformer], ranks):
            (whole,) = transformer(**asked())
        forms = compiled_forms()
        assert bool(forms) or kernel != "compiled"
        with ulysses.split([transformer], ranks):  # as another job does
            transformer(**asked())
        assert compiled_forms() == forms, "blocks are compiled once for all jobs"
        after = transformer(**asked())[0]
    if ranks is not None:  # nothing of it stays behind
        with torch.no_grad(), blocks.many_forms():
            assert torch.equal(after, made(case, kernel, None))
    return whole


def compiled_forms() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def main(folder: Path, rank: int, size: int) -> None:
    store = dist.FileStore(str(folder / f"store-{size}"), size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size)
    assert dist.group.WORLD is not None
    ranks = Ranks(dist.group.WORLD.group_name, rank, size)
    found = {(case, kernel): made(case, kernel, ranks) for case, kernel in wanted()}
    torch.save(found, folder / f"{size}-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
