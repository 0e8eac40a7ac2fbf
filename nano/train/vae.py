"""Trains a nano VAE: `python -m nano.train.vae --vae vae-2.1 --seconds 400 --init FOLDER --out FOLDER`."""

from __future__ import annotations

import argparse
import math
import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nano.train.controls import clutter, depth_video, edge_video, gray_video, random_masks, track_video
from nano.train.parts import new_vae
from nano.train.pictures import save_rows
from nano.train.schedule import Budget, learning_rate
from nano.train.whole_clip import WholeClip
from nano.train.world import paths, random_scenes, render

CROP = {"vae-2.1": 64, "vae-2.2": 96}
# How many crops of each length fit a step: about the same number of pixels each time.
BATCH = {1: 256, 5: 72, 9: 44, 17: 26}


def picture_batch(
    count: int, frames: int, crop: int, device: str, canvas: int = 128
) -> tuple[Tensor, Tensor]:
    """Crops around moving shapes, some masked or turned into control videos, and how much each pixel counts."""
    scenes = random_scenes(count, device=device)
    if crop < canvas:
        x, y, _, _ = paths(scenes, 1)
        spread = crop * 0.7 * (torch.rand(2, count, device=device) - 0.5)
        offset = (torch.stack([y[:, 0], x[:, 0]]) + 1) / 2 * canvas - crop / 2 + spread
        top, left = offset.round().long().clamp(0, canvas - crop)
        clip, cover = render(scenes, frames, canvas, canvas, (top, left, crop, crop))
    else:
        clip, cover = render(scenes, frames, canvas, canvas)
    weight = 1 + 6 * cover
    # The last third of the batch is what conditions look like: blanked regions and frames, controls, clutter.
    part = max(1, count // 24)
    place = count - 8 * part
    if place <= 0:
        return clip, weight

    def put(index: int, length: int, pictures: Tensor, importance: Tensor | float) -> None:
        chosen = slice(place + index * part, place + (index + length) * part)
        clip[chosen] = pictures
        weight[chosen] = importance

    def taken(index: int, length: int) -> slice:
        return slice(place + index * part, place + (index + length) * part)

    some = taken(0, 3)
    mask = random_masks(3 * part, frames, crop, crop, cover[some])
    mask = torch.where(torch.rand(3 * part, 1, 1, 1, 1, device=device) < 0.5, mask, 1 - mask)
    put(0, 3, clip[some] * mask, weight[some] * mask + (1 - mask))
    if frames > 1:
        kept = torch.zeros(1, 1, frames, 1, 1, device=device)
        kept[:, :, 0] = 1
        put(3, 1, clip[taken(3, 1)] * kept, weight[taken(3, 1)] * kept + 1 - kept)
        kept[:, :, -1] = 1
        put(4, 1, clip[taken(4, 1)] * kept, weight[taken(4, 1)] * kept + 1 - kept)
    makers = (gray_video(clip[taken(5, 1)]), depth_video(cover[taken(5, 1)]))
    put(5, 1, random.choice(makers), weight[taken(5, 1)])
    lines = random.choice((edge_video, track_video))(cover[taken(6, 1)])
    put(6, 1, lines, 1 + 6 * (lines > -0.5).float().amax(1, keepdim=True))
    put(7, 1, clutter(part, frames, crop, crop, device), 2.0)
    return clip, weight


def loss_of(made: Tensor, clip: Tensor, weight: Tensor) -> Tensor:
    """Weighted absolute and squared error, and the error of the gradients, which keeps outlines sharp."""
    gap = made - clip
    mean = (weight.sum() * 3).clamp(min=1)
    plain = (gap.abs() * weight).sum() / mean + 0.5 * (gap.square() * weight).sum() / mean
    edges = gap.diff(dim=-1).abs().mean() + gap.diff(dim=-2).abs().mean()
    return plain + 0.5 * edges


def lengths(fraction: float, warm: bool) -> tuple[int, ...]:
    """Still pictures first: the temporal layers are bypassed by them, so the spatial ones settle early."""
    if warm or fraction > 0.75:
        return (17, 9, 17, 5)
    return (1,) if fraction < 0.25 else (1, 5, 5, 9) if fraction < 0.5 else (5, 9, 17)


def run_phase(
    whole: WholeClip, name: str, budget: Budget, args: argparse.Namespace, decoder_only: bool
) -> float:
    """One training phase; returns the last smoothed loss."""
    vae, device = whole.vae, args.device
    vae.encoder.requires_grad_(not decoder_only)
    vae.quant_conv.requires_grad_(not decoder_only)
    trained = [p for p in vae.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(trained, lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4, fused=device == "cuda")
    warm = decoder_only or args.init is not None
    smooth = math.nan
    for fraction in budget:
        frames = lengths(fraction, warm)[budget.step % len(lengths(fraction, warm))]
        crop, batch = CROP[name], max(2, int(BATCH[frames] * args.batch))
        if fraction > args.full_from and frames > 1:
            crop, batch = 128, max(2, batch * CROP[name] ** 2 // 128**2)
        clip, weight = picture_batch(batch, frames, crop, device)
        clip, weight = (x.contiguous(memory_format=torch.channels_last_3d) for x in (clip, weight))
        for group in adam.param_groups:
            group["lr"] = learning_rate(args.rate * (0.6 if warm else 1), budget.step, fraction)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            with torch.set_grad_enabled(not decoder_only):
                mean, log_variance = whole.moments(clip)
            noise = torch.randn_like(mean) * (0.5 * log_variance).exp()
            # The transformers will not hit the latents exactly: the decoder has to forgive a little.
            latents = mean + noise * (2.0 if decoder_only else 1.0)
            made = whole.decode(latents)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        loss = loss_of(made, clip, weight) + args.kl * divergence
        adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        adam.step()
        if budget.step % 100 == 0 or budget.step < 2:
            value = loss.item()
            smooth = value if math.isnan(smooth) else 0.7 * smooth + 0.3 * value
            psnr = 10 * math.log10(4 / (made - clip).square().mean().item())
            print(
                f"{name} {'decoder' if decoder_only else 'both'} step {budget.step} T {frames} {budget.elapsed:.0f}s "
                f"loss {value:.4f} psnr {psnr:.1f} kl {divergence.item():.2f} z {mean.std().item():.2f}",
                flush=True,
            )
    return smooth


@torch.no_grad()
def measure_latents(whole: WholeClip, device: str, clips: int = 256) -> None:
    """Sets latents_mean and latents_std from clips of the world."""
    parts = []
    for height, width in ((128, 128), (128, 128), (128, 192), (192, 128)):
        for _ in range(max(1, clips // 64)):
            scenes = random_scenes(min(16, clips), width / height, device=device)
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                mean, _ = whole.moments(render(scenes, 17, height, width)[0])
            parts.append(mean.transpose(0, 1).flatten(1))
    every = torch.cat(parts, 1)
    whole.vae.register_to_config(
        latents_mean=[round(v, 5) for v in every.mean(1).tolist()],
        latents_std=[round(v, 5) for v in every.std(1).tolist()],
    )


@torch.no_grad()
def psnr_by_frame(vae: Any, device: str, clips: int = 32, frames: int = 17) -> tuple[list[float], Tensor]:
    """PSNR of each frame through the VAE's own chunked code in fp32, and pictures to look at."""
    scenes = random_scenes(
        clips, device=device, held_out=True, generator=torch.Generator(device).manual_seed(5)
    )
    clip, _ = render(scenes, frames, 128, 128)
    made = torch.cat([vae.decode(vae.encode(c).latent_dist.mean).sample for c in clip.split(8)])
    error = (made - clip).square().mean((0, 1, 3, 4))
    return [round(10 * math.log10(4 / e), 2) for e in error.tolist()], torch.cat([clip[:4], made[:4]])


def load(name: str, folder: str | None, device: str) -> Any:
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    vae = AutoencoderKLWan.from_pretrained(folder, dtype=torch.float32) if folder else new_vae(name)
    for module in vae.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last_3d)
    return vae.to(torch.device(device))  # pyright: ignore[reportArgumentType]


def save(vae: Any, folder: Path) -> None:
    import copy

    copy.deepcopy(vae).to("cpu").half().save_pretrained(folder, safe_serialization=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", choices=list(CROP), default="vae-2.1")
    parser.add_argument("--init", help="a VAE folder to start from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=130, help="encoder and decoder together")
    parser.add_argument("--decoder-seconds", type=float, default=0, help="then the decoder alone")
    parser.add_argument("--steps", type=int, help="exactly so many steps instead of seconds")
    parser.add_argument("--batch", type=float, default=1.0, help="scale of the batch; 0.05 suits a CPU")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--kl", type=float, default=1e-3)
    parser.add_argument(
        "--full-from", type=float, default=0.85, help="whole 128×128 frames after this fraction"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    whole = WholeClip(load(args.vae, args.init, args.device))
    run_phase(whole, args.vae, Budget(args.seconds, args.steps), args, decoder_only=False)
    measure_latents(whole, args.device, 256 if args.device == "cuda" else 4)
    save(whole.vae, args.out)
    (args.out / "encoder-is-final").touch()
    if args.decoder_seconds:
        run_phase(whole, args.vae, Budget(args.decoder_seconds, args.steps), args, decoder_only=True)
    vae = whole.restore()
    save(vae, args.out)
    scores, pictures = psnr_by_frame(vae, args.device, 32 if args.device == "cuda" else 2)
    save_rows(pictures, args.out.parent / f"{args.out.name}.png")
    print(f"{args.vae} psnr by frame {scores}", flush=True)


if __name__ == "__main__":
    main()
