"""Runs a Space's app.py under the real `spaces` package, with the CUDA calls of a worker replaced.

`python space_on_cpu.py spaces/t2v/app.py`. Packing, forking, streaming and stopping are the package's own;
"initialise the GPU" and "copy the packed tensors to it" alone land in ordinary memory. FLOAT8_BLOCKS=1
places every transformer in 8 bits.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:  # nothing of the Space may come before `spaces`
    from common.contract import Placement


def install() -> None:
    """Must run before anything imports `spaces`."""
    torch.version.cuda = torch.version.cuda or "13.0"
    if not hasattr(torch._C, "_cuda_init"):
        torch._C._cuda_init = lambda: None
    torch.cuda._is_in_bad_fork = bool  # must pickle
    import spaces.zero.torch as zero
    from spaces.zero.torch import patching

    def init(uuid: str) -> None:
        os.environ["CUDA_VISIBLE_DEVICES"] = uuid

    def move(callback: Any = None) -> None:
        tell = callback or (lambda size: None)
        for fake, original in list(patching.cuda_aliases.items()):
            if original is not None:
                fake.data = original
                tell(fake.numel() * fake.element_size())
        for pack in patching.tensor_packs:
            size = os.path.getsize(pack.path())  # noqa: PTH202
            raw = torch.from_file(pack.path(), shared=False, size=size, dtype=torch.uint8)
            offset = 0
            for tensor, size, aligned in [*(x for batch in pack.batches for x in batch), *pack.big_tensors]:
                storage = raw[offset : offset + size].clone().untyped_storage()
                offset += aligned
                real = torch.tensor([], dtype=tensor.dtype).set_(storage, 0, tensor.shape, tensor.stride())
                for fake in pack.fakes[tensor]:
                    fake.data = real
                tell(size)

    zero.init, zero.move = init, move


def in_8_bits(place: Callable[..., Placement | None]) -> Callable[..., Placement | None]:
    """`placement.place` as where memory is short: the transformers' blocks have 8 bits. Wan-Nano's never need it."""

    def short(*args: Any) -> Placement | None:
        placed = place(*args)
        form: Any = {"transformer": "float8"}
        return placed and placed.model_copy(update={"precision": placed.precision | form})

    return short


if __name__ == "__main__":
    torch.set_num_threads(1)
    install()
    if os.environ.get("FLOAT8_BLOCKS"):
        from common import placement

        placement.place = in_8_bits(placement.place)
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
