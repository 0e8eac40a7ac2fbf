"""Which parts a repository has, and of which classes: what model_index.json says, or a modular pipeline's own index.

A repository may have both: those of Wan-Animate-2 kept the one of a pipeline that diffusers never had.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PLAIN = "model_index.json"
MODULAR = "modular_model_index.json"
NAMES = (MODULAR, PLAIN)
"""The first that is there counts."""
_S2V = ["common.runtime.pipelines.s2v.transformer", "WanS2VTransformer3DModel"]
OURS = {"WanS2VTransformer3DModel": _S2V, "WanModel_S2V": _S2V}
"""Classes that diffusers has none of, by what indexes call them, and those that stand for them."""


def name_in(folder: Path) -> str:
    """The name of a folder's index, whether that is there or not."""
    return next((name for name in NAMES if (folder / name).is_file()), PLAIN)


def parts(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """Library and class of each part that an index names."""
    found = {name: _class(entry) for name, entry in content.items() if isinstance(entry, list)}
    return {name: entry for name, entry in found.items() if entry}


def read(folder: Path) -> tuple[Mapping[str, Any], dict[str, list[str]]]:
    """A folder's index and its parts; of a scheduler the class that its own config names.

    A modular pipeline takes any scheduler, and its index may say no more than that.
    """
    content = json.loads((folder / name_in(folder)).read_text("utf-8"))
    found = parts(content)
    if found.get("scheduler", ["", ""])[1] == "SchedulerMixin":
        config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text("utf-8"))
        found["scheduler"] = ["diffusers", config["_class_name"]]
    return content, found


def _class(entry: list[Any]) -> list[str]:
    """`[library, class]`, or of a modular index `[library, class, {"type_hint": [library, class], ...}]`.

    There the first two are null where the index was written before the part was loaded.
    """
    hint = entry[2].get("type_hint") if len(entry) == 3 and isinstance(entry[2], dict) else None
    named = entry[:2] if all(entry[:2]) else hint
    if not named or not all(named):
        return []
    return OURS.get(named[1], [*named])
