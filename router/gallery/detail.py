"""One result in full: the video, every setting, where it came from, and what can be done with it."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from itertools import groupby
from typing import Any

from common.contract import Lineage, MediaHandle
from common.errors import InputError
from common.modes.all import MODES
from common.retrace import recipe_of
from router import chaining
from router.gallery.grid import Shown, attribute
from router.gallery.items import Item
from router.gallery.tree import tree
from router.shell import short

VALUE_CHARACTERS = 2_000
_TOLD = {
    "prompt", "negative_prompt", "checkpoint", "preset", "width", "height", "num_frames", "num_inference_steps",
    "guidance_scale", "guidance_scale_2", "flow_shift", "seed", "strength",
}  # fmt: skip
"""Of a request, what the plan says better."""
_NO_FILE = MediaHandle(path="-")


def detail(shown: Shown, items: Sequence[Item], *, local: bool) -> str:
    """The panel's HTML. `local` says that the file lies on this machine, where pictures can be made of it."""
    item = shown.item
    if shown.source:
        video = (
            f'<video src="{attribute(shown.source)}" controls autoplay loop muted playsinline '
            "onerror=\"this.closest('.detail').classList.add('gone')\"></video>"
        )
    else:
        video = ""
    star = "true" if item.favourite else "false"
    return (
        f'<section class="detail" data-turn="{_turn()}" aria-label="Selected result" tabindex="-1">'
        f"<header><h3><b class='badge'>{short(item.mode)}</b> {escape(_title(item))}</h3>"
        f'<button type="button" class="star" data-act="favourite" data-key="{item.key}" aria-pressed="{star}" '
        f'aria-label="Favourite">{"★" if item.favourite else "☆"}</button>'
        '<button type="button" class="close" data-close aria-label="Close">✕</button></header>'
        f'{video}<p class="lost">This file is no longer kept.</p>{_actions(shown, local=local)}'
        f"{_settings(item.lineage)}{_lineage(item, items)}</section>"
    )


def gone() -> str:
    """For a key that is not here: no longer, or never."""
    return (
        f'<section class="detail" data-turn="{_turn()}" aria-label="Selected result" tabindex="-1">'
        "<header><h3>This result is not here</h3>"
        '<button type="button" class="close" data-close aria-label="Close">✕</button></header></section>'
    )


def _turn() -> str:
    """Another one each time: what was closed in the page is drawn again, though it is the same."""
    return secrets.token_hex(4)


def compared(pair: Sequence[Shown]) -> str:
    """Two results side by side; gallery.js moves both with one transport."""
    sides = "".join(
        f'<figure><video src="{attribute(s.source)}" muted playsinline preload="auto" '
        f'data-fps="{s.item.video.fps or 16:g}"></video><figcaption><b class="badge">{short(s.item.mode)}</b> '
        f"<span class='words'>{escape(s.item.prompt[:90])}</span> <span class='dim'>{_brief(s.item)}</span>"
        "</figcaption></figure>"
        for s in pair
    )
    return (
        f'<section class="compare" data-turn="{_turn()}" aria-label="Compare two results" tabindex="-1">'
        "<header><h3>Side by side</h3>"
        '<button type="button" class="close" data-close aria-label="Close">✕</button></header>'
        f'<div class="pair">{sides}</div><div class="transport">'
        '<button type="button" data-step="-1" aria-label="One frame back">◂</button>'
        '<button type="button" data-play aria-label="Play">▶</button>'
        '<button type="button" data-step="1" aria-label="One frame on">▸</button>'
        '<input type="range" min="0" max="1" step="any" value="0" aria-label="Time"><output>0.00 s</output>'
        "</div></section>"
    )


# ------------------------------------------------------------------ what can be done


def _actions(shown: Shown, *, local: bool) -> str:
    item, key = shown.item, shown.item.key
    return (
        f'<div class="acts">{_reload(item)}{_menu("Send to", _targets(item))}'
        f"{_menu('Export', _exports(shown, local=local))}"
        f'<button type="button" class="danger" data-act="delete" data-key="{key}">Delete</button></div>'
    )


def _reload(item: Item) -> str:
    if item.lineage is None:
        return ""
    own = (
        f'<button type="button" class="main" data-act="reload" data-key="{item.key}">'
        f"Reload into {short(item.mode)}</button>"
    )
    others = "".join(
        f'<button type="button" data-act="reload" data-key="{item.key}" data-into="{key}">'
        f"{short(key)}<small>prompt and seed</small></button>"
        for key in MODES
        if key != item.mode
    )
    return own + _menu("Reload into …", others)


def _targets(item: Item) -> str:
    numbered = list(enumerate(chaining.meanings(item.mode)))
    out: list[str] = []
    for target, group in groupby(numbered, key=lambda pair: pair[1].target):
        out.append(f'<p class="group">{short(target)}</p>')
        out += [
            f'<button type="button" data-act="send" data-key="{item.key}" data-meaning="{number}">'
            f"{escape(meaning.label)}</button>"
            for number, meaning in group
        ]
    return "".join(out)


def _exports(shown: Shown, *, local: bool) -> str:
    item = shown.item
    name = attribute(item.name)
    rows = ""
    if shown.source:
        link = f'href="{attribute(shown.source)}" download="{name}" target="_blank" rel="noopener"'
        rows += f"<a {link}>Video (mp4)</a>"
    if item.lineage is not None:
        rows += _document(item, ".json", item.lineage.model_dump_json(indent=2), "Settings (JSON)")
        with suppress(InputError):  # a file of strangers may hold what no recipe can
            recipe = recipe_of(item.lineage, sha256=item.video.sha256)
            rows += _document(item, ".recipe.json", recipe.written(), "Recipe, for wan-studio replay (JSON)")
    if not local:
        return (
            rows
            + '<p class="dim">GIF and pictures are made where the file lies; this one is on another Space.</p>'
        )
    labels = {"gif": "Animated GIF", "last": "Last frame (PNG)", "sheet": "Contact sheet (PNG)"}
    return rows + "".join(
        f'<button type="button" data-act="export" data-key="{item.key}" data-kind="{kind}">{label}</button>'
        for kind, label in labels.items()
    )


def _document(item: Item, ending: str, text: str, label: str) -> str:
    data = base64.b64encode(text.encode()).decode()
    file = attribute(item.name.removesuffix(".mp4") + ending)
    return f'<a href="data:application/json;base64,{data}" download="{file}">{label}</a>'


def _menu(title: str, content: str) -> str:
    if not content:
        return ""
    return f'<details class="menu"><summary>{title}</summary><div class="list">{content}</div></details>'


# ------------------------------------------------------------------ what is known


def _title(item: Item) -> str:
    return item.prompt[:80] or MODES[item.mode].title


def _brief(item: Item) -> str:
    if item.lineage is None:
        return ""
    plan = item.lineage.plan
    return escape(f"{item.model} · seed {item.lineage.seed} · {plan.num_inference_steps} steps")


def _settings(lineage: Lineage | None) -> str:
    if lineage is None:
        return '<p class="dim">Nobody noted what this was made from.</p>'
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}{_copy(name, value)}</dd></div>"
        for name, value in facts(lineage)
    )
    return f'<dl class="settings-list">{rows}</dl>'


def _copy(name: str, value: str) -> str:
    if name not in ("Prompt", "Seed"):
        return ""
    label = f'aria-label="Copy {name.lower()}"'
    return f' <button type="button" class="copy" data-copy="{attribute(value)}" {label}>Copy</button>'


def facts(lineage: Lineage) -> Iterator[tuple[str, str]]:
    """Every setting in a reader's words, in order; what is empty is left out."""
    plan, item = lineage.plan, Item(mode=lineage.plan.mode, video=_NO_FILE, lineage=lineage)
    when = item.when
    rows: list[tuple[str, Any]] = [
        ("Prompt", item.prompt),
        ("Model", f"{item.model} ({plan.weights})"),
        ("Preset", plan.preset),
        ("Seed", lineage.seed),
        ("Size", f"{plan.width} × {plan.height}"),
        ("Length", f"{plan.whole_frames} frames, {plan.clip_seconds:.2f} s at {plan.fps} fps"),
        ("Steps", plan.num_inference_steps),
        ("Guidance", f"{plan.guidance_scale:g}"),
        ("Guidance, low noise", "" if plan.guidance_scale_2 is None else f"{plan.guidance_scale_2:g}"),
        ("Shift", f"{plan.flow_shift:g}"),
        ("Strength", "" if plan.strength is None else f"{plan.strength:g}"),
        ("LoRAs", ", ".join(f"{name} {weight:g}" for name, weight in plan.loras)),
    ]  # fmt: skip
    own = {**{k: v for k, v in lineage.request.items() if k not in _TOLD}, **plan.values}
    rows += [(name.replace("_", " ").capitalize()[:60], value) for name, value in own.items()]
    rows.append(("Negative prompt", plan.negative_prompt))
    versions = ", ".join(f"{name} {number}" for name, number in lineage.versions.items())
    rows += [
        ("Made", when.strftime("%Y-%m-%d %H:%M UTC") if when else lineage.created),
        ("Versions", versions),
        ("Revision", lineage.revision),
        ("Code", lineage.git_sha[:12]),
    ]
    for name, value in rows:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        if value is not None and value != [] and text:
            yield name, text[:VALUE_CHARACTERS]


def _lineage(item: Item, items: Sequence[Item]) -> str:
    shown = tree(item, items)
    return f'<div class="lineage">{shown}</div>' if shown else ""
