"""Every VACE sub-mode as a row: its family, what it must be given, what makes it, which models it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Family = Literal["Control", "Inpaint", "Outpaint", "Extend", "Reference", "Layout", "Composite"]
FAMILIES: Final[tuple[Family, ...]] = get_args(Family)

MAX_REFERENCES: Final = 3


@dataclass(frozen=True)
class MaskSource:
    """A way to say which pixels are meant: the fields it needs and the models that read them."""

    key: str
    label: str
    needs: tuple[str, ...]
    annotators: tuple[str, ...] = ()


MASK_SOURCES: Final[Mapping[str, MaskSource]] = {
    s.key: s
    for s in (
        MaskSource("whole", "Whole picture", ()),
        MaskSource("mask", "Provide mask", ("mask",)),
        MaskSource("bbox", "Box", ("bbox",)),
        MaskSource("masktrack", "Track from mask", ("mask",), ("sam2",)),
        MaskSource("bboxtrack", "Track box", ("bbox",), ("sam2",)),
        MaskSource("label", "Label", ("label",), ("grounding-dino", "sam2")),
        MaskSource("caption", "Caption", ("caption",), ("grounding-dino", "sam2")),
    )
}
_TRACKED = ("mask", "bbox", "masktrack", "bboxtrack", "label", "caption")


@dataclass(frozen=True)
class SubMode:
    """One sub-mode.

    `maker` names the function in `common/control/makers.py`, `argument` what it is told. `needs` are request
    fields that must be filled, `takes` those that may be. Where several `mask_sources` are listed the request
    chooses by `mask_source`; the first is the default. `annotators` are keys of the catalog: no keys, no
    downloads.
    """

    key: str
    family: Family
    label: str
    about: str
    maker: str
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    argument: str = ""
    mask_sources: tuple[str, ...] = ()
    annotators: tuple[str, ...] = ()
    placeholder: str = "What the finished video shows"

    def source(self, chosen: str | None) -> MaskSource | None:
        """The mask source in effect; None for sub-modes that need no mask, KeyError for one not on offer."""
        if not self.mask_sources:
            return None
        key = chosen or self.mask_sources[0]
        if key not in self.mask_sources:
            raise KeyError(key)
        return MASK_SOURCES[key]

    def fields(self, chosen: str | None = None) -> tuple[str, ...]:
        """Every request field that this sub-mode reads, needed ones first."""
        source = self.source(chosen)
        return tuple(dict.fromkeys((*self.needs, *(source.needs if source else ()), *self.takes)))

    def models(self, chosen: str | None = None) -> tuple[str, ...]:
        """The annotators that a run with this mask source would load."""
        source = self.source(chosen)
        return tuple(dict.fromkeys((*self.annotators, *(source.annotators if source else ()))))


def _control(key: str, label: str, about: str, argument: str, annotators: tuple[str, ...] = ()) -> SubMode:
    takes = ("reference_images", "fit")
    return SubMode(
        key, "Control", label, about, "control", ("video",), takes, argument, annotators=annotators
    )


def _inpaint(source: str, about: str, key: str | None = None, label: str | None = None) -> SubMode:
    return SubMode(
        key or f"inpainting_{source}", "Inpaint", label or MASK_SOURCES[source].label, about, "inpaint",
        ("video",), ("mask_shape", "mask_grow", "keep_source", "reference_images", "fit"),
        mask_sources=(source,),
        placeholder="What appears in place of the masked area",
    )  # fmt: skip


def _extend(key: str, label: str, about: str, needs: tuple[str, ...]) -> SubMode:
    clips = ("keep_frames",) if "clip" in key else ()
    clips += ("join",) if key == "firstclip" else ()
    return SubMode(
        key, "Extend", label, about, "extend", needs, (*clips, "reference_images", "fit"), key,
        placeholder="What happens in the new frames",
    )  # fmt: skip


SUBMODES: Final[Mapping[str, SubMode]] = {
    s.key: s
    for s in (
        # ------------------------------------------------------------------ Control
        SubMode(
            "plain", "Control", "As given", "Your own control video (and mask) goes to the model unchanged.",
            "plain", ("video",), ("mask", "keep_source", "reference_images", "fit"),
        ),
        _control("depth", "Depth", "Keeps the scene's depth (MiDaS), repaints the rest.",
                 "dpt-hybrid", ("dpt-hybrid",)),
        _control("depth_anything", "Depth (Anything V2)", "Keeps the scene's depth, with a sharper estimate.",
                 "depth-anything", ("depth-anything",)),
        _control("pose", "Pose", "Keeps bodies and faces in their pose, repaints the rest.",
                 "body+face", ("dwpose",)),
        _control("pose_body", "Pose (body)", "Keeps bodies in their pose; faces are free.",
                 "body", ("dwpose",)),
        _control("scribble", "Sketch", "Keeps the outlines, repaints surfaces and colours.", "scribble"),
        _control("flow", "Flow", "Keeps the motion alone (optical flow, computed here).", "flow"),
        _control("flow_raft", "Flow (RAFT)", "Keeps the motion alone, with a finer flow.",
                 "raft", ("raft-large",)),
        _control("gray", "Gray", "Keeps brightness, invents colours.", "gray"),
        # ------------------------------------------------------------------ Inpaint
        _inpaint("mask", "Repaints what is white in your mask: a drawing or a clip."),
        _inpaint("bbox", "Repaints inside a box."),
        _inpaint("masktrack", "Follows what you masked in one frame, both ways, and repaints it."),
        _inpaint("bboxtrack", "Follows what is in the box and repaints it."),
        _inpaint("label", "Finds a thing by its name, follows it and repaints it."),
        _inpaint("caption", "Finds a thing by a description, follows it and repaints it."),
        _inpaint("mask", "Repaints the main subject; give its mask, no open model finds it.",
                 "inpainting_salient", "Salient (give mask)"),
        # ------------------------------------------------------------------ Outpaint
        SubMode(
            "outpainting", "Outpaint", "Outward", "Grows the picture beyond its borders.", "outpaint",
            ("video",), ("expand_left", "expand_right", "expand_top", "expand_bottom", "reference_images"),
            placeholder="What the wider scene shows",
        ),
        SubMode(
            "outpainting_inner", "Outpaint", "Inward", "Repaints the picture's borders, keeps its middle.",
            "outpaint_inner", ("video",),
            ("expand_left", "expand_right", "expand_top", "expand_bottom", "reference_images", "fit"),
            placeholder="What the borders show",
        ),
        # ------------------------------------------------------------------ Extend
        _extend("firstframe", "First frame", "Continues from a picture.", ("image",)),
        _extend("lastframe", "Last frame", "Leads up to a picture.", ("last_image",)),
        _extend("firstlastframe", "First and last frame", "Fills in between two pictures.",
                ("image", "last_image")),
        SubMode(
            "firstmiddlelastframe", "Extend", "First, middle and last frame", "Fills in between three pictures.",
            "moments", ("image", "middle_image", "last_image"), ("middle_at", "reference_images", "fit"),
            placeholder="What happens between the pictures",
        ),
        _extend("firstclip", "First clip", "Continues a clip from its last frames.", ("video",)),
        _extend("lastclip", "Last clip", "Leads up to a clip's first frames.", ("video",)),
        _extend("firstlastclip", "First and last clip", "Joins two clips.", ("video", "last_video")),
        SubMode(
            "framerefext", "Extend", "Key frames", "Keeps some frames of a clip, invents those between.",
            "keyframes", ("video",), ("keyframes", "reference_images", "fit"),
            placeholder="What happens between the frames",
        ),
        # ------------------------------------------------------------------ Reference
        SubMode(
            "image_reference", "Reference", "Subject", "A new video with the subject of your pictures.",
            "references", ("reference_images",), (), "subject",
            mask_sources=("whole", "mask", "bbox", "label", "caption"),
            placeholder="The subject and what it does",
        ),
        SubMode(
            "face", "Reference", "Face", "A new video with the face in your picture.",
            "references", ("reference_images",), ("bbox",), "face",
            placeholder="The person and what they do",
        ),
        # ------------------------------------------------------------------ Layout
        SubMode(
            "layout_bbox", "Layout", "Moving box", "The subject follows a box from one place to another.",
            "layout_bbox", ("bbox", "bbox_to"), ("reference_images",),
            placeholder="The subject that moves along the box",
        ),
        SubMode(
            "layout_track", "Layout", "Tracked outline", "A new subject moves like one in your video.",
            "layout_track", ("video",), ("reference_images", "fit"),
            mask_sources=("masktrack", "bboxtrack", "label", "caption", "mask"),
            placeholder="The subject that moves along the outline",
        ),
        # ------------------------------------------------------------------ Composite
        SubMode(
            "reference_anything", "Composite", "Reference anything",
            "People, things and places from your pictures, in one new video.",
            "references", ("reference_images",), (), "whole",
            placeholder="How the things in the pictures come together",
        ),
        SubMode(
            "animate_anything", "Composite", "Animate anything",
            "Your reference moves like the person in the video.",
            "control", ("video", "reference_images"), ("fit",), "body+face", annotators=("dwpose",),
            placeholder="The reference and what it does",
        ),
        SubMode(
            "swap_anything", "Composite", "Swap anything",
            "Your reference takes the place of the masked thing.",
            "inpaint", ("video", "reference_images"), ("mask_shape", "mask_grow", "keep_source", "fit"),
            mask_sources=_TRACKED,
            placeholder="The reference in its new place",
        ),
        SubMode(
            "expand_anything", "Composite", "Expand anything",
            "A picture grows beyond its borders and comes to life, with your references.",
            "expand_anything", ("image",),
            ("expand_left", "expand_right", "expand_top", "expand_bottom", "reference_images"),
            placeholder="The wider scene and what happens in it",
        ),
        SubMode(
            "move_anything", "Composite", "Move anything",
            "What is in the box moves along it, from a picture.",
            "move_anything", ("image", "bbox", "bbox_to"), ("reference_images", "fit"),
            placeholder="What moves, and where to",
        ),
    )
}  # fmt: skip


def family(name: Family) -> list[SubMode]:
    """The sub-modes of a family in menu order."""
    return [s for s in SUBMODES.values() if s.family == name]
