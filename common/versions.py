"""Versions of what decides how a video looks."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "wan-studio", "torch", "diffusers", "transformers", "peft", "torchao", "fa3-fwd", "cache-dit", "gradio", "spaces",
    "av", "pillow",
)  # fmt: skip


@cache
def versions() -> dict[str, str]:
    """Those of the packages that are installed here."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
