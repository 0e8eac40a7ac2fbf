"""The panel of VACE: a family and a sub-mode decide which inputs are there; the control can be seen first."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from html import escape
from typing import Any

import gradio as gr

from common.catalog import ANNOTATORS, Weights
from common.contract import Control, MediaHandle, Plan
from common.modes.submodes import FAMILIES, MASK_SOURCES, MAX_REFERENCES, SUBMODES, SubMode, family
from common.panels import mask, steps, widgets
from common.panels.base import Panel
from common.panels.events import QUIET, TOLD
from common.panels.handles import HandleVideo
from common.panels.numbers import Slider
from common.run.runner import explain

SOURCE_ID = "vace-source"
REFERENCES_ID = "vace-references"
FIRST = "inpainting_mask"

_DETAILS = ("mask_invert", "mask_shape", "mask_grow", "keep_source", "fit")
"""Of these, the ones under Advanced."""
_SHAPED = (
    "video", "whole_clip", "last_video", "image", "middle_image", "middle_at", "last_image", "mask",
    "mask_second", "bbox", "bbox_to", "label",
    "caption", "expand_left", "expand_right", "expand_top", "expand_bottom", "keep_frames", "join", "keyframes",
    "reference_images", *_DETAILS,
)  # fmt: skip
"""Fields that come and go with the sub-mode."""

_MATERIAL = (
    "video", "last_video", "image", "middle_image", "last_image", "mask", "bbox", "bbox_to", "label", "caption",
    "keyframes", "reference_images",
)  # fmt: skip
"""Of these, what somebody gives."""

OWN = '<p class="dim">Not right? Download both, change them, and give them back under Control · As given.</p>'


class VACEPanel(Panel):
    """Two-level choice above inputs that reshape; the control can be looked at before Generate."""

    aspect_from = "video"

    def draw_inputs(self, shown: Plan) -> None:
        with steps.step(self.mode.key, "what", opened=True):
            self._draw_task()
        with steps.step(self.mode.key, "material"):
            self._draw_material()
            self._draw_look()
        with steps.step(self.mode.key, "words"):
            self.draw_prompt()
            widgets.settings(self.inputs, self.mode, self._rows(self.initial), self.initial.weights, shown)
        widgets.advanced(self.inputs, shown, opened=self.advanced_open, more=self.draw_advanced)

    def _draw_task(self) -> None:
        add = self.inputs.add
        row = SUBMODES[FIRST]
        add("family", gr.Radio(list(FAMILIES), value=row.family, label="Task", elem_classes="families"))
        add("submode", gr.Textbox(row.key, visible=False))
        # One menu a family: a radio refuses a value that it does not list, and anyone may set `submode`.
        self.menus = [
            gr.Radio(
                [(s.label, s.key) for s in family(f)], value=row.key if f == row.family else None,
                visible=f == row.family, label="How", elem_classes="families",
            )
            for f in FAMILIES
        ]  # fmt: skip
        self.about = gr.HTML(_about(row, None, self.initial.weights))
        add(
            "mask_source",
            gr.Radio(_sources(MASK_SOURCES), label="Mask source", visible=False, elem_classes="families"),
        )

    def _draw_material(self) -> None:
        self.groups: dict[str, Any] = {}
        self.boxes: list[mask.Pad] = []
        for name in _SHAPED[: -len(_DETAILS)]:
            shown = name in _visible(SUBMODES[FIRST])
            with gr.Column(visible=shown, elem_classes="shaped") as self.groups[name]:
                self._draw(name)

    def _draw(self, name: str) -> None:
        add, slots = self.inputs.add, {slot.name: slot for slot in self.mode.slots}
        match name:
            case "video":
                widgets.clip_input(self.inputs, name, "Source video", height=220, elem_id=SOURCE_ID)
            case "whole_clip":
                widgets.whole_clip(self.inputs)
            case "last_video":
                widgets.clip_input(self.inputs, name, "Closing clip", height=180)
            case "image" | "middle_image" | "last_image":
                widgets.media_slot(self.inputs, slots[name], frame_choice=True)
            case "mask":
                self.mask_pad = mask.draw_mask(self.inputs, SOURCE_ID)
            case "mask_second":
                mask.draw_moment(self.inputs, SOURCE_ID, self.mask_pad)
            case "mask_invert":
                add(name, gr.Checkbox(False, label="Black is made anew in the mask (inverted)"))
            case "reference_images":
                add(
                    name,
                    gr.Gallery(
                        label=_references_label(SUBMODES[FIRST]), columns=3, rows=1, height=150,
                        sources=["upload"], type="filepath", file_types=["image"], interactive=True,
                        object_fit="contain", elem_id=REFERENCES_ID,
                    ),
                )  # fmt: skip
                self.inputs.readers.append(_references)
            case "mask_shape":
                add(name, gr.Radio(["original", "hull", "bbox"], value="original", label="Shape of the mask"))
            case "mask_grow":
                add(name, Slider(0, 64, 0, step=1, label="Grow the mask (px)", buttons=[]))
            case "keep_source":
                add(name, gr.Checkbox(True, label="Put the source back outside the mask"))
            case "fit":
                add(
                    name, gr.Radio([("Crop", "crop"), ("Pad", "pad")], value="crop", label="Fit to the frame")
                )
            case "middle_at":
                add(name, gr.Number(0, label="The middle frame stands at (s)", info="0: in the middle", minimum=0))
                self.inputs.readers.append(lambda raw: {"middle_at": raw["middle_at"] or None})
            case "keep_frames":
                add(name, gr.Number(0, label="Frames kept of the clip", info="0: a quarter", precision=0))
                self.inputs.readers.append(lambda raw: {"keep_frames": raw["keep_frames"] or None})
            case "join":
                add(name, gr.Checkbox(False, label="Join: one video of the whole clip and what follows"))
            case _ if name.startswith("expand_"):
                side = name.removeprefix("expand_")
                start = 0.25 if side in ("left", "right") else 0
                add(name, Slider(0, 1, start, step=0.05, label=f"Grow {side}", buttons=[]))
            case "bbox" | "bbox_to":
                self.boxes.append(mask.draw_box(self.inputs, name, *_TEXTS[name]))
                self.inputs.readers.append(lambda raw, n=name: {n: raw[n] or None})
            case _:
                label, example = _TEXTS[name]
                add(name, gr.Textbox(label=label, placeholder=example))
                self.inputs.readers.append(lambda raw, n=name: {n: raw[n] or None})

    def draw_advanced(self) -> None:
        for name in _DETAILS:
            with gr.Column(visible=name in _visible(SUBMODES[FIRST]), elem_classes="shaped") as self.groups[
                name
            ]:
                self._draw(name)
        self.inputs.add(
            "conditioning_scale",
            Slider(0, 2, 1, step=0.05, label="Control strength (conditioning scale)", buttons=[]),
        )

    def _draw_look(self) -> None:
        with gr.Row(elem_classes="tight"):
            self.look = gr.Button("Preview the control", size="sm", elem_id="vace-prepare")
        self.said = gr.HTML("")
        with gr.Row(visible=False, elem_classes="tight") as self.shown:
            self.control = HandleVideo(
                label="Control",
                interactive=False,
                autoplay=True,
                loop=True,
                height=180,
                elem_id="vace-control",
            )
            self.control_mask = HandleVideo(
                label="Mask", interactive=False, autoplay=True, loop=True, height=180, elem_id="vace-mask"
            )

    # ------------------------------------------------------------------ values

    def values(self, raw: tuple[Any, ...]) -> dict[str, Any]:
        """Only what the sub-mode reads is sent: a hidden input says nothing."""
        values = super().values(raw)
        row = SUBMODES.get(values.get("submode") or FIRST, SUBMODES[FIRST])
        if values.get("mask_source") not in row.mask_sources:
            values.pop("mask_source", None)
        read = _visible(row, values.get("mask_source"))
        if "whole_clip" not in read:  # hidden, and so not meant
            values["num_frames"] = dict(zip(self.inputs.components, raw, strict=True))["num_frames"]
        hidden = {n for n in _SHAPED if n not in read}
        hidden |= {"mask_from"} if "mask_second" not in read else set()
        hidden |= {f"{n}_from" for n in ("image", "middle_image", "last_image") if n not in read}
        return {name: value for name, value in values.items() if name not in hidden}

    def missing(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The sub-mode's own needs count as well."""
        empty = super().missing(values)
        row = SUBMODES.get(values.get("submode") or FIRST, SUBMODES[FIRST])
        source = row.source(values.get("mask_source"))
        if not values.get("submode"):
            empty["submode"] = row.key
        for name in (*row.needs, *(source.needs if source else ())):
            if values.get(name) in (None, [], ""):
                empty[name] = _STAND_INS.get(name, widgets.NO_FILE)
        return empty

    def _label_of(self, name: str) -> str:
        return _TEXTS[name][0].lower() if name in _TEXTS else super()._label_of(name)

    def words(self) -> dict[str, str]:
        submodes = {row.key: f"{row.family} · {row.label}" for row in SUBMODES.values()}
        return {**super().words(), **{name: text[0] for name, text in _TEXTS.items()}, **submodes}

    def _label_html(self, manifest: Any, values: Mapping[str, Any]) -> str:
        # The page opens with a sub-mode chosen; an empty one is not something to ask for.
        values = {"submode": FIRST, **values}
        return super()._label_html(manifest, values) + steps.sums(self.sums(values))

    def sums(self, values: Mapping[str, Any]) -> dict[str, str]:
        """By step, what is chosen and given so far and what is still needed."""
        row = SUBMODES.get(values["submode"], SUBMODES[FIRST])
        source = row.source(values.get("mask_source")) if len(row.mask_sources) > 1 else None
        missing = self.missing(values)
        given = [name for name in _MATERIAL if values.get(name) and name not in missing]
        material = [self._label_of(name) for name in given]
        # What it is stands under Generate.
        material += [steps.NEEDED] if any(name in missing for name in _MATERIAL) else []
        return {
            "what": " · ".join([row.family, row.label, *([source.label] if source else [])]),
            "material": " · ".join(material),
            "words": steps.NEEDED if "prompt" in missing else str(values.get("prompt", ""))[:80],
        }

    # ------------------------------------------------------------------ events

    def wire_more(self) -> None:
        parts = self.inputs.components
        widgets.wire_whole_clip(self.inputs)
        shape = [self.about, parts["mask_source"], parts["prompt"], parts["reference_images"]]
        shape += self.groups.values()
        parts["family"].input(lambda name: family(name)[0].key, parts["family"], parts["submode"], **QUIET)
        for menu in self.menus:
            menu.input(lambda key: key, menu, parts["submode"], **QUIET)
        # Whoever sets a sub-mode (an example, a restored file, Send to) finds its menus beside it.
        parts["submode"].change(_menus, parts["submode"], [parts["family"], *self.menus], **QUIET)
        gr.on(
            [parts["submode"].change, parts["mask_source"].input],
            self._reshaped, [parts["submode"], parts["mask_source"], parts["checkpoint"]], shape, **QUIET,
        )  # fmt: skip
        for pad in self.boxes:
            pad.opens(_FRAME, [parts["submode"], parts["resolution"], parts["fit"]])
        self.look.click(
            self._prepare, list(parts.values()), [self.said, self.shown, self.control, self.control_mask],
            **{**TOLD, "show_progress": "minimal", "show_progress_on": self.said},
        )  # fmt: skip

    async def _reshaped(self, key: str, source: str | None, checkpoint: str | None) -> list[Any]:
        return _reshape(key, source, (await self.runner.manifest(checkpoint)).weights)

    async def _prepare(self, request: gr.Request, *raw: Any) -> AsyncGenerator[list[Any], None]:
        values = {"prompt": "-", **{n: v for n, v in self.values(raw).items() if n != "prompt"}}
        made = None
        try:
            async with aclosing(self.prepared(values, dict(request.headers))) as items:
                async for item in items:
                    if isinstance(item, Control):
                        made = item
                    else:
                        yield [item, gr.skip(), gr.skip(), gr.skip()]
            assert made is not None  # what this mode prepares
        except Exception as error:
            text = escape(self.in_words(explain(error)).text)
            yield [f'<p class="notice" role="alert">{text}</p>', gr.update(visible=False), None, None]
            return
        notes = "".join(f'<p class="notice">{escape(t)}</p>' for t in made.notices if "Lightning" not in t)
        yield [notes + OWN, gr.update(visible=True), made.video, made.mask]


_TEXTS = {
    "bbox": ("Box", "left, top, right, bottom as shares: 0.2, 0.2, 0.6, 0.6"),
    "bbox_to": ("Box at the end", "0.5, 0.2, 0.9, 0.6"),
    "label": ("Name of the thing", "dog"),
    "caption": ("Description of the thing", "the dog on the left"),
    "keyframes": ("Frames kept", "first, middle and last; or 0, 8, 16"),
}
_STAND_INS: Mapping[str, Any] = {
    "bbox": [0.2, 0.2, 0.6, 0.6], "bbox_to": [0.2, 0.2, 0.6, 0.6], "label": "-", "caption": "-",
    "reference_images": [widgets.NO_FILE],
}  # fmt: skip


def _drawn_on(row: SubMode) -> tuple[str, bool]:
    """What a box of a sub-mode lies on, as a CSS selector; and whether it is shares of the finished frame."""
    if row.maker == "references":
        return f"#{REFERENCES_ID} .thumbnail-item img", False
    if "video" in row.needs:
        return f"#{SOURCE_ID} video", True
    if "image" in row.needs:
        return "#vace-image-clip video, #vace-image-picture img", True
    return "", True


_DRAWN_ON = json.dumps({key: _drawn_on(row) for key, row in SUBMODES.items()})
_FRAME = f"""(key, size, fit) => {{
    const [selector, finished] = {_DRAWN_ON}[key];
    return [window.wanClips.frame(selector, {mask.MAX_SIDE}, finished ? size : '', fit)];
}}"""


def _visible(row: SubMode, source: str | None = None) -> set[str]:
    """The inputs that a sub-mode shows."""
    follows = "video" in row.needs and row.maker != "extend"
    read = {*row.fields(source), *(["whole_clip"] if follows else [])}
    tracked = (found := row.source(source)) is not None and found.key == "masktrack"
    return read | ({"mask_invert"} if "mask" in read else set()) | ({"mask_second"} if tracked else set())


def _sources(keys: Iterable[str]) -> list[tuple[str, str]]:
    return [(MASK_SOURCES[key].label, key) for key in keys]


def _about(row: SubMode, source: str | None, weights: Weights) -> str:
    """What a sub-mode does, and under the demo weights which model it lacks."""
    about = f'<p class="dim">{escape(row.about)}</p>'
    models = " and ".join(ANNOTATORS[key].name for key in row.models(source))
    if weights != "nano" or not models:
        return about
    text = (
        f"Needs {models}, which the demo weights do not bring: unless it is on this machine, start with "
        "--weights wan, or give a control of your own under Control · As given."
    )
    return f'{about}<p class="notice">{escape(text)}</p>'


def _references_label(row: SubMode) -> str:
    least = 1 if "reference_images" in row.needs else 0
    return f"Reference images ({least} to {MAX_REFERENCES})"


def _menus(key: str) -> list[Any]:
    row = SUBMODES.get(key, SUBMODES[FIRST])
    updates = [gr.update(visible=f == row.family, value=key if f == row.family else None) for f in FAMILIES]
    return [row.family, *updates]


def _reshape(key: str, source: str | None, weights: Weights) -> list[Any]:
    row = SUBMODES.get(key, SUBMODES[FIRST])
    source = source if source in row.mask_sources else None
    read = _visible(row, source)
    several = len(row.mask_sources) > 1
    return [
        _about(row, source, weights),
        gr.update(choices=_sources(row.mask_sources), value=source or row.mask_sources[0], visible=True)
        if several
        else gr.update(value=None, visible=False),
        gr.update(placeholder=row.placeholder),
        gr.update(label=_references_label(row)),
        *[gr.update(visible=name in read) for name in _SHAPED],
    ]


def _references(raw: widgets.Raw) -> dict[str, Any]:
    pictures = [item[0] if isinstance(item, tuple | list) else item for item in raw["reference_images"] or []]
    return {"reference_images": [MediaHandle(path=str(p)) for p in pictures] or None}
