"""Depth maps by DPT or Depth Anything: near is white, each frame stretched from black to white."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.annotate.frames import Check, Frame, Frames, picture, unchecked, watched
from common.annotate.models import loaded


def depth(frames: Frames, folder: Path, device: str, check: Check = unchecked) -> Frames:
    """One map a frame, from the depth model in `folder`."""
    processor, model = loaded(_load, folder, device)
    return [_one(f, processor, model) for f in watched(frames, check)]


def stretched(nearness: NDArray[np.floating]) -> Frame:
    """Nearness from its own least to its own most; a flat map is black."""
    low, high = float(nearness.min()), float(nearness.max())
    if high - low < 1e-6:
        return picture(np.zeros(nearness.shape))
    return picture((nearness - low) / (high - low) * 255)


def _one(frame: Frame, processor: Any, model: Any) -> Frame:
    import torch

    with torch.inference_mode():
        inputs = processor(images=frame, return_tensors="pt").to(model.device)
        predicted = model(**inputs).predicted_depth  # both families predict inverse depth: near is large
        sized = torch.nn.functional.interpolate(
            predicted[:, None].float(), size=(frame.height, frame.width), mode="bicubic", align_corners=False
        )
    return stretched(sized[0, 0].cpu().numpy())


def _load(folder: Path, device: str) -> tuple[Any, Any]:
    # The Pil processor needs no torchvision; Depth Anything ships a DPT processor's config too.
    from transformers import AutoModelForDepthEstimation
    from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

    processor = DPTImageProcessorPil.from_pretrained(folder)
    return processor, AutoModelForDepthEstimation.from_pretrained(folder).eval().to(device)
