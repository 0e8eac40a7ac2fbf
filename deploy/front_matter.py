"""The README of a Space: its front matter, generated from the mode, and a page for its visitors."""

from __future__ import annotations

import json
from pathlib import Path

from common.catalog import CHECKPOINTS, LORAS
from common.modes.all import MODES
from deploy.federation import ROOT
from deploy.requirements import gradio_version
from deploy.targets import Target

SHORT = 60
"""The Hub refuses a longer short_description."""

PYTHON = "3.12"  # diffusers 0.42 needs 3.11; a Space without this line gets 3.10


def readme(target: Target, root: Path = ROOT) -> str:
    """README.md as the Hub reads it (front matter) and as people do (the rest)."""
    mode = MODES[target.mode] if target.mode else None
    title = f"Wan Studio · {mode.title}" if mode else "Wan Studio"
    about = mode.about if mode else "Every open Wan video model in one window."
    fields: dict[str, object] = {
        "title": title,
        "emoji": _emoji(mode.icon if mode else "🎬"),
        "colorFrom": "indigo",
        "colorTo": "pink",
        "sdk": "gradio",
        "sdk_version": gradio_version(root),
        "python_version": PYTHON,
        "app_file": "app.py",
        "short_description": shorten(about),
        "license": "apache-2.0",
        "pinned": target.is_router,
        "tags": ["wan", "video", *(["mcp-server"] if mode else [])],
    }
    if models := _models(target):
        fields["models"] = models
        fields["startup_duration_timeout"] = "1h"  # the default of 30 minutes is less than the download
    if target.sign_in:
        fields["hf_oauth"] = True
    # JSON scalars and lists are YAML, so that nothing in a title can break the block.
    block = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items())
    return f"---\n{block}---\n\n# {title}\n\n{about}\n\n{_page(target)}"


def shorten(text: str) -> str:
    """The text, or as many of its words as fit in the Hub's limit."""
    if len(text) <= SHORT:
        return text
    words = text[: SHORT - 1].rsplit(" ", 1)[0].rstrip(" ,;:.")
    return f"{words}…"


def _emoji(icon: str) -> str:
    # The Hub takes pictographs only; arrows and the like are refused.
    return icon if icon and ord(icon[0]) >= 0x1F000 else "🎞️"


def _models(target: Target) -> list[str]:
    if target.weights != "wan":
        return []
    repos: list[str] = []
    for key in target.checkpoints:
        checkpoint = CHECKPOINTS[key]
        repos.append(checkpoint.repo)
        repos += [LORAS[k].repo for p in checkpoint.presets.values() for k in p.loras]
    return list(dict.fromkeys(repos))


def _page(target: Target) -> str:
    if target.mode is None:
        return "Each mode runs in a Space of its own; this one draws them all and sends results on.\n"
    lines = [f"- {CHECKPOINTS[key].name}\n" for key in target.checkpoints]
    if target.weights == "nano":
        lines = ["Demo weights (Wan-Nano): real pipelines, tiny models, coloured shapes.\n"]
    call = f'Client("{target.repo_id}").predict(…, api_name="/generate")'
    return "".join([*lines, f"\n```python\nfrom gradio_client import Client\n\n{call}\n```\n"])
