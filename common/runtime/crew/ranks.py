"""The process group of those that share a job: NCCL between cards, gloo between processes on a CPU."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from common.contract import Device
from common.runtime.together import Ranks

TIMEOUT = timedelta(minutes=10)
"""For one collective: where one compiles its blocks, the others wait."""

_lock = threading.Lock()
_met: Path | None = None
"""Where those of the group have met, which is there; a process is of one at a time."""
_half: Ranks | None = None


def join(store: Path, rank: int, size: int, device: Device) -> Ranks:
    """Waits for all of them, who meet in the file `store`, the first time."""
    global _met, _half
    if _met != store:
        # Else torch ends the whole process, and the Studio with it, where one of the others is gone: see `leave`.
        os.environ["TORCH_NCCL_ASYNC_ERROR_HANDLING"] = "0"
        os.environ["TORCH_NCCL_ENABLE_MONITORING"] = "0"
        if device == "cpu":  # else it looks the host's name up, which many a container cannot
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
        dist.init_process_group(
            "nccl" if device == "cuda" else "gloo",
            init_method=store.as_uri(), rank=rank, world_size=size, timeout=TIMEOUT,
            device_id=torch.device("cuda", torch.cuda.current_device()) if device == "cuda" else None,
        )  # fmt: skip
        _half = _halved(rank, size)
        _met = store
    assert dist.group.WORLD is not None
    return Ranks(dist.group.WORLD.group_name, rank, size, _half)


def _halved(rank: int, size: int) -> Ranks | None:
    """All make the groups of both halves; who is alone in one has nobody to talk to."""
    each, odd = divmod(size, 2)
    if odd:
        return None
    name = ""
    for first in (0, each) if each > 1 else ():
        members = [*range(first, first + each)]
        group: Any = dist.new_group(members, timeout=TIMEOUT)
        if rank in members:
            name = group.group_name
    return Ranks(name, rank % each, each)


def leave(store: Path) -> None:
    """Ends that group, whatever it waits for: NCCL waits on the card itself, for ever, unless it is aborted."""
    global _met
    with _lock, suppress(Exception):  # it may be half there
        if _met != store:
            return
        _met = None
        if dist.get_backend() == "nccl":
            dist.distributed_c10d._abort_process_group()
        if dist.is_initialized():
            dist.destroy_process_group()
