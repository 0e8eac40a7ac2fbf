"""Finds the performer by OpenCV's classical detectors: no download, and no limbs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.annotate.frames import BLACK, Check, Frame, Frames, array, solid, watched
from common.annotate.keypoints import Person
from common.driving import detectors, proportions
from common.driving.carried import carried
from common.driving.cutout import cut_out
from common.driving.following import SEVERAL
from common.driving.makers import BodyMaker, Means
from common.driving.proportions import Head

EVERY = 6
"""Frames from one search to the next."""

_SECOND = 0.5
"""From this part of the performer's head on, another is more than a passer-by."""


class OpenCV(BodyMaker):
    """Head and shoulders from faces and figures; arms, legs and hands are not known and not drawn."""

    name = "opencv"

    def __init__(self, means: Means) -> None:
        super().__init__()
        detectors.ready()

    def see(self, frames: Sequence[Frame], check: Check, after: Person | None = None) -> list[Person | None]:
        """Bodies by the heads that are found in every sixth frame and followed between."""
        self.note(
            f"the preprocessor `{self.name}` finds head and shoulders: arms, legs and hands are left to the model. "
            "For them use the preprocessor `vitpose`, or give a pose_video of your own."
        )
        grays, scales, found = [], [], {}
        for i, frame in enumerate(watched(frames, check)):
            image = array(frame)
            gray, scale = detectors.small(image)
            grays.append(gray)
            scales.append(scale)
            if i % EVERY == 0 or i == len(frames) - 1:
                found[i] = self.heads(image, gray, scale)
        before = proportions.head_of(after)
        track = carried(grays, found, None if before is None else _scaled(before, scales[0]))
        self._notice(track, found)
        return [
            None if head is None else self.body(frame, _scaled(head, 1 / scale))
            for frame, head, scale in zip(frames, track, scales, strict=True)
        ]

    def heads(self, image: NDArray[np.uint8], gray: detectors.Gray, scale: float) -> list[Head]:
        """Everybody's in a picture, in pixels of its gray copy, which is `scale` times as large."""
        return detectors.heads(gray)

    def body(self, frame: Frame, head: Head) -> Person:
        """What is known of the body that a head belongs to; who is seen without a face stands upright."""
        return proportions.body(head, upright=not head.face)

    def shapes(self, frames: Sequence[Frame], bodies: Sequence[Person | None], check: Check) -> Frames:
        """GrabCut's outlines of what looks unlike the surroundings of a body."""
        made = []
        for frame, body in zip(watched(frames, check), bodies, strict=True):
            head = proportions.head_of(body)
            made.append(
                solid(BLACK, *frame.size) if head is None else cut_out(frame, proportions.region(head))
            )
        return made

    def _notice(self, track: Sequence[Head | None], found: dict[int, list[Head]]) -> None:
        pairs = [(track[i], heads) for i, heads in found.items()]
        crowds = [sum(h.side > _SECOND * at.side for h in heads) > 1 for at, heads in pairs if at is not None]
        # In one search of many a wallpaper may look like a face.
        if sum(crowds) > len(crowds) / 4:
            self.note(SEVERAL)


def _scaled(head: Head, scale: float) -> Head:
    return Head(head.x * scale, head.y * scale, head.side * scale, head.face)
