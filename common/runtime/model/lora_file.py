"""What a LoRA's file holds, by its header alone, and whether all of it came into a transformer.

diffusers drops what it has no place for with a line in the log, and the video is made without it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from common.errors import WeightsError

_DOWN = (".lora_down.weight", ".lora_A.weight", ".lora_A.default.weight")
_UP = (".lora_up.weight", ".lora_B.weight", ".lora_B.default.weight")
_WRAPPER = "base_model.model."
"""PEFT's, around a whole model."""
_UPSTREAM = ("blocks.", f"{_WRAPPER}blocks.")
_SEES_CLIP = ("k_img", "v_img", "add_k_proj", "add_v_proj", "img_emb", "image_embedder")
# Biases that diffusers keeps; head.head.diff is the one whole difference that it keeps.
_KEPT_BIAS = re.compile(
    r"blocks\.\d+\.(self_attn|cross_attn|ffn)\.\w+\.diff_b|"
    r"(head\.head|time_projection\.1|(text|time)_embedding\.[02]|img_emb\.proj\.[13])\.diff_b"
)


@dataclass(frozen=True)
class Header:
    """The tensors of a LoRA's file: `layers` have a matrix on each side, `ranks` are theirs, `differences` is what
    diffusers leaves out of the rest, `biases` what it keeps of it.
    """

    name: str
    tensors: int
    layers: tuple[str, ...]
    ranks: tuple[int, ...]
    differences: tuple[str, ...]
    biases: int

    @property
    def even(self) -> bool:
        """Whether all layers have a bias, or none: diffusers leaves those of a mixed file without memory."""
        return self.biases in (0, len(self.layers))

    @property
    def rank(self) -> int:
        """That of most layers; a head can have no more than it has outputs."""
        return Counter(self.ranks).most_common(1)[0][0]


def read(path: Path) -> Header:
    """The header of a file; WeightsError where it cannot be read, or is no LoRA."""
    try:
        with safe_open(path, framework="pt") as file:
            names = sorted(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path.name} cannot be read ({str(error)[:100]}); delete {path}, and it is fetched anew"
        ) from error
    down = {layer: name for name in names if (layer := _without(name, _DOWN))}
    up = {layer for name in names if (layer := _without(name, _UP))}
    if not down:
        raise WeightsError(f"{path.name} is no LoRA: none of its {len(names)} tensors is a pair of matrices")
    if half := down.keys() ^ up:
        raise WeightsError(
            f"{path.name} is not whole: {len(half)} of {len(down.keys() | up)} layers have one matrix of two, "
            f"such as {min(half)}; delete {path}, and it is fetched anew"
        )
    differences = tuple(name for name in names if _is_left_out(name, names))
    return Header(
        name=path.name,
        tensors=len(names),
        layers=tuple(down),
        ranks=tuple(shapes[name][0] for name in down.values()),
        differences=differences,
        biases=sum(name.endswith((".diff_b", ".lora_B.bias")) for name in {*names} - {*differences}),
    )


def source(path: Path) -> Path | dict[str, Any]:
    """What diffusers is to be given of a file: its tensors by other names, where it would not know them.

    It takes upstream's names with a word before them, which the relighting LoRA lacks: nothing of it would be loaded.
    """
    with safe_open(path, framework="pt") as file:
        names = [*file.keys()]
        if not all(name.startswith(_UPSTREAM) for name in names):
            return path
        return {f"diffusion_model.{name.removeprefix(_WRAPPER)}": file.get_tensor(name) for name in names}


def check(header: Header, transformer: Any, landed: Sequence[str]) -> str:
    """What of a file did not come into a transformer but is not missed, in words; empty where all is there.

    `landed` names the layers that have its matrices. WeightsError where layers are missed.
    """
    blocks = len(transformer.blocks)
    there = {block for name in landed if (block := _block(name)) is not None}
    if len(there) < blocks:
        raise WeightsError(
            f"{header.name} changes {len(there)} of the model's {blocks} blocks: it is not whole, or was made "
            "for another model"
        )
    kinds = {_kind(name) for name in landed if _block(name) is not None}
    holes = blocks * len(kinds) - sum(_block(name) is not None for name in landed)
    if holes:
        raise WeightsError(
            f"{header.name} leaves {holes} of {blocks * len(kinds)} layers of the blocks as they are, and changes "
            "the same ones in other blocks: it is not whole"
        )
    clip = [name for name in header.layers if any(part in name for part in _SEES_CLIP)]
    lacks_clip = getattr(transformer.config, "image_dim", None) is None
    # A file for text to video has no layers for CLIP: diffusers adds empty ones, so that more may land than it has.
    expected = len(header.layers) - (len(clip) if lacks_clip else 0)
    if len(landed) < expected:
        raise WeightsError(
            f"{header.name}: {expected - len(landed)} of {len(header.layers)} layers found no place in the model; "
            "it was made for another one"
        )
    unused = {
        "differences of norms and embeddings, which diffusers leaves out": len(header.differences),
        "layers for a picture's CLIP embedding, which this model does not read": 2 * len(clip) * lacks_clip,
    }
    why = "; ".join(f"{n} {text}" for text, n in unused.items() if n)
    return (
        f"{sum(unused.values())} of {header.tensors} tensors of {header.name} are not used: {why}."
        if why
        else ""
    )


def _is_left_out(name: str, names: Iterable[str]) -> bool:
    if not name.endswith((".diff", ".diff_b")):
        return False
    if "norm" in name:
        return True
    if "time_projection" in name:
        return not any("time_projection" in n and n.endswith(".weight") for n in names)
    return not (_KEPT_BIAS.search(name) or name.endswith("head.head.diff"))


def _without(name: str, endings: Iterable[str]) -> str:
    return next((name.removesuffix(end) for end in endings if name.endswith(end)), "")


def _block(layer: str) -> str | None:
    found = re.match(r"blocks\.(\d+)\.", layer)
    return found[1] if found else None


def _kind(layer: str) -> str:
    return re.sub(r"^blocks\.\d+\.", "", layer)
