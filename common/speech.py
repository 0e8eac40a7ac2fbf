"""In which clips a video is made after a sound, and which moment of the sound each of their frames belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

SAMPLE_RATE = 16_000
"""Of the sound that a model hears: samples a second, mono."""


@dataclass(frozen=True)
class ClipLaw:
    """Clips of `frames` at `fps`, each conditioned on the last `motion` frames that were made before it.

    Nothing is there before the first: it is decoded behind the picture, and its `dropped` first frames, which still
    turn from that into the clip, are thrown away (Wan2.2's speech2video.py). So `count` clips show
    `count * frames - dropped` frames.

    That file counts as if those were shown, so just under each multiple of 5 s it makes a clip too few, and lays the
    sound under the video from its beginning: lips are 3 frames (0.19 s) ahead of it. Here a clip is counted for every
    frame that the sound lasts, and the model hears silence during those it drops: frame k of the video is the one at
    k / fps seconds of the sound, and of the pose video.
    """

    fps: int = 16
    frames: int = 80
    dropped: int = 3
    motion: int = 73

    def lasting(self, samples: int) -> int:
        """Frames of a video that lasts as long as a sound of so many samples, or longer by less than a frame."""
        return ceil(samples * self.fps / SAMPLE_RATE)

    def count(self, num_frames: int) -> int:
        """Clips of a video of so many frames; the last one may reach beyond its end."""
        return max(ceil((num_frames + self.dropped) / self.frames), 1)

    def driving(self, clip: int, num_frames: int) -> list[int]:
        """The frames of a pose video, `num_frames` long, that drive a clip: fewer, or none, where it has ended.

        The first clip's dropped frames stand as the first of the video does.
        """
        start = clip * self.frames - self.dropped
        return [max(number, 0) for number in range(start, min(start + self.frames, num_frames))]


CLIPS = ClipLaw()
"""Wan2.2-S2V-14B's own (wan_s2v_14B.py)."""
NANO_CLIPS = ClipLaw(frames=16, motion=1)
"""Wan-Nano's: a clip and what came before it are 17 frames, more than which its VAE has never seen."""
