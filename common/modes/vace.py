"""VACE: one model that controls, inpaints, outpaints, extends and composes, by what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from common import contract
from common.catalog import ANNOTATORS, CHECKPOINTS, CLIP_LAW, Checkpoint, FrameLaw, Weights
from common.contract import ImageFrom, MediaHandle
from common.errors import InputError
from common.modes import rules
from common.modes.base import Example, MediaSlot, Mode
from common.modes.submodes import MASK_SOURCES, MAX_REFERENCES, SUBMODES, SubMode


def _numbers(value: Any) -> Any:
    """`0.2,0.2,0.6,0.6`, as typed on a command line or in a box, into numbers."""
    if isinstance(value, str):
        return value.replace(",", " ").strip("[] ").split() or None
    return value


Share = Annotated[float, Field(ge=0, le=2)]
Box = Annotated[list[float] | None, BeforeValidator(_numbers)]
Frames = Annotated[list[int] | None, BeforeValidator(_numbers)]


class Request(contract.Request):
    """What VACE may be given. Which fields a sub-mode reads is in `common/modes/submodes.py`.

    Boxes are left, top, right, bottom as shares of the frame, 0 to 1. White in a mask is made anew, black is
    kept.
    """

    submode: str | None = Field(
        None, description="Sub-mode key; empty inpaints when there is a mask, else takes the video as given"
    )
    video: MediaHandle | None = Field(None, description="Source or control clip")
    mask: MediaHandle | None = Field(None, description="White is generated: a picture or a clip")
    mask_from: ImageFrom = Field(
        "first", description="Frame of the video that a mask lies on which is tracked: first, last, or seconds"
    )
    mask_invert: bool = Field(False, description="The mask is the other way round: black is made anew")
    reference_images: list[MediaHandle] = Field([], description=f"Up to {MAX_REFERENCES} pictures")
    image: MediaHandle | None = Field(None, description="First frame: a picture, or a clip to take it from")
    image_from: ImageFrom = Field("first", description="Frame of a clip in `image`: first, last, or seconds")
    middle_image: MediaHandle | None = Field(None, description="Frame in between: a picture, or a clip")
    middle_image_from: ImageFrom = Field("first", description="Frame of a clip in `middle_image`")
    middle_at: float | None = Field(
        None, ge=0, le=86_400, description="Seconds at which `middle_image` stands; the middle if empty"
    )
    last_image: MediaHandle | None = Field(None, description="Last frame: a picture, or a clip")
    last_image_from: ImageFrom = Field("last", description="Frame of a clip in `last_image`")
    last_video: MediaHandle | None = Field(None, description="Clip that the new one ends with")
    conditioning_scale: float = Field(1.0, description="How strictly the control is followed, 0 to 2")
    mask_source: str | None = Field(None, description="How the mask is found: " + ", ".join(MASK_SOURCES))
    mask_shape: Literal["original", "hull", "bbox"] = Field("original", description="Shape the mask grows to")
    mask_grow: int = Field(0, ge=0, le=256, description="Pixels that the mask grows by")
    keep_source: bool = Field(
        True,
        description="Put the source's own pixels back where a hard mask is black; a soft mask leaves them",
    )
    bbox: Box = Field(None, description="Box: left, top, right, bottom as shares of the frame")
    bbox_to: Box = Field(None, description="Where the box ends")
    label: str | None = Field(None, description="Name of the thing to find, such as `dog`")
    caption: str | None = Field(None, description="Description of the thing to find")
    expand_left: Share | None = Field(None, description="Growth to the left as a share of the width")
    expand_right: Share | None = Field(None, description="Growth to the right as a share of the width")
    expand_top: Share | None = Field(None, description="Growth upwards as a share of the height")
    expand_bottom: Share | None = Field(None, description="Growth downwards as a share of the height")
    keep_frames: int | None = Field(None, ge=1, description="Frames of the clip that are kept (extension)")
    join: bool = Field(False, description="Begin with the whole clip that is continued (first clip)")
    keyframes: Frames = Field(
        None, description="Frames that are kept, from 0; first, middle and last if empty"
    )
    fit: Literal["crop", "pad"] = Field("crop", description="Fit to the frame: crop the edges, or pad them")


class VACE(Mode[Request]):
    """Control and editing."""

    request_type = Request
    key = "vace"
    title = "VACE"
    icon = "🎛️"
    about = "Control, inpaint, outpaint, extend and compose with one model."
    checkpoints = ("wan2.1-vace-14b", "wan2.1-vace-1.3b")
    most_references = MAX_REFERENCES
    prepared = contract.Control
    community = ("wan2.2-vace-fun-14b",)
    """On offer only where a Space names it in WAN_CHECKPOINTS."""
    slots = (
        MediaSlot("video", "video", "Source video", required=False),
        MediaSlot("mask", "mask", "Mask", required=False),
        MediaSlot("reference_images", "image", "Reference images", required=False, many=True),
        MediaSlot("image", "image", "First frame", required=False),
        MediaSlot("middle_image", "image", "Middle frame", required=False),
        MediaSlot("last_image", "image", "Last frame", required=False),
        MediaSlot("last_video", "video", "Closing clip", required=False),
    )
    examples = (
        Example("Repaint", {"submode": "gray", "prompt": "The same scene in warm 1970s film colours"}),
        Example("Widen", {"submode": "outpainting", "prompt": "A wide mountain valley in morning fog"}),
        Example("Continue", {"submode": "firstclip", "prompt": "The camera pulls back slowly"}),
    )
    nano_examples = (
        Example("Recolour", {"submode": "gray", "video": "red-circle.mp4",
                             "prompt": "a green circle moving right on a black background"}),
        Example("Inpaint", {"submode": "inpainting_bbox", "video": "red-circle.mp4", "bbox": [0, 0.3, 1, 0.7],
                            "prompt": "a blue square moving right on a black background"}),
        Example("Outpaint", {"submode": "outpainting", "video": "red-circle.mp4",
                             "prompt": "a red circle moving right on a black background"}),
        Example("Continue", {"submode": "firstframe", "image": "blue-square-start.png",
                             "prompt": "a blue square growing on a gray background"}),
    )  # fmt: skip

    def rows(self, allowed: Sequence[str] | None = None) -> list[Checkpoint]:
        """The community checkpoint shows up only where it is named."""
        keys = self.checkpoints if allowed is None else (*self.checkpoints, *self.community)
        return [CHECKPOINTS[k] for k in keys if allowed is None or k in allowed]

    def cropped(self, request: Request, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Clips and frames that a sub-mode fits by cropping; a mask follows its clip, references are fitted whole."""
        submode = submode_of(request)
        if request.fit == "pad" or "fit" not in submode.takes:
            return ()
        pictures = ("image", "middle_image", "last_image")
        return tuple(n for n in ("video", "last_video", *pictures) if n in submode.needs)

    def frames(self, request: Request, checkpoint: Checkpoint, weights: Weights) -> int:
        """A sub-mode that follows a clip is as long as the clip; one that extends it is not."""
        if submode_of(request).maker == "extend":
            return super().frames(request, checkpoint, weights)
        return rules.frames_of_clip(request.num_frames, request.video, checkpoint, weights)

    def goes_on_from(self, request: Request, num_frames: int) -> tuple[str, int] | None:
        joins = request.join and "join" in submode_of(request).takes
        return ("video", kept_frames(request, num_frames)) if joins else None

    def encodes(self, request: Request, checkpoint: Checkpoint) -> int:
        """What is kept of the video, and what is replaced."""
        return 2

    def references(self, request: Request) -> int:
        return len(request.reference_images)

    def values(self, request: Request) -> dict[str, Any]:
        return {"submode": submode_of(request).key, "conditioning_scale": request.conditioning_scale}

    def check(self, request: Request, checkpoint: Checkpoint, weights: Weights) -> list[str]:
        """What the sub-mode needs is there, and nothing that diffusers would misread."""
        submode = submode_of(request)
        source = _source(submode, request.mask_source)
        num_frames = self.frames(request, checkpoint, weights)
        for name in (*submode.needs, *(MASK_SOURCES[source].needs if source else ())):
            if getattr(request, name) in (None, [], ""):
                raise InputError(name, f"is required for {submode.key}", hint=_FILL.get(name, ""))
        for name in ("bbox", "bbox_to"):
            _box(name, getattr(request, name))
        rules.between("conditioning_scale", request.conditioning_scale, 0, 2)
        if request.join and "join" in submode.takes and request.fit != "crop":
            raise InputError("fit", "must be crop where clips are joined", got=request.fit)
        _references(len(request.reference_images), num_frames, checkpoint.law)
        _extension(request, submode, num_frames)
        if submode.maker == "moments":
            middle_frame(request, num_frames, checkpoint.fps)
        tracked = source == "masktrack"
        if tracked and isinstance(request.mask_from, int | float):
            masked_frame(request.mask_from, num_frames, checkpoint.fps)
        notices = [_ignored(request, submode)] if _ignored(request, submode) else []
        if request.mask_from != "first" and request.mask is not None and not tracked:
            notices.append("mask_from counts where the mask is tracked; here a picture lies on every frame.")
        if weights == "nano" and checkpoint.moe:
            notices.append("Wan-Nano has one VACE expert: here it works at both noise levels.")
        if submode.maker == "extend":
            notices += _kept(request, submode, num_frames)
        else:
            notices += rules.clip_notices("video", request.video, num_frames, checkpoint)
        if request.keep_source and "keep_source" in submode.takes and (source or request.mask):
            notices.append(
                "Outside a mask without grays the source's own pixels are put back, blended at its edge."
            )
        if models := submode.models(request.mask_source):
            names = ", ".join(f"{ANNOTATORS[m].name} ({ANNOTATORS[m].megabytes} MB)" for m in models)
            notices.append(f"{submode.label} uses {names}; downloaded once, with --weights wan.")
        return notices


_FILL = {
    "video": "give a source clip",
    "last_video": "give the clip that it ends with",
    "mask": "draw one or give a picture or clip, white where new pixels go",
    "image": "give a picture for the first frame",
    "middle_image": "give a picture for the middle frame",
    "last_image": "give a picture for the last frame",
    "reference_images": f"give 1 to {MAX_REFERENCES} pictures",
    "bbox": "give left, top, right, bottom as shares of the frame, such as 0.2,0.2,0.6,0.6",
    "bbox_to": "give the box where it ends, such as 0.5,0.2,0.9,0.6",
    "label": "name the thing, such as dog",
    "caption": "describe the thing, such as the dog on the left",
}
_COMMON = frozenset(contract.Request.model_fields) | {
    "submode", "conditioning_scale",
}  # fmt: skip


def submode_of(request: Request) -> SubMode:
    """The sub-mode of a request; without one, what its inputs say. InputError where they say nothing."""
    if request.submode:
        if request.submode not in SUBMODES:
            raise InputError(
                "submode",
                "must be a VACE sub-mode",
                got=repr(request.submode),
                hint="try " + ", ".join(SUBMODES),
            )
        return SUBMODES[request.submode]
    if request.mask is not None:
        if request.video is None:
            raise InputError("mask", "needs a video that it lies on", hint="give the source clip as video")
        return SUBMODES["inpainting_mask"]
    if request.video is not None:
        return SUBMODES["plain"]
    if request.reference_images:
        return SUBMODES["reference_anything"]
    raise InputError(
        "video",
        "or reference_images or a submode is required",
        hint="give a clip, or use t2v for a prompt alone",
    )


def kept_frames(request: Request, num_frames: int) -> int:
    """Frames of a clip that an extension keeps: as asked, else about a quarter, as many as a clip may have."""
    return request.keep_frames or max(CLIP_LAW.below(num_frames // 4), 5 if num_frames >= 17 else 1)


def masked_frame(moment: ImageFrom, num_frames: int, fps: int) -> int:
    """The number of the frame that a mask lies on; InputError for one that is not used."""
    if isinstance(moment, str):
        return 0 if moment == "first" else num_frames - 1
    number = int(moment * fps + 0.01)  # a player's clock may stand a hair before the frame that it shows
    if number >= num_frames:
        rule = f"must lie within the {num_frames / fps:.2f} s of the video that are used"
        raise InputError("mask_from", rule, got=f"{moment:g} s", hint="try last, or more frames")
    return number


def middle_frame(request: Request, num_frames: int, fps: int) -> int:
    """The number of the frame that `middle_image` becomes; InputError where it is not between the other two."""
    if request.middle_at is None:
        return num_frames // 2
    number = round(request.middle_at * fps)
    if not 0 < number < num_frames - 1:
        rule = f"must lie between the first frame and the last, at {(num_frames - 1) / fps:.2f} s"
        hint = f"try {num_frames // 2 / fps:.2f}, or leave it empty"
        raise InputError("middle_at", rule, got=f"{request.middle_at:g} s", hint=hint)
    return number


FEWEST_FRAMES = 5


def _source(submode: SubMode, chosen: str | None) -> str | None:
    if chosen and chosen not in MASK_SOURCES and not submode.mask_sources:
        hint = "try " + ", ".join(MASK_SOURCES)
        raise InputError("mask_source", "must be a mask source", got=repr(chosen), hint=hint)
    try:
        source = submode.source(chosen)
    except KeyError:
        raise InputError(
            "mask_source",
            f"must be one that {submode.key} offers",
            got=repr(chosen),
            hint="try " + ", ".join(submode.mask_sources),
        ) from None
    return source.key if source else None


def _box(name: str, box: list[float] | None) -> None:
    if box is None:
        return
    if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise InputError(
            name,
            "must be left, top, right, bottom as shares of the frame, left < right and top < bottom",
            got=box,
            hint="try 0.2,0.2,0.6,0.6",
        )


def _references(count: int, num_frames: int, law: FrameLaw) -> None:
    if count > MAX_REFERENCES:
        raise InputError("reference_images", f"takes at most {MAX_REFERENCES} pictures", got=count)
    latent_frames = law.latent(num_frames)
    if count > latent_frames:
        # diffusers pads the mask with a slice of itself and then fails on the missing frames.
        raise InputError(
            "reference_images",
            f"must not outnumber the {latent_frames} latent frames of {num_frames} frames",
            got=count,
            hint=f"try num_frames {law.frames(count)} or more",
        )


def _extension(request: Request, submode: SubMode, num_frames: int) -> None:
    if submode.maker not in ("extend", "keyframes", "moments"):
        return
    if num_frames < FEWEST_FRAMES:
        raise InputError("num_frames", f"must be at least {FEWEST_FRAMES} for {submode.key}", got=num_frames)
    if "clip" in submode.key:
        clips = 2 if submode.key == "firstlastclip" else 1
        kept = kept_frames(request, num_frames) * clips
        if kept >= num_frames:
            raise InputError(
                "keep_frames",
                f"must leave frames to make: {kept} of {num_frames} would be kept",
                hint=f"try {max((num_frames - 1) // clips // 2, 1)}",
            )
    for index in request.keyframes or []:
        if not 0 <= index < num_frames:
            raise InputError("keyframes", f"must be between 0 and {num_frames - 1}", got=index)


def _kept(request: Request, submode: SubMode, num_frames: int) -> list[str]:
    kept = kept_frames(request, num_frames)
    match submode.key:
        case "firstclip":
            return [f"The last {kept} frames of the clip are kept as the beginning of {num_frames}."]
        case "lastclip":
            return [f"The first {kept} frames of the clip are kept as the end of {num_frames}."]
        case "firstlastclip":
            return [f"{kept} frames of each clip are kept, at both ends of {num_frames}."]
        case _:
            return []


def _ignored(request: Request, submode: SubMode) -> str:
    """Inputs that were given but that this sub-mode does not read."""
    read = {
        *_COMMON,
        *submode.fields(request.mask_source),
        *(["mask_source"] if submode.mask_sources else []),
    }
    read |= {f"{name}_from" for name in read} | ({"mask_invert"} if "mask" in read else set[str]())
    unread = sorted(
        n for n in request.model_fields_set - read if getattr(request, n) not in (None, [], "", 0)
    )
    fields = Request.model_fields
    unread = [n for n in unread if getattr(request, n) != fields[n].default]
    return f"{submode.label} does not use {', '.join(unread)}." if unread else ""


MODE = VACE()
