"""Has diffusers' Animate pipeline make one segment that goes on from frames: by itself it starts at the beginning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from common.runtime.sample.segments import Frames


@contextmanager
def going_on(pipe: Any, tail: Frames | None) -> Iterator[None]:
    """In it the pipeline's one segment begins with `tail` [frames, height, width, 3], or as a first one does.

    The pipeline would carry its own frames over; ours have been on disk, perhaps since yesterday.
    """
    if tail is None:
        yield
        return
    own = pipe.prepare_prev_segment_cond_latents
    device = pipe._execution_device  # the transformer's own may be where its blocks wait
    video = torch.from_numpy(tail).to(device).permute(3, 0, 1, 2)[None].float() / 127.5 - 1

    def prepare(_: None, *, start_frame: int, **more: Any) -> torch.Tensor:
        return own(video, start_frame=start_frame + 1, **more)

    pipe.prepare_prev_segment_cond_latents = prepare
    try:
        yield
    finally:
        del pipe.prepare_prev_segment_cond_latents
