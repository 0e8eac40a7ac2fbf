"""Where the weights of a checkpoint or LoRA lie on this machine, downloaded only after saying so.

Wan-Nano and the real models both end as a folder in diffusers' layout, so that one loader serves them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nano
from common import cost, hub
from common.catalog import Checkpoint, Lora, Target, Weights
from common.errors import WeightsError

Say = Callable[[str], None]

COMPONENTS = (
    "scheduler", "tokenizer", "text_encoder", "transformer", "transformer_2", "vae",
    "image_encoder", "image_processor",
)  # fmt: skip


def resolve(checkpoint: Checkpoint, weights: Weights, say: Say) -> Path:
    """The diffusers folder of a checkpoint. `say` is told before anything is downloaded."""
    if weights == "nano":
        try:
            return nano.find(checkpoint.kind)
        except KeyError as error:
            raise WeightsError(
                f"Wan-Nano has no {checkpoint.kind} model for {checkpoint.name} yet"
            ) from error
    if root := os.environ.get("WAN_MODELS"):
        mounted = Path(root) / checkpoint.key
        if is_complete(mounted):
            return mounted
        # A volume that did not come, or not whole, is no reason to fill a Space's disk instead.
        if mounted.exists() or not Path(root).is_dir():
            what = "are not whole" if mounted.exists() else "are not there"
            raise WeightsError(
                f"{checkpoint.name}: the weights that should be mounted at {mounted} {what}; mount them again "
                f"(`wan-studio deploy bake {checkpoint.key}` writes them), or take WAN_MODELS away to download "
                f"about {_gb(cost.download_bytes(checkpoint))}"
            )
    cached = hub.cached(checkpoint.repo)
    return cached if cached is not None and is_complete(cached) else _download(checkpoint, say)


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


def is_complete(folder: Path) -> bool:
    """Whether every component that model_index.json names is there, with all shards of its weights."""
    try:
        index: dict[str, Any] = json.loads((folder / "model_index.json").read_text())
        parts = [k for k, v in index.items() if isinstance(v, list) and v[0] and not k.startswith("_")]
        for part in parts:
            if not any((folder / part).iterdir()):
                return False
            for shards in (folder / part).glob("*.safetensors.index.json"):
                names = set(json.loads(shards.read_text())["weight_map"].values())
                if not all((folder / part / name).exists() for name in names):
                    return False
            wants = part in ("text_encoder", "transformer", "transformer_2", "vae", "image_encoder")
            if wants and not any((folder / part).glob("*.safetensors")):
                return False
    except (OSError, ValueError, KeyError):
        return False
    return True


def _download(checkpoint: Checkpoint, say: Say) -> Path:
    from huggingface_hub import constants

    size = cost.download_bytes(checkpoint)
    text = f"Downloading {checkpoint.name}, about {_gb(size)}, from {hub.page(checkpoint.repo)}"
    say(f"{text} to {constants.HF_HUB_CACHE}. Files that are there already are kept.")
    with hub.explained(checkpoint.name, checkpoint.repo):
        hub.ask(checkpoint.repo)
        _check_space(size, Path(constants.HF_HUB_CACHE), checkpoint)
        folder = hub.folder(checkpoint.repo, ["model_index.json", *(f"{part}/*" for part in COMPONENTS)])
    if not is_complete(folder):
        raise WeightsError(
            f"The download of {checkpoint.repo} in {folder} is incomplete; delete it, try again"
        )
    return folder


def _lora_file(lora: Lora, name: str, say: Say) -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if isinstance(found := try_to_load_from_cache(lora.repo, name), str):
        return Path(found)
    say(f"Downloading the LoRA {name} from {hub.page(lora.repo)}.")
    with hub.explained(lora.name, f"{lora.repo}/{name}"):
        return Path(hf_hub_download(lora.repo, name, etag_timeout=hub.TIMEOUT))


def _check_space(size: int, cache: Path, checkpoint: Checkpoint) -> None:
    place = next(p for p in (cache, *cache.parents) if p.exists())
    have = sum(f.stat().st_size for f in cache.glob(f"models--{checkpoint.repo.replace('/', '--')}/blobs/*"))
    free = shutil.disk_usage(place).free
    if free < size - have:
        raise WeightsError(
            f"{checkpoint.name} needs {_gb(size - have)} more on the disk of {place}, "
            f"which has {_gb(free)} free; "
            "make room or set HF_HOME to another disk"
        )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
