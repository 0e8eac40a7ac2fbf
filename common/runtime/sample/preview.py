"""Shows what the model believes so far: a linear map from latents to RGB, as a tiny animated WEBP.

UniPC's last model output is its prediction of the clean latents, so a preview costs no forward pass. Each VAE
has its own map, fitted by least squares on simple pictures that it encodes itself.
"""

from __future__ import annotations

import base64
import io
import logging
from typing import Any
from weakref import WeakKeyDictionary

import torch
from PIL import Image
from torch import Tensor

from common.contract import PREVIEW_BYTES

FRAMES = 8
LONG_SIDE = 192

log = logging.getLogger(__name__)
_maps: WeakKeyDictionary[Any, Tensor] = WeakKeyDictionary()


@torch.no_grad()
def rgb_map(vae: Any) -> Tensor:
    """[channels + 1, 3]: what to multiply normalised latents (and a one) by to get RGB in 0..1."""
    if vae not in _maps:
        _maps[vae] = _fit(vae)
    return _maps[vae]


def prepare(vae: Any) -> None:
    """Fits the map ahead of the first step; a VAE that cannot be fitted only costs the previews."""
    try:
        rgb_map(vae)
    except Exception:
        log.warning("no preview for this VAE", exc_info=True)


def _fit(vae: Any) -> Tensor:
    clips = _pictures()
    device, dtype = next(vae.parameters()).device, next(vae.parameters()).dtype
    rows: list[Tensor] = []
    wanted: list[Tensor] = []
    scale = int(vae.config.scale_factor_spatial)
    for clip in clips:
        video = clip[None].to(device, dtype) * 2 - 1
        latents = _normalised(vae, vae.encode(video).latent_dist.mode())[0].float().cpu()
        small = torch.nn.functional.avg_pool3d(clip, (1, scale, scale))
        # The first latent frame stands for one picture, each further one for four.
        target = torch.cat([small[:, :1], small[:, 1:].unflatten(1, (-1, 4)).mean(2)], 1)
        rows.append(latents.flatten(1).T)
        wanted.append(target.flatten(1).T)
    x, y = torch.cat(rows), torch.cat(wanted)
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    # Ridge: plain colours leave some of the channels undetermined.
    gram = x.T @ x + 1e-2 * torch.eye(x.shape[1])
    return torch.linalg.solve(gram, x.T @ y)


def _pictures(count: int = 12, side: int = 64, frames: int = 9) -> list[Tensor]:
    """Flat patches of random colours, half of them on black, still or drifting: [3, frames, side, side] each."""
    generator = torch.Generator("cpu").manual_seed(0)
    clips: list[Tensor] = []
    for index in range(count):
        patches = 2 + index % 3
        coarse = torch.rand(1, 3, patches, patches, generator=generator)
        if index % 2:
            coarse = coarse * (torch.rand(1, 1, patches, patches, generator=generator) > 0.5)
        picture = torch.nn.functional.interpolate(coarse, (side, side), mode="nearest")[0]
        clips.append(torch.stack([picture.roll(2 * f * (index % 3), 2) for f in range(frames)], 1))
    return clips


def _normalised(vae: Any, latents: Tensor) -> Tensor:
    shape = (1, -1, 1, 1, 1)
    mean = torch.tensor(vae.config.latents_mean).view(shape).to(latents)
    std = torch.tensor(vae.config.latents_std).view(shape).to(latents)
    return (latents - mean) / std


@torch.no_grad()
def render(vae: Any, latents: Tensor, seconds: float) -> str:
    """Latents [1, channels, frames, height, width] as a base64 WEBP of at most PREVIEW_BYTES."""
    chosen = torch.linspace(0, latents.shape[2] - 1, min(FRAMES, latents.shape[2])).round().long()
    picked = latents[0].index_select(1, chosen.to(latents.device)).float()
    table = rgb_map(vae).to(picked.device)
    rgb = torch.einsum("cfhw,cr->frhw", picked, table[:-1]) + table[-1].view(1, 3, 1, 1)
    scale = LONG_SIDE / max(rgb.shape[2:])
    size = (round(rgb.shape[2] * scale), round(rgb.shape[3] * scale))
    rgb = torch.nn.functional.interpolate(rgb, size, mode="bicubic").clamp(0, 1)
    array = (rgb * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return webp([Image.fromarray(frame) for frame in array], seconds)


def webp(frames: list[Image.Image], seconds: float) -> str:
    """Base64 of an animation, made smaller until it fits."""
    quality, images = 50, frames
    while True:
        buffer = io.BytesIO()
        pause = max(1, round(1000 * seconds / len(images)))
        images[0].save(
            buffer, "WEBP", save_all=True, append_images=images[1:], duration=pause, loop=0,
            quality=quality, method=0,
        )  # fmt: skip
        encoded = base64.b64encode(buffer.getvalue()).decode()
        if len(encoded) <= PREVIEW_BYTES:
            return encoded
        if quality > 20:
            quality -= 20
        elif len(images) > 4:
            images = images[::2]
        else:
            images = [i.resize((max(8, i.width * 3 // 4), max(8, i.height * 3 // 4))) for i in images]
