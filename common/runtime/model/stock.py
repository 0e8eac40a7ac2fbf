"""What lies of checkpoints and LoRAs on this machine's disk, and what of it goes: nothing that a job needs.

Wan-Nano is part of the code and a volume is its deployer's: neither is deleted. The rest lies in the Hub's cache.
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from huggingface_hub.errors import CacheNotFound

from common import cost, hub
from common.catalog import CHECKPOINTS, LORAS, Checkpoint, Lora, Weights
from common.contract import OnDisk
from common.errors import InputError, UnavailableError, WeightsError
from common.runtime.model import fetching, weights, whole

_used: Counter[str] = Counter()
_lock = threading.Lock()


@contextmanager
def using(checkpoint: str) -> Iterator[None]:
    """A job of this process, waiting or at work, needs a checkpoint and its LoRAs."""
    with _lock:
        _used[checkpoint] += 1
    try:
        yield
    finally:
        with _lock:
            _used[checkpoint] -= 1


def used(checkpoint: str) -> bool:
    """Whether a job needs it."""
    with _lock:
        return _used[checkpoint] > 0


# ---------------------------------------------------------------------- what is there


def of(row: Checkpoint, kind: Weights) -> OnDisk:
    """What is here of a checkpoint. Reads names, sizes and headers; never raises, never asks the Hub."""
    if kind == "nano":
        return _of_nano(row)
    wanted = cost.download_bytes(row)
    try:
        if (mounted := weights.mounted(row)) is not None:
            return OnDisk(where="volume", whole=True, bytes=_size(mounted), wanted=wanted)
    except WeightsError:  # one that did not come, or not whole; who asks for a video is told
        return OnDisk(where="volume", wanted=wanted)
    have, coming = _size(_home(row.repo) / "blobs"), fetching.state(row.key)
    folder = hub.cached(row.repo, row.revision, weights.WANTED) if have else None
    there = folder is not None and whole.is_whole(folder)
    return OnDisk(whole=there, bytes=have, wanted=have if there else wanted, coming=coming)


def of_lora(lora: Lora, row: Checkpoint, kind: Weights) -> OnDisk:
    """What is here of a LoRA, as `row` would take it."""
    if kind == "nano":
        try:
            files = [path for _, path in weights.resolve_lora(lora, row, kind, None)]
        except WeightsError:
            return OnDisk(where="code")
        size = sum(file.stat().st_size for file in dict.fromkeys(files))
        return OnDisk(where="code", whole=True, bytes=size, wanted=size)
    found = lora_files(lora)
    size = sum(file.stat().st_size for file in found)
    return OnDisk(whole=len(found) == len({f.weight_name for f in lora.files}), bytes=size)


def lora_files(lora: Lora) -> list[Path]:
    """The files of a LoRA that are in the Hub's cache, each once."""
    from huggingface_hub import try_to_load_from_cache

    names = dict.fromkeys(file.weight_name for file in lora.files)
    found = (try_to_load_from_cache(lora.repo, name, revision=lora.revision) for name in names)
    return [Path(path) for path in found if isinstance(path, str) and Path(path).exists()]


# ---------------------------------------------------------------------- what goes


def delete(row: Checkpoint, kind: Weights) -> int:
    """Deletes a checkpoint from the Hub's cache; how many bytes that freed."""
    name, there = row.name, of(row, kind)
    if there.where == "code":
        hint = "there is nothing to delete"
        raise InputError("checkpoint", f"{name} is Wan-Nano here, which is part of the code", hint=hint)
    if there.where == "volume":
        hint = "whoever mounted the volume can take it away"
        rule = f"{name} lies on a volume (WAN_MODELS), which is not ours to delete"
        raise InputError("checkpoint", rule, hint=hint)
    if fetching.running(row.key):
        raise UnavailableError(f"{name} is being downloaded; cancel that first")
    with _lock:  # no job comes in between
        if _used[row.key]:
            raise UnavailableError(f"{name} is needed by a job that runs or waits; let it end, or stop it first")
        _remove_repository(row.repo)
    if _home(row.repo).exists():
        raise UnavailableError(f"{name} could not be deleted from {_home(row.repo)}; see the log")
    return there.bytes


def clear_loras() -> int:
    """Deletes the catalog's LoRAs from the Hub's cache but those that a job needs; bytes freed.

    What else of their repositories is there, another program has fetched.
    """
    with _lock:
        needed = {lora for key, jobs in _used.items() if jobs > 0 for lora in CHECKPOINTS[key].loras}
        kept = {file for key in needed for file in lora_files(LORAS[key])}
        gone = {file for lora in LORAS.values() for file in lora_files(lora)} - kept
        return _remove_files(gone)


def _remove_repository(repo: str) -> None:
    """All of it, as `hf cache rm` does, which knows what of it other repositories have too."""
    from huggingface_hub import constants, scan_cache_dir

    with suppress(CacheNotFound):
        cache = scan_cache_dir(constants.HF_HUB_CACHE)
        mine = [found for found in cache.repos if found.repo_id == repo and found.repo_type == "model"]
        cache.delete_revisions(*(r.commit_hash for found in mine for r in found.revisions)).execute()
    shutil.rmtree(_home(repo), ignore_errors=True)  # a download that broke off before its first file


def _remove_files(files: Collection[Path]) -> int:
    from huggingface_hub import constants, scan_cache_dir

    if not files:
        return 0
    cache = scan_cache_dir(constants.HF_HUB_CACHE)
    every = (file for repo in cache.repos for revision in repo.revisions for file in revision.files)
    strategy = cache.delete_files(*(file for file in every if file.file_path in files))
    strategy.execute()
    return strategy.expected_freed_size


def _home(repo: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"


def _of_nano(row: Checkpoint) -> OnDisk:
    try:
        folder = weights.resolve(row, "nano", None)
    except WeightsError:
        return OnDisk(where="code")
    size = sum(_size(part.resolve()) for part in folder.iterdir())  # they are links to what models share
    return OnDisk(where="code", whole=True, bytes=size, wanted=size)


def _size(folder: Path) -> int:
    """Bytes of the files in a folder and those below, each once, whatever links to them."""
    total = 0
    for file in {file.resolve() for file in folder.rglob("*")} if folder.is_dir() else ():
        with suppress(OSError):  # gone meanwhile
            total += file.stat().st_size if file.is_file() else 0
    return total
