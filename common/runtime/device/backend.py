"""Which machine this is, and in which number formats models run on it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from common.contract import Backend, Device
from common.errors import InputError
from common.placement import precision, zerogpu
from common.runtime.fast import attention, integers, shortcuts
from common.settings import SpaceSettings
from nano.assemble import cache_root


def on_zerogpu() -> bool:
    """Whether the `spaces` package lends us a GPU call by call."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def detect(settings: SpaceSettings, first_checkpoint: str) -> Backend:
    """The machine behind a Space; `gpu_size` is set on ZeroGPU alone."""
    quick, cards = settings.speed != "exact", settings.cards
    if on_zerogpu():
        _there(cards, 1, "ZeroGPU lends one")
        lent = zerogpu(settings.tier(first_checkpoint))
        return lent.model_copy(update={"attention": "int8"}) if quick and integers.may_work(None) else lent
    if settings.device != "cpu" and torch.cuda.is_available():
        # In segments of fixed size what lies between tensors is lost: TI2V-5B's decode died with 5 GB of 51 unused.
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
        if cards > 1:
            _there(cards, there := torch.cuda.device_count(), f"this machine has {there}")
        card = torch.cuda.get_device_properties(0)
        capability = (card.major, card.minor)
        fast = quick and attention.compiles(capability)
        by_integers = quick and integers.may_work(capability)
        if fast:  # torch's own place for them is emptied with each start of the machine, and anybody's to fill
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_root().with_name("compiled")))
        return Backend(
            device="cuda",
            name=card.name,
            memory_bytes=min(torch.cuda.get_device_properties(n).total_memory for n in range(cards)),
            host_bytes=_ram(),
            capability=capability,
            compiles=fast,
            attention="fa3" if fast and attention.has_fa3(capability) else "int8" if by_integers else "sdpa",
            step_cache=fast and shortcuts.has_step_cache(),
            cards=cards,
        )
    if settings.device != "cpu" and torch.backends.mps.is_available():
        _there(cards, 1, "a Mac has one")
        most = int(torch.mps.recommended_max_memory())
        # torch would go on to 1.7 times as much, into swap, and has taken whole machines down; so it says no in time.
        torch.mps.set_per_process_memory_fraction(1.0)
        return Backend(device="mps", name="Apple GPU", memory_bytes=most)
    if settings.weights == "nano":
        # Tiny tensors: a second thread costs more than it gives (a clip: 11 s with 1, 26 s with 2).
        torch.set_num_threads(1)
    name = f"CPU ({os.cpu_count()} cores)"
    return Backend(device="cpu", name=name, memory_bytes=_ram() // cards, cards=cards)


def _there(wanted: int, cards: int, what: str) -> None:
    if wanted > cards:
        rule = f"must be at most {cards}, for {what}"
        raise InputError("WAN_CARDS", rule, got=str(wanted), hint="leave it empty for one card a job")


def dtype_of(part: str, device: Device) -> torch.dtype:
    """The format that a pipeline's part is loaded in; 8 bits are made of it afterwards."""
    return getattr(torch, precision(part, device))


def free_memory(device: Device) -> None:
    """Gives cached memory back to the device."""
    if device == "cuda" and torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether a device had no room; for Apple's torch raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in str(error)


CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container's limit stands."""


def _ram() -> int:
    """Bytes of the machine's memory, or of the part of it that a container may have."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # Windows has no sysconf
        return 0
    limits = [int(text) for path in CGROUPS if (text := _text(path)).isdecimal()]
    return min([whole, *limits])


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError:
        return ""
