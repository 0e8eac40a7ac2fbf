"""Writes clips as rows of frames into one PNG, for looking at."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor


def save_rows(clips: Tensor, path: Path, columns: int = 6) -> None:
    """`clips` is [batch, 3, frames, h, w] in −1…1; a row a clip, evenly spaced frames."""
    from PIL import Image

    frames = clips.shape[2]
    picks = torch.linspace(0, frames - 1, min(columns, frames)).round().long()
    rows = clips[:, :, picks.to(clips.device)].permute(0, 3, 2, 4, 1)
    count, height, across, width, _ = rows.shape
    pixels = ((rows.float().clamp(-1, 1) + 1) * 127.5).round().byte().cpu()
    Image.fromarray(pixels.reshape(count * height, across * width, 3).numpy()).save(path)
