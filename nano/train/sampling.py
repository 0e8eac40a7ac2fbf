"""Samples many clips at once with the pipelines' own scheduler, for looking at a model while it trains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def scheduler(shift: float) -> Any:
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=shift
    )


@torch.no_grad()
def sample(
    predict: Any, noise: Tensor, shift: float, steps: int, guidance: float, keep: Any = None
) -> tuple[Tensor, list[tuple[float, Tensor]]]:
    """`predict(latents, t, conditional)` gives a velocity; returns latents and (sigma, state) before each step."""
    solver = scheduler(shift)
    solver.set_timesteps(steps, device=noise.device)
    latents, states = noise, []
    for index, t in enumerate(solver.timesteps):
        if keep is not None:
            latents = keep(latents)
        states.append((float(solver.sigmas[index]), latents))
        velocity = predict(latents, t, True)
        if guidance > 1:
            plain = predict(latents, t, False)
            velocity = plain + guidance * (velocity - plain)
        latents = solver.step(velocity, t, latents, return_dict=False)[0]
    return (latents if keep is None else keep(latents)), states


@torch.no_grad()
def decode(vae: Any, latents: Tensor, batch: int = 16) -> Tensor:
    """Clips in −1…1 from standard latents, through the VAE's own code."""
    shape = (1, vae.config.z_dim, 1, 1, 1)
    mean = torch.tensor(vae.config.latents_mean, device=latents.device).view(shape)
    deviation = torch.tensor(vae.config.latents_std, device=latents.device).view(shape)
    return torch.cat([vae.decode(part * deviation + mean).sample for part in latents.split(batch)])
