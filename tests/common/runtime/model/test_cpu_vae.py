"""The faster convolutions give the same pictures."""

import torch
from diffusers import AutoencoderKLWan

import nano
from common.runtime.model import cpu_vae


def test_decode_and_encode_are_the_same_picture() -> None:
    vae = AutoencoderKLWan.from_pretrained(nano.find("dense") / "vae").eval()
    latents = torch.randn(1, 16, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        slow = vae.decode(latents).sample
        slow_latents = vae.encode(slow).latent_dist.mode()
        cpu_vae.speed_up(vae)
        fast = vae.decode(latents).sample
        fast_latents = vae.encode(slow).latent_dist.mode()
    assert torch.allclose(slow, fast, atol=1e-5)
    assert torch.allclose(slow_latents, fast_latents, atol=1e-4)
    assert slow.std() > 0.01
