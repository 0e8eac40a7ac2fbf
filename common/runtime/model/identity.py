"""When a part of one repository is the same model as a part of another, whose file has other bytes.

Wan was published with one UMT5, one CLIP and one VAE for each latent space: in fp32 beside the 2.1 models, and
UMT5 in bf16 beside the 2.2 ones. So equal sizes are the same weights; on a CPU, which works in fp32, the one that
came first serves, rounded to bf16 or not. Of Wan-Nano this is not true: there the files decide.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Hashable
from pathlib import Path
from typing import Any

_SIZES = {
    "text_encoder": ("d_model", "d_kv", "d_ff", "num_layers", "num_heads", "vocab_size", "feed_forward_proj"),
    "image_encoder": (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size",
    ),
}  # fmt: skip
"""What makes these models, by transformers' names; the rest of their configs changes with its version."""


def of(folder: Path, entry: list[str]) -> Hashable:
    """What a shared part of a Wan repository is: its class and sizes. None where only its files can say."""
    library, name = entry
    try:
        if folder.name == "tokenizer":  # one for the encoder: it has no sizes of its own
            return of(folder.parent / "text_encoder", ["transformers", "UMT5EncoderModel"])
        kind: Any = getattr(importlib.import_module(library), name)
        if folder.name in _SIZES:
            config = kind.config_class.from_pretrained(folder)
            return name, tuple(str(getattr(config, key)) for key in _SIZES[folder.name])
        if folder.name == "vae":
            return name, _arguments(kind, kind.load_config(folder))
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None  # loading it will say what is wrong
    return None


def _arguments(kind: Any, config: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """All that a model of diffusers is made with: what a config of an older version lacks is the default."""
    wanted = inspect.signature(kind.__init__).parameters.items()
    made = {name: config.get(name, p.default) for name, p in wanted if name not in ("self", "dropout")}
    # JSON has lists where Python's defaults are tuples.
    return tuple((k, str(list(v) if isinstance(v, tuple) else v)) for k, v in sorted(made.items()))  # pyright: ignore[reportUnknownArgumentType]
