"""Follows a thing through a clip with SAM 2: from a mask, a box or points to a mask a frame.

The session is filled by hand rather than by transformers' Sam2 processor, which cannot be imported without
torchvision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common.annotate.frames import Check, Frame, Frames, array, picture, unchecked, watched
from common.annotate.masks import as_bool
from common.annotate.models import loaded

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet, as SAM 2 was trained
_OBJECT = 1
_ON_IT, _TOP_LEFT, _BOTTOM_RIGHT = 1, 2, 3  # SAM's labels for a click and the two corners of a box


def track_mask(
    frames: Frames, mask: Frame, folder: Path, device: str, check: Check = unchecked, start: int = 0
) -> Frames:
    """Masks of whatever is white in the mask of frame `start`: followed to the end, and back to the beginning."""
    model = loaded(_load, folder, device)
    session = _session(frames, model, check)
    size = _side(model)
    import torch

    white = torch.from_numpy(as_bool(mask).astype(np.float32))[None, None].to(model.device)
    scaled = torch.nn.functional.interpolate(
        white, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    session.add_mask_inputs(session.obj_id_to_idx(_OBJECT), start, (scaled >= 0.5).float())
    session.obj_with_new_inputs = [_OBJECT]
    return _follow(session, model, frames, check, start)


def track_box(
    frames: Frames, box: Sequence[int], folder: Path, device: str, check: Check = unchecked
) -> Frames:
    """Masks of what lies in a box of the first frame, given in pixels."""
    model = loaded(_load, folder, device)
    session = _session(frames, model, check)
    corners = [box[:2], box[2:]]
    _click(session, model, 0, corners, [_TOP_LEFT, _BOTTOM_RIGHT])
    return _follow(session, model, frames, check)


def track_points(
    frames: Frames,
    points: Mapping[int, Sequence[Sequence[float]]],
    folder: Path,
    device: str,
    check: Check = unchecked,
) -> Frames:
    """Masks of what some points lie on, given in pixels by the number of their frame."""
    import torch

    model = loaded(_load, folder, device)
    session = _session(frames, model, check)
    for number, clicks in points.items():
        _click(session, model, number, clicks, [_ON_IT] * len(clicks))
        with torch.inference_mode():  # each by itself: following would look at the points of the first alone
            model(session, frame_idx=number)
    return _follow(session, model, frames, check, start=min(points))


def _click(
    session: Any, model: Any, number: int, points: Sequence[Sequence[float]], labels: Sequence[int]
) -> None:
    import torch

    size = _side(model)
    scale = torch.tensor([size / session.video_width, size / session.video_height])
    at = torch.tensor(points, dtype=torch.float32).reshape(1, 1, -1, 2) * scale
    inputs = {
        "point_coords": at.to(model.device),
        "point_labels": torch.tensor([[labels]], dtype=torch.int32).to(model.device),
    }
    session.add_point_inputs(session.obj_id_to_idx(_OBJECT), number, inputs)
    session.obj_with_new_inputs = [_OBJECT]


def _side(model: Any) -> int:
    side = model.config.image_size
    return side if isinstance(side, int) else side[0]


def _session(frames: Frames, model: Any, check: Check) -> Any:
    import torch
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    size = _side(model)
    mean, std = torch.tensor(_MEAN).view(3, 1, 1), torch.tensor(_STD).view(3, 1, 1)
    small = [array(f.resize((size, size), Image.Resampling.BILINEAR)).copy() for f in watched(frames, check)]
    pixels = [(torch.from_numpy(f).permute(2, 0, 1) / 255 - mean) / std for f in small]
    width, height = frames[0].size
    return Sam2VideoInferenceSession(
        video=torch.stack(pixels),
        video_height=height,
        video_width=width,
        inference_device=model.device,
        inference_state_device=model.device,
        video_storage_device="cpu",
        dtype=model.dtype,
    )


def _follow(session: Any, model: Any, frames: Frames, check: Check, start: int = 0) -> Frames:
    import torch

    width, height = frames[0].size
    masks: dict[int, Frame] = {}
    with torch.inference_mode():
        for backwards in (False, True):
            for output in model.propagate_in_video_iterator(
                session, start_frame_idx=start, reverse=backwards
            ):
                check()
                logits = torch.nn.functional.interpolate(
                    output.pred_masks.float(), size=(height, width), mode="bilinear", align_corners=False
                )
                masks[output.frame_idx] = picture((logits[0, 0] > 0).cpu().numpy() * 255)
    return [masks[i] for i in range(len(frames))]


def _load(folder: Path, device: str) -> Any:
    from transformers import Sam2VideoModel

    model: Any = Sam2VideoModel.from_pretrained(folder)
    return model.eval().to(device)
