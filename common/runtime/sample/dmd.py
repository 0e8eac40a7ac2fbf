"""The sampler that FastWan was distilled with (DMD): predict the clean clip, noise it anew to the next level.

diffusers' Euler scheduler does that with `stochastic_sampling`; here it gets the noise levels, and its noise from
the job's own seed, for the Wan pipelines pass `step` no generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler  # pyright: ignore[reportPrivateImportUsage]


class DMDScheduler(FlowMatchEulerDiscreteScheduler):
    """Samples at `denoising_steps` (timesteps of 1000) when asked for as many, else evenly under `flow_shift`."""

    def __init__(self, denoising_steps: Sequence[int], flow_shift: float, generator: torch.Generator) -> None:
        super().__init__(shift=flow_shift, stochastic_sampling=True)
        self.denoising_steps = denoising_steps
        self.generator = generator
        self.model_outputs: list[torch.Tensor] = []
        """The last prediction of the clean latents, where UniPC keeps its own: previews read it."""

    def set_timesteps(self, num_inference_steps: int, device: Any = None, **_: Any) -> None:
        """Noise levels, and the timesteps that the model is told."""
        even = np.linspace(1, 0, num_inference_steps + 1)[:-1]
        super().set_timesteps(sigmas=even.tolist(), device=device)
        if len(self.denoising_steps) == num_inference_steps:
            self.timesteps = torch.tensor(self.denoising_steps, dtype=torch.float32, device=device)
            self.sigmas = torch.cat([self.timesteps / 1000, self.timesteps.new_zeros(1)])

    def step(self, model_output: Any, timestep: Any, sample: Any, return_dict: bool = True) -> Any:
        """The next, less noisy sample."""
        if self.step_index is None:
            self._init_step_index(timestep)
        # In float32: the parent gives the sample back in the dtype of the model's output.
        velocity = model_output.float()
        self.model_outputs = [sample.float() - self.sigmas[self.step_index] * velocity]
        return super().step(velocity, timestep, sample, generator=self.generator, return_dict=return_dict)
