"""Animate: a character takes over what somebody does in a clip, in its own picture or in the clip's scene."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from common import contract
from common.catalog import LORAS, Checkpoint, Preset, SegmentLaw, Weights
from common.contract import ImageFrom, MediaHandle
from common.errors import InputError
from common.modes import rules
from common.modes.base import Example, MediaSlot, Mode

RELIGHT = "relight-2.2-animate"
OWN = ("pose_video", "face_video", "background_video", "mask_video")
"""What somebody may have made of the driving video already."""
SCENE = ("background_video", "mask_video")
"""Of these, what belongs to replacing alone."""


class Request(contract.Request):
    """A character, a performance, and what to do with both."""

    prompt: str = Field("", description="What should be seen; may stay empty")
    image: MediaHandle | None = Field(None, description="The character: a picture, or a clip to take it from")
    image_from: ImageFrom = Field("first", description="Frame of a clip: first, last, or seconds")
    video: MediaHandle | None = Field(
        None, description="Driving video: who moves, and the scene to replace them in"
    )
    animate_mode: Literal["animate", "replace"] = Field(
        "animate", description="`animate` the character, or `replace` who is in the video by it"
    )
    retarget: bool = Field(False, description="Fit the pose to the character's own proportions (animate)")
    relight: bool = Field(False, description="Give the character the scene's light (replace, real weights)")
    prev_segment_conditioning_frames: int = Field(1, description="Frames that a segment takes over: 1 or 5")
    preprocessor: Literal["auto", "vitpose", "mediapipe", "opencv", "nano"] = Field(
        "auto", description="Who finds pose, face and mask in the driving video"
    )
    pose_video: MediaHandle | None = Field(
        None, description="Your own pose video, in place of one that is made"
    )
    face_video: MediaHandle | None = Field(None, description="Your own face video (square, 512x512)")
    background_video: MediaHandle | None = Field(None, description="Your own background video (replace)")
    mask_video: MediaHandle | None = Field(
        None, description="Your own mask video: white is the character (replace)"
    )


class Animate(Mode[Request]):
    """Character animation and replacement."""

    request_type = Request
    key = "animate"
    title = "Animate"
    icon = "💃"
    about = "A picture of a character and a driving video become the character doing it."
    prompt_label = "Prompt (optional)"
    default_prompt = "视频中的人在做动作"
    """Upstream's own: the person in the video is doing something."""
    checkpoints = ("wan2.2-animate-14b", "wan2.2-animate-2-14b", "wan2.2-animate-2-14b-distilled")
    prepared = contract.Performance
    slots = (
        MediaSlot("image", "image", "Character"),
        MediaSlot("video", "video", "Driving video", required=False),
        MediaSlot("pose_video", "video", "Pose video", required=False),
        MediaSlot("face_video", "video", "Face video", required=False),
        MediaSlot("background_video", "video", "Background video", required=False),
        MediaSlot("mask_video", "video", "Mask video", required=False),
    )
    examples = (
        Example("Animate", {"animate_mode": "animate"}),
        Example("Retarget the pose", {"animate_mode": "animate", "retarget": True}),
        Example("Replace", {"animate_mode": "replace"}),
    )
    nano_examples = (
        Example("Star, driven", {"image": "yellow-star.png", "video": "red-circle.mp4", "animate_mode": "animate"}),
        Example("Square in the scene", {"image": "blue-square.png", "video": "red-circle.mp4",
                                        "animate_mode": "replace"}),
    )  # fmt: skip

    def cropped(self, request: Request, checkpoint: Checkpoint) -> tuple[str, ...]:
        """The character is fitted whole, with black beside it; for Animate-2 the video. A face is square anyway."""
        if not reads_pose(checkpoint):
            return ("image",)
        return ("video", "pose_video", *SCENE)

    def frames(self, request: Request, checkpoint: Checkpoint, weights: Weights) -> int:
        """As many as the driving video has, or one's own pose video where that is all there is."""
        field = "video" if request.video is not None else "pose_video"
        clip = request.video or request.pose_video
        asked, have = request.num_frames, rules.clip_length(clip, checkpoint.fps)
        if have is None:
            return checkpoint.default_frames(weights) if asked is None else asked
        if asked is None or have <= request.prev_segment_conditioning_frames:  # `check` refuses such a clip
            return min(have, checkpoint.max_frames)
        if asked > have:
            hint = f"try {have} or leave it empty"
            rule = f"must not exceed what {field} has: {have} frames at {checkpoint.fps} fps"
            raise InputError("num_frames", rule, got=asked, hint=hint)
        return asked

    def segments(
        self, request: Request, checkpoint: Checkpoint, weights: Weights, num_frames: int
    ) -> list[int]:
        law = segment_law(checkpoint)
        count = law.count(num_frames, request.prev_segment_conditioning_frames, weights)
        return [law.length(weights)] * count

    def loras(self, request: Request, checkpoint: Checkpoint, preset: Preset) -> tuple[str, ...]:
        wanted = request.relight and request.animate_mode == "replace" and RELIGHT in checkpoint.other_loras
        return (*preset.loras, RELIGHT) if wanted else preset.loras

    def encodes(self, request: Request, checkpoint: Checkpoint) -> int:
        """The pose or the driving video itself, and what the segment begins with."""
        return 2

    def references(self, request: Request) -> int:
        """The character."""
        return 1

    def values(self, request: Request) -> dict[str, Any]:
        names = ("animate_mode", "retarget", "prev_segment_conditioning_frames", "preprocessor")
        return {name: getattr(request, name) for name in names}

    def check(self, request: Request, checkpoint: Checkpoint, weights: Weights) -> list[str]:
        """What the model can do with what is there, and a performance that is long enough."""
        if request.animate_mode not in checkpoint.animates:
            others = ", ".join(row.key for row in self.rows() if request.animate_mode in row.animates)
            raise InputError(
                "animate_mode", f"{request.animate_mode} is nothing that {checkpoint.name} does",
                hint=f"try {' or '.join(checkpoint.animates)}, or {others}",
            )  # fmt: skip
        law, carried = segment_law(checkpoint), request.prev_segment_conditioning_frames
        if carried not in law.carried:
            raise InputError(
                "prev_segment_conditioning_frames", f"must be {' or '.join(map(str, law.carried))} for "
                f"{checkpoint.name}", got=carried,
            )  # fmt: skip
        _sources(request, checkpoint)
        length = self.frames(request, checkpoint, weights)
        if length <= carried:
            raise _too_few(request, checkpoint, length)
        _long_enough(request, checkpoint, length)
        return self._notices(request, checkpoint, weights, length)

    def _notices(self, request: Request, checkpoint: Checkpoint, weights: Weights, length: int) -> list[str]:
        replaces = request.animate_mode == "replace"
        notices: list[str] = []
        for name in ("video", *wanted(request)):
            notices += rules.clip_notices(name, getattr(request, name), length, checkpoint)
        if request.retarget and (replaces or not reads_pose(checkpoint)):
            notices.append("Retargeting fits a pose to a character that is animated; it has no effect here.")
        elif request.retarget and weights == "nano":
            notices.append("Wan-Nano's shapes have no bones to fit: retargeting changes nothing here.")
        if request.relight and not (replaces and RELIGHT in checkpoint.other_loras):
            notices.append("Relighting is for a character that replaces somebody; it has no effect here.")
        elif request.relight and weights == "nano" and not LORAS[RELIGHT].kind:
            notices.append("Relighting is a LoRA that has no Wan-Nano; it has no effect here.")
        unread = [] if replaces else [name for name in SCENE if getattr(request, name) is not None]
        if unread:
            notices.append(f"Animating does not use {', '.join(unread)}.")
        return notices


def segment_law(checkpoint: Checkpoint) -> SegmentLaw:
    """All of this mode's checkpoints have one."""
    assert checkpoint.segments is not None
    return checkpoint.segments


def reads_pose(checkpoint: Checkpoint) -> bool:
    """Whether a model is given a pose and a face; Animate-2 looks at the driving video itself."""
    return not checkpoint.pipeline


def wanted(request: Request) -> tuple[str, ...]:
    """What has to be made of a driving video, or brought along."""
    return OWN if request.animate_mode == "replace" else tuple(name for name in OWN if name not in SCENE)


def _sources(request: Request, checkpoint: Checkpoint) -> None:
    own = [name for name in OWN if getattr(request, name) is not None]
    if not reads_pose(checkpoint) and own:
        raise InputError(
            own[0], f"is nothing that {checkpoint.name} takes: it looks at the driving video itself",
            hint="leave it out, or try wan2.2-animate-14b",
        )  # fmt: skip
    if request.video is not None:
        return
    missing = [name for name in wanted(request) if name not in own]
    if missing or not reads_pose(checkpoint):
        hint = "give a driving video" + (f", or {' and '.join(missing)} as well" if own else "")
        raise InputError("video", "is required", hint=hint)


def _too_few(request: Request, checkpoint: Checkpoint, length: int) -> InputError:
    """No more frames than a segment takes over: diffusers divides by zero, or runs no segment at all."""
    carried = request.prev_segment_conditioning_frames
    field = "video" if request.video is not None else "pose_video"
    have = rules.clip_length(getattr(request, field), checkpoint.fps)
    why = f"more than the {carried} that a segment takes over"
    smaller = [n for n in segment_law(checkpoint).carried if n < length]
    other = f", or prev_segment_conditioning_frames {smaller[0]}" if smaller else ""
    if have is None or have > carried:
        most = f" to {min(have, checkpoint.max_frames)}" if have else " or more"
        rule = f"must be at least {carried + 1}, {why}"
        return InputError("num_frames", rule, got=length, hint=f"try {carried + 1}{most}{other}")
    rule = f"must have at least {carried + 1} frames, {why}"
    return InputError(field, rule, got=f"{have} at {checkpoint.fps} fps", hint=f"give a longer clip{other}")


def _long_enough(request: Request, checkpoint: Checkpoint, length: int) -> None:
    """One's own videos must last as long as the result; a browser's figures may be a frame off, and don't count."""
    for name in wanted(request):
        clip: MediaHandle | None = getattr(request, name)
        have = rules.clip_length(clip, checkpoint.fps)
        if clip is None or not clip.frames or have is None or have >= length:
            continue
        rule = f"must have as many frames as the result: {length} at {checkpoint.fps} fps"
        shorter = f"num_frames {have} or " if have > request.prev_segment_conditioning_frames else ""
        without = ", or leave it out and it is made" if request.video is not None else ""
        raise InputError(name, rule, got=have, hint=f"try {shorter}a longer clip{without}")


MODE = Animate()
