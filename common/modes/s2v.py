"""S2V: a picture speaks or sings what is heard, for as long as it is heard."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from common import contract
from common.catalog import SPEECH, Checkpoint, Weights
from common.contract import ImageFrom, MediaHandle
from common.errors import InputError, MediaError
from common.modes import rules
from common.modes.base import Example, MediaSlot, Mode
from common.speech import CLIPS, SAMPLE_RATE


class Request(contract.Request):
    """A picture, a sound, and what the scene is like."""

    image: MediaHandle | None = Field(None, description="Who speaks: a picture, or a clip to take it from")
    image_from: ImageFrom = Field("first", description="Frame of a clip: first, last, or seconds")
    audio: MediaHandle | None = Field(None, description="What is heard: a sound, or a clip that has one")
    pose_video: MediaHandle | None = Field(None, description="Poses to take; without it the sound alone moves")
    num_clip: int | None = Field(None, description="At most so many clips; leave it empty for all of the sound")


class S2V(Mode[Request]):
    """Speech to video."""

    request_type = Request
    key = "s2v"
    title = "Speech to Video"
    icon = "🔊"
    about = "A picture speaks, or sings, what is heard."
    prompt_label = "Scene / style prompt"
    nano_placeholder = "a red circle on a black background"
    checkpoints = ("wan2.2-s2v-14b",)
    slots = (
        MediaSlot("image", "image", "Reference character"),
        MediaSlot("audio", "audio", "Driving audio"),
        MediaSlot("pose_video", "video", "Pose video", required=False),
    )
    examples = (
        Example("Close-up", {"prompt": "A cinematic close-up of a person speaking to the camera, soft light"}),
        Example("Singer", {"prompt": "A singer on a small stage performs with feeling, warm spotlights"}),
        Example("News", {"prompt": "A news anchor reads the headlines behind a desk, bright studio"}),
    )
    nano_examples = (
        Example("Red circle", {"image": "red-circle.png", "audio": "speech.mp3",
                               "prompt": "a red circle on a black background"}),
    )  # fmt: skip

    def frames(self, request: Request, checkpoint: Checkpoint, weights: Weights) -> int:
        """As many as the sound lasts, which is then cut to the last of them; or those of so many clips."""
        most = [request.num_frames]
        if request.num_clip is not None:
            rules.between("num_clip", request.num_clip, 1, SPEECH.count(checkpoint.max_frames, 0, weights))
            most.append(request.num_clip * SPEECH.length(weights) - SPEECH.dropped)
        asked = min((n for n in most if n is not None), default=None)
        have = lasting(request.audio)
        if have is None:
            return checkpoint.default_frames(weights) if asked is None else asked
        if request.num_frames is not None and request.num_frames > have:
            rule = f"must not exceed what audio has: {have} frames at {checkpoint.fps} fps"
            raise InputError(
                "num_frames", rule, got=request.num_frames, hint=f"try {have} or leave it empty"
            )
        if asked is None and have > checkpoint.max_frames:
            raise MediaError(
                "audio", f"must last at most {checkpoint.seconds:g} s", got=f"{have / checkpoint.fps:.1f} s",
                hint="cut it shorter, or give num_clip for its beginning",
            )  # fmt: skip
        return have if asked is None else min(have, asked)

    def segments(
        self, request: Request, checkpoint: Checkpoint, weights: Weights, num_frames: int
    ) -> list[int]:
        return [SPEECH.length(weights)] * SPEECH.count(num_frames, 0, weights)

    def cropped(self, request: Request, checkpoint: Checkpoint) -> tuple[str, ...]:
        return ("image", "pose_video")

    def encodes(self, request: Request, checkpoint: Checkpoint) -> int:
        """What was made before, and the poses."""
        return 1 + (request.pose_video is not None)

    def references(self, request: Request) -> int:
        return max(row.references for row in self.rows())

    def values(self, request: Request) -> dict[str, Any]:
        return {"num_clip": request.num_clip}

    def check(self, request: Request, checkpoint: Checkpoint, weights: Weights) -> list[str]:
        """A sound in which nothing is left out, and poses for all of it."""
        sound = request.audio
        if sound is not None and sound.media_type.startswith("image/"):
            raise MediaError(
                "audio", "must be a sound, and is a picture", got=sound.media_type,
                hint="give a sound, such as a wav or mp3",
            )  # fmt: skip
        if sound is not None and sound.has_audio is False:
            raise MediaError("audio", "has no sound", hint="give a sound, or a clip with one")
        length = self.frames(request, checkpoint, weights)
        notices = rules.clip_notices("pose_video", request.pose_video, length, checkpoint)
        have = lasting(sound)
        if have is not None and length < have:
            notices.append(
                f"audio lasts {have / checkpoint.fps:.1f} s; the first {length / checkpoint.fps:.1f} s are used."
            )
        poses = rules.clip_length(request.pose_video, checkpoint.fps)
        if poses is not None and poses < length:
            rest = (length - poses) / checkpoint.fps
            notices.append(f"pose_video ends {rest:.1f} s before the video does: there it is black.")
        return notices


def lasting(sound: MediaHandle | None) -> int | None:
    """Frames of a video that lasts as long as a sound; None while nobody has measured it."""
    if sound is None or not sound.seconds:
        return None
    return max(CLIPS.lasting(round(sound.seconds * SAMPLE_RATE)), 1)


MODE = S2V()
