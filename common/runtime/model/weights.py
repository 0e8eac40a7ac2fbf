"""Where the weights of a checkpoint or LoRA lie on this machine, downloaded only after saying so.

Wan-Nano and the real models both end as a folder in diffusers' layout, so that one loader serves them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import nano
from common import cost, hub
from common.catalog import Checkpoint, Lora, Target, Weights
from common.errors import WeightsError
from common.runtime.model import configs, index, whole
from nano import sums

Say = Callable[[str], None] | None
"""Is told before anything is downloaded; None where nothing may be: a ZeroGPU worker is paid for by the second."""

COMPONENTS = (
    "scheduler", "tokenizer", "text_encoder", "transformer", "transformer_2", "vae",
    "image_encoder", "image_processor", "audio_encoder", "audio_processor",
)  # fmt: skip

WANTED = (*index.NAMES, *(f"{part}/*" for part in COMPONENTS))
"""What of a repository is fetched."""


class Watch(Protocol):
    """Follows a download. `bar` is told of every byte; see `hub.folder`."""

    bar: type[Any]

    def expect(self, total: int, done: int) -> None:
        """It has so many bytes, of which so many are here."""


ORIGIN = "wan-studio.json"
"""In a repack: the repository that it was made from, that one's commit, and what was done."""


def resolve(checkpoint: Checkpoint, weights: Weights, say: Say) -> Path:
    """The diffusers folder of a checkpoint, whole and with the configs that its row expects; else WeightsError."""
    if weights == "nano":
        try:
            folder = nano.find(checkpoint.kind)
        except KeyError as error:
            raise WeightsError(
                f"Wan-Nano has no {checkpoint.kind} model for {checkpoint.name} yet"
            ) from error
        configs.check(folder, checkpoint, weights)
        return folder
    if (volume := mounted(checkpoint)) is not None:
        return volume
    cached = hub.cached(checkpoint.repo, checkpoint.revision, WANTED)
    if cached is None or not _is_whole(cached, checkpoint):
        return fetch(checkpoint, say)
    configs.check(cached, checkpoint, weights, checkpoint.repo)
    return cached


def revision(folder: Path, weights: Weights) -> str:
    """Which commit of its repository a folder is, with what a repack made of it; empty where nobody can say."""
    if weights == "nano":
        return sums.revision()
    if folder.parent.name == "snapshots":  # the Hub's cache
        return folder.name
    try:
        origin = json.loads((folder / ORIGIN).read_text("utf-8"))
        return f"{origin['revision']}+{origin['form']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def is_mounted(folder: Path) -> bool:
    """Whether a checkpoint's folder is one of WAN_MODELS, which the deployer chose: what lies there may be run."""
    root = os.environ.get("WAN_MODELS")
    return bool(root) and folder.parent == Path(root)


def in_8_bits(checkpoints: Iterable[Checkpoint]) -> list[str]:
    """Those of which a repack in 8 bits is mounted, as its own config says: they run in 8 bits on every machine.

    To be called when a Space starts: WeightsError for a volume that did not come, or not whole.
    """
    found: list[str] = []
    for checkpoint in checkpoints:
        folder = mounted(checkpoint)
        if folder and "quantization_config" in json.loads((folder / "transformer/config.json").read_text("utf-8")):
            found.append(checkpoint.key)
    return found


def resolve_lora(lora: Lora, checkpoint: Checkpoint, weights: Weights, say: Say) -> list[tuple[Target, Path]]:
    """The files of a LoRA, each with the transformer that it goes into."""
    if weights == "nano":
        try:
            # FLF2V borrows the LoRA of I2V, as its real checkpoint does.
            files = nano.lora(checkpoint.kind if nano.kind_named(checkpoint.kind).lightning else lora.kind)
        except KeyError as error:
            raise WeightsError(
                f"Wan-Nano has no Lightning LoRA for {checkpoint.name}; use Quality"
            ) from error
        # A hybrid puts one file into both experts.
        return [(f.target, files.get(f.target) or files["transformer"]) for f in lora.files]
    return [(f.target, _lora_file(lora, f.weight_name, say)) for f in lora.files]


def mounted(checkpoint: Checkpoint) -> Path | None:
    """A volume's folder; None where there is none for this checkpoint.

    One that did not come, or not whole, is no reason to fill a Space's disk instead.
    """
    if not (root := os.environ.get("WAN_MODELS")):
        return None
    folder = Path(root) / checkpoint.key
    wrong = "are not there" if not Path(root).is_dir() else ""
    if not wrong and not folder.exists():
        return None
    if not wrong and (fault := whole.fault(folder)):
        wrong = f"are not whole: {fault.text}"
    have = revision(folder, "wan")
    if not wrong and checkpoint.revision and have and have.split("+")[0] != checkpoint.revision:
        wrong = f"are of {have[:12]}, not of {checkpoint.revision[:12]}, which is pinned"
    if wrong:
        raise WeightsError(
            f"{checkpoint.name}: the weights that should be mounted at {folder} {wrong}; mount them again "
            f"(`wan-studio deploy bake {checkpoint.key}` writes them), or take WAN_MODELS away to download "
            f"about {_gb(cost.download_bytes(checkpoint))}"
        )
    configs.check(folder, checkpoint, "wan", str(folder))
    return folder


def _is_whole(folder: Path, checkpoint: Checkpoint) -> bool:
    """Whether nothing is missing. What is there and was cut is not downloaded again by itself: it is an error."""
    fault = whole.fault(folder)
    if fault is None or fault.missing:
        return fault is None
    raise WeightsError(
        f"{checkpoint.name}: {checkpoint.repo} is not whole in {folder}: {fault.text}. "
        f"Delete {_target(fault.file or folder)} and start again; what is whole is kept"
    )


def _target(file: Path) -> Path:
    # The Hub's cache would take the file that its link points to for whole.
    return file.resolve()


def fetch(checkpoint: Checkpoint, say: Say, watch: Watch | None = None, *, again: bool = False) -> Path:
    """The folder of a checkpoint, downloaded as far as it is not here, or all of it `again`; WeightsError."""
    from huggingface_hub import constants

    repo, commit = checkpoint.repo, checkpoint.revision
    if say is None:
        raise _not_here(f"{checkpoint.name} ({repo})")
    size = cost.download_bytes(checkpoint)
    text = f"Downloading {checkpoint.name}, about {_gb(size)}, from {hub.page(repo)}"
    say(f"{text} to {constants.HF_HUB_CACHE}. Files that are there already are kept.")
    with hub.explained(checkpoint.name, repo):
        files = hub.ask(repo, commit)
        there = sum(n for path, n in files.items() if path.startswith(tuple(f"{p}/" for p in COMPONENTS)))
        # The small files first: a repository that changed is no reason to fill the disk.
        small = hub.folder(repo, [*index.NAMES, *(f"{part}/*.json" for part in COMPONENTS)], commit)
        configs.check(small, checkpoint, "wan", repo)
        have = _check_space(there or size, Path(constants.HF_HUB_CACHE), checkpoint)
        if watch is not None:
            watch.expect(there or size, 0 if again else have)
        folder = hub.folder(repo, WANTED, commit, bar=watch.bar if watch else None, again=again)
    if not _is_whole(folder, checkpoint):
        raise WeightsError(f"The download of {repo} in {folder} is incomplete; start again to go on with it")
    configs.check(folder, checkpoint, "wan", repo)
    return folder


def _lora_file(lora: Lora, name: str, say: Say) -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    found = try_to_load_from_cache(lora.repo, name, revision=lora.revision)
    if isinstance(found, str):
        path = Path(found)
    elif say is None:
        raise _not_here(f"The LoRA {name} ({lora.repo})")
    else:
        say(f"Downloading the LoRA {name} from {hub.page(lora.repo)}.")
        with hub.explained(lora.name, f"{lora.repo}/{name}"):
            path = Path(hf_hub_download(lora.repo, name, revision=lora.revision, etag_timeout=hub.TIMEOUT))
    if fault := whole.cut(path):
        raise WeightsError(f"{lora.name}: {fault.text}. Delete {_target(path)} and start again")
    return path


def _not_here(name: str) -> WeightsError:
    return WeightsError(
        f"{name} is not on this Space's disk, and nothing is downloaded while a GPU is paid for; restart the Space, "
        "which fetches all that it may need"
    )


def _check_space(size: int, cache: Path, checkpoint: Checkpoint) -> int:
    """How much of a checkpoint is there already; WeightsError where the rest has no room."""
    place = next(p for p in (cache, *cache.parents) if p.exists())
    have = sum(f.stat().st_size for f in cache.glob(f"models--{checkpoint.repo.replace('/', '--')}/blobs/*"))
    free = shutil.disk_usage(place).free
    if free < size - have:
        raise WeightsError(
            f"{checkpoint.name} needs {_gb(size - have)} more on the disk of {place}, "
            f"which has {_gb(free)} free; "
            "make room or set HF_HOME to another disk"
        )
    return have


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
