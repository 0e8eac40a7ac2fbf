"""Wan2.2-S2V, a clip at a time: a picture that speaks or sings what is heard.

Wan2.2's own loop (speech2video.py) makes all clips in one call. Here a call makes one, of the frames that were made
before it: whoever calls keeps those, stops between clips, and goes on tomorrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from diffusers.loaders.lora_pipeline import WanLoraLoaderMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.pipelines.wan.pipeline_output import WanPipelineOutput
from diffusers.pipelines.wan.pipeline_wan import WanPipeline
from diffusers.utils.torch_utils import get_module_execution_device, randn_tensor
from diffusers.video_processor import VideoProcessor
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from common.runtime.pipelines.s2v import audio
from common.runtime.pipelines.s2v.transformer import WanS2VTransformer3DModel
from common.speech import CLIPS, ClipLaw

Video = Sequence[Image.Image] | NDArray[np.uint8] | Tensor
"""Frames: pictures, bytes [frames, height, width, 3], or numbers in 0..1 [1, frames, 3, height, width]."""
Callback = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]
"""diffusers' `callback_on_step_end`."""
GRID = 64
"""Of width and height: the oldest of the frames before a clip are seen through patches of 8x8 latents."""


class WanSpeechToVideoPipeline(DiffusionPipeline, WanLoraLoaderMixin):
    """The parts are those of the repositories that were converted for diffusers' pull request 12258.

    `audio_encoder` is a Wav2Vec2ForCTC or a Wav2Vec2Model, and `audio_processor` its Wav2Vec2Processor. `law` says
    how clips follow one another.
    """

    model_cpu_offload_seq = "text_encoder->audio_encoder->transformer->vae"
    law: ClipLaw = CLIPS
    _callback_tensor_inputs = ["latents"]  # noqa: RUF012 (diffusers has lists here)
    _lora_loadable_modules = ["transformer"]  # noqa: RUF012

    _get_t5_prompt_embeds = WanPipeline._get_t5_prompt_embeds
    encode_prompt = WanPipeline.encode_prompt

    def __init__(
        self,
        tokenizer: Any,
        text_encoder: Any,
        vae: Any,
        scheduler: Any,
        transformer: WanS2VTransformer3DModel,
        audio_encoder: Any,
        audio_processor: Any,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, transformer=transformer, scheduler=scheduler,
            audio_encoder=audio_encoder, audio_processor=audio_processor,
        )  # fmt: skip
        self.vae_scale_factor_temporal: int = vae.config.scale_factor_temporal
        self.vae_scale_factor_spatial: int = vae.config.scale_factor_spatial
        self.video_processor = VideoProcessor(vae_scale_factor=self.vae_scale_factor_spatial)

    @property
    def guidance_scale(self) -> float:
        """Of the call that runs."""
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the call that runs asks the model twice a step."""
        return self._guidance_scale > 1

    @property
    def num_timesteps(self) -> int:
        """Of the call that runs."""
        return self._num_timesteps

    @property
    def current_timestep(self) -> Any:
        """Of the step that runs; None between calls."""
        return self._current_timestep

    @property
    def interrupt(self) -> bool:
        """A callback that sets `_interrupt` skips the steps that are left; what there is is decoded."""
        return self._interrupt

    def encode_audio(self, samples: NDArray[np.float32], frames: int | None = None) -> Tensor:
        """What the clips of a video hear, [clips, layers, channels, frames of a clip]: see `audio.embed`."""
        return audio.embed(samples, self.audio_encoder, self.audio_processor, self.law, frames)

    @classmethod
    def _maybe_expand_t2v_lora_for_i2v(cls, transformer: Any, state_dict: Any) -> Any:
        """A LoRA as it is: here a picture adds no weights, which the mixin would look for in the config."""
        return state_dict

    @torch.no_grad()
    def __call__(
        self,
        image: Image.Image,
        audio_embeds: Tensor,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        pose_video: Video | None = None,
        tail: Video | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 40,
        guidance_scale: float = 4.5,
        generator: torch.Generator | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "np",
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int = 512,
    ) -> Any:
        """Makes one clip; ValueError for what does not fit together.

        Args:
            image: The picture, of the clip's size, of which both sides are multiples of 64.
            audio_embeds: What this clip hears, [1, layers, channels, frames]: a multiple of 4 of them. These are the
                clip's frames too.
            prompt: What is seen; or `prompt_embeds` [1, tokens, channels] in its place.
            negative_prompt: What is not wanted, or `negative_prompt_embeds`; unused at a guidance scale of 1 or less.
            pose_video: A skeleton for each frame (`ClipLaw.driving` says which), and black after its end, which may
                have been before this clip. None leaves the poses to the model.
            tail: The last frames made before this clip: up to `law.motion` of them, gray standing before fewer. None
                makes a first clip, which lacks its first `law.dropped` frames.
            height: Of the clip in pixels, as the picture has it.
            width: Of the clip in pixels, as the picture has it.
            num_inference_steps: How often the model is asked; the scheduler's shift is its own.
            guidance_scale: How much the prompt and the sound count against the negative prompt and silence.
            generator: Of the noise, where that is not given as `latents` [1, 16, frames / 4, height / 8, width / 8].
            output_type: "np", "pt" or "pil", or "latent" for the clip's latents, with all its frames.
            attention_kwargs: {"scale": how much a LoRA counts}.
            callback_on_step_end: Called after each step with this pipeline, the step's index, its timestep and the
                tensors named in `callback_on_step_end_tensor_inputs`, and gives back those it has changed.

        Returns:
            A WanPipelineOutput of `frames`, [1, frames, height, width, 3] for "np" and [1, frames, 3, height, width]
            for "pt" in 0..1; a tuple of them where `return_dict` is off.
        """
        height, width = height or image.height, width or image.width
        self._check(image, height, width, audio_embeds, tail, pose_video, callback_on_step_end_tensor_inputs)
        if (prompt is None) == (prompt_embeds is None):
            raise ValueError("there must be a prompt or prompt_embeds, and not both")
        self._guidance_scale, self._attention_kwargs = guidance_scale, attention_kwargs
        self._interrupt, self._current_timestep = False, None
        device, frames = self._execution_device, audio_embeds.shape[-1]

        words: Any = self.encode_prompt(
            prompt=prompt,  # pyright: ignore[reportArgumentType] (diffusers' own signature lacks the None)
            negative_prompt=negative_prompt,
            do_classifier_free_guidance=self.do_classifier_free_guidance,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            max_sequence_length=max_sequence_length,
            device=device,
        )
        asked = [(words[0], audio_embeds)]
        if self.do_classifier_free_guidance:
            asked.append((words[1], torch.zeros_like(audio_embeds)))
        reference = self._encoded(self._pixels([image], height, width))
        motion = self._motion(tail, reference)
        pose = None if pose_video is None else self._pose(pose_video, frames, height, width)
        if latents is None:
            shape = (1, reference.shape[1], frames // self.vae_scale_factor_temporal, *reference.shape[-2:])
            latents = randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)

        latents = self._denoised(
            latents.to(device, torch.float32),
            num_inference_steps,
            asked,
            {"image_latents": reference, "motion_latents": motion, "pose_latents": pose},
            {"motion_frames": (self.law.motion, motion.shape[2]), "drop_motion_frames": tail is None},
            callback_on_step_end,
        )
        made: Any = latents
        if output_type != "latent":
            made = self._decoded(reference if tail is None else motion, latents, frames)
            made = made[:, :, self.law.dropped :] if tail is None else made
            made = self.video_processor.postprocess_video(made, output_type=output_type)
        self.maybe_free_model_hooks()
        return WanPipelineOutput(frames=made) if return_dict else (made,)

    def _check(
        self,
        image: Image.Image,
        height: int,
        width: int,
        audio_embeds: Tensor,
        tail: Video | None,
        pose_video: Video | None,
        tensors: Sequence[str],
    ) -> None:
        if image.size != (width, height):
            raise ValueError(f"the picture has {image.width}x{image.height}, the clip {width}x{height}")
        if height % GRID or width % GRID:
            raise ValueError(f"width and height must be multiples of {GRID}; got {width}x{height}")
        if audio_embeds.ndim != 4 or len(audio_embeds) != 1:
            raise ValueError(
                f"audio_embeds must be [1, layers, channels, frames]; got {[*audio_embeds.shape]}"
            )
        frames = audio_embeds.shape[-1]
        if not frames or frames % self.vae_scale_factor_temporal:
            raise ValueError(
                f"a clip must have a multiple of {self.vae_scale_factor_temporal} frames; got {frames}"
            )
        for name, video, least, most in (
            ("tail", tail, 1, self.law.motion),
            ("pose_video", pose_video, 0, frames),
        ):
            if video is not None and not least <= _length(video) <= most:
                raise ValueError(f"{name} must have {least} to {most} frames; got {_length(video)}")
        if unknown := set(tensors) - {*self._callback_tensor_inputs}:
            raise ValueError(f"a callback may ask for {self._callback_tensor_inputs}; got {sorted(unknown)}")

    def _pixels(self, video: Video, height: int, width: int) -> Tensor:
        """[1, 3, frames, height, width] in -1..1."""
        if isinstance(video, Tensor):
            made = video.transpose(1, 2).float() * 2 - 1
        else:
            if not isinstance(video, np.ndarray):
                video = np.stack([np.asarray(picture.convert("RGB")) for picture in video])
            made = torch.from_numpy(video).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        if made.shape[-2:] != (height, width):
            raise ValueError(f"frames of {made.shape[-1]}x{made.shape[-2]} for a clip of {width}x{height}")
        return made

    def _encoded(self, pixels: Tensor) -> Tensor:
        """Normed latents [1, 16, (frames + 3) / 4, height / 8, width / 8] in float32."""
        given = pixels.to(get_module_execution_device(self.vae), self.vae.dtype)
        latents = self.vae.encode(given).latent_dist.mode().to(self._execution_device, torch.float32)
        mean, std = self._norm(latents)
        return (latents - mean) / std

    def _decoded(self, opening: Tensor, latents: Tensor, frames: int) -> Tensor:
        """The clip's frames [1, 3, frames, height, width] in -1..1.

        The VAE must have seen what comes before: its convolutions look back farther than the 19 latent frames of a
        tail, so none of those may be spared, though they take as long as the clip itself.
        """
        mean, std = self._norm(latents)
        whole = torch.cat([opening, latents], dim=2) * std + mean
        given = whole.to(get_module_execution_device(self.vae), self.vae.dtype)
        return self.vae.decode(given, return_dict=False)[0][:, :, -frames:]

    def _norm(self, latents: Tensor) -> list[Tensor]:
        config = self.vae.config
        return [latents.new_tensor(v).view(1, -1, 1, 1, 1) for v in (config.latents_mean, config.latents_std)]

    def _motion(self, tail: Video | None, reference: Tensor) -> Tensor:
        """Latents of the `law.motion` frames before the clip: [1, 16, 19, height / 8, width / 8]."""
        if tail is None:  # the model drops them
            latent = (self.law.motion - 1) // self.vae_scale_factor_temporal + 1
            return torch.zeros_like(reference).repeat(1, 1, latent, 1, 1)
        height, width = (side * self.vae_scale_factor_spatial for side in reference.shape[-2:])
        pixels = self._pixels(tail, height, width)
        gray = pixels.new_zeros(1, 3, self.law.motion - pixels.shape[2], height, width)
        return self._encoded(torch.cat([gray, pixels], dim=2))

    def _pose(self, video: Video, frames: int, height: int, width: int) -> Tensor:
        """Latents [1, 16, frames / 4, height / 8, width / 8]; a frame in front, as the VAE takes the first alone."""
        whole = -torch.ones(1, 3, frames, height, width)
        if count := _length(video):
            whole[:, :, :count] = self._pixels(video, height, width)
        return self._encoded(torch.cat([whole[:, :, :1], whole], dim=2))[:, :, 1:]

    def _denoised(
        self,
        latents: Tensor,
        steps: int,
        asked: Sequence[tuple[Tensor, Tensor]],
        seen: dict[str, Tensor | None],
        more: dict[str, Any],
        callback: Callback | None,
    ) -> Tensor:
        """The latents without noise.

        The model is `asked` of words and sound, and of those that guidance leads away from, if it does; it has `seen`
        latents, and is told `more`.
        """
        dtype, device = self.transformer.dtype, latents.device
        asked = [(words.to(device, dtype), sound.to(device, dtype)) for words, sound in asked]
        seen = {name: value if value is None else value.to(device, dtype) for name, value in seen.items()}
        self.scheduler.set_timesteps(steps, device=device)
        self.scheduler.set_begin_index(0)
        self._num_timesteps = len(self.scheduler.timesteps)
        with self.progress_bar(total=steps) as bar:  # pyright: ignore[reportCallIssue] (its overload lacks this)
            for index, timestep in enumerate(self.scheduler.timesteps):
                if self.interrupt:
                    continue
                self._current_timestep = timestep
                told = [
                    self.transformer(
                        hidden_states=latents.to(dtype), timestep=timestep.expand(1), encoder_hidden_states=words,
                        audio_embeds=sound, attention_kwargs=self._attention_kwargs, return_dict=False,
                        **seen, **more,
                    )[0].float()  # guidance and scheduler have all bits, as in Wan2.2's loop
                    for words, sound in asked
                ]  # fmt: skip
                velocity = told[0]
                if len(told) == 2:
                    velocity = told[1] + self.guidance_scale * (told[0] - told[1])
                latents = self.scheduler.step(velocity, timestep, latents, return_dict=False)[0]
                if callback is not None:
                    latents = callback(self, index, timestep, {"latents": latents}).pop("latents", latents)
                bar.update()
        self._current_timestep = None
        return latents


def _length(video: Video) -> int:
    return video.shape[1] if isinstance(video, Tensor) else len(video)
