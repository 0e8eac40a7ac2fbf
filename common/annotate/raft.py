"""Optical flow by torchvision's RAFT, drawn on the same wheel as the flow that needs no weights."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from common.annotate.flow import flow_maps
from common.annotate.frames import Check, Frames, array, unchecked, watched
from common.annotate.models import loaded

_GRID = 8


def raft_flow(frames: Frames, folder: Path, device: str, check: Check = unchecked) -> Frames:
    """Flow maps, the first one duplicated."""
    import torch

    model = loaded(_load, folder, device)
    size = frames[0].size
    with torch.inference_mode():
        tensors = (  # two at a time: all of them in floats would be four times the clip
            torch.from_numpy(array(f).copy()).permute(2, 0, 1)[None].float().to(device) / 127.5 - 1
            for f in watched(frames, check)
        )
        flows = [_pair(model, a, b) for a, b in itertools.pairwise(tensors)]
    return flow_maps(flows, size)


def _pair(model: Any, first: Any, second: Any) -> Any:
    import torch.nn.functional as F

    height, width = first.shape[-2:]
    pad = (0, -width % _GRID, 0, -height % _GRID)
    flow = model(F.pad(first, pad, mode="replicate"), F.pad(second, pad, mode="replicate"))[-1]
    return flow[0, :, :height, :width].permute(1, 2, 0).cpu().numpy()


def _load(folder: Path, device: str) -> Any:
    import torch
    from torchvision.models.optical_flow import raft_large  # pyright: ignore[reportMissingImports]

    model = raft_large(weights=None, progress=False)
    weights = next(iter(sorted(folder.glob("raft_large*.pth"))))
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval().to(device)
