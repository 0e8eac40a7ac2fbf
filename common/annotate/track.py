"""Follows a thing through a clip with SAM 2: from a mask or a box in the first frame to a mask a frame.

The session is filled by hand rather than by transformers' Sam2 processor, which cannot be imported without
torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common.annotate.frames import Check, Frame, Frames, array, picture, unchecked, watched
from common.annotate.masks import as_bool
from common.annotate.models import loaded

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet, as SAM 2 was trained
_OBJECT = 1
_TOP_LEFT, _BOTTOM_RIGHT = 2, 3  # SAM's labels for the two corners of a box


def track_mask(frames: Frames, mask: Frame, folder: Path, device: str, check: Check = unchecked) -> Frames:
    """Masks of whatever is white in the first frame's mask."""
    model = loaded(_load, folder, device)
    session = _session(frames, model, check)
    size = _side(model)
    import torch

    white = torch.from_numpy(as_bool(mask).astype(np.float32))[None, None].to(model.device)
    scaled = torch.nn.functional.interpolate(
        white, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    session.add_mask_inputs(session.obj_id_to_idx(_OBJECT), 0, (scaled >= 0.5).float())
    return _follow(session, model, frames, check)


def track_box(
    frames: Frames, box: Sequence[int], folder: Path, device: str, check: Check = unchecked
) -> Frames:
    """Masks of what lies in a box of the first frame, given in pixels."""
    import torch

    model = loaded(_load, folder, device)
    session = _session(frames, model, check)
    size = _side(model)
    width, height = frames[0].size
    corners = torch.tensor(box, dtype=torch.float32).reshape(1, 1, 2, 2)
    corners = corners * torch.tensor([size / width, size / height])
    labels = torch.tensor([[[_TOP_LEFT, _BOTTOM_RIGHT]]], dtype=torch.int32)
    points = {"point_coords": corners.to(model.device), "point_labels": labels.to(model.device)}
    session.add_point_inputs(session.obj_id_to_idx(_OBJECT), 0, points)
    return _follow(session, model, frames, check)


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


def _follow(session: Any, model: Any, frames: Frames, check: Check) -> Frames:
    import torch

    session.obj_with_new_inputs = [_OBJECT]
    width, height = frames[0].size
    masks: dict[int, Frame] = {}
    with torch.inference_mode():
        for output in model.propagate_in_video_iterator(session, start_frame_idx=0):
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
