"""Wan-S2V's transformer as a model of diffusers, which has none (0.42.1): talking and singing after a sound.

The architecture is upstream's `WanModel_S2V`; names, config and call are those of diffusers' pull request 12258, in
whose form it is published too. Blocks, attention, norms and embedders are diffusers' own for Wan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders.peft import PeftAdapterMixin
from diffusers.models.attention import AttentionMixin
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.normalization import FP32LayerNorm
from diffusers.models.transformers.transformer_wan import WanTimeTextImageEmbedding
from diffusers.utils.peft_utils import apply_lora_scale
from torch import Tensor, nn

from common.runtime.pipelines.s2v import checkpoint
from common.runtime.pipelines.s2v.audio_encoder import CausalAudioEncoder
from common.runtime.pipelines.s2v.audio_injection import AudioInjector
from common.runtime.pipelines.s2v.block import WanS2VTransformerBlock
from common.runtime.pipelines.s2v.motion import DropMode, FramePackMotioner
from common.runtime.pipelines.s2v.rope import Grid, places, rotary_embedding

_REFERENCE_FRAME = 30
"""Where the picture stands in time: behind every clip."""


class WanS2VTransformer3DModel(ModelMixin, ConfigMixin, PeftAdapterMixin, AttentionMixin):
    """Denoises a clip by its sound, a picture of who is seen, what came before, and maybe poses.

    No `CacheMixin`: diffusers' caches leave out blocks, and what is injected between them would still be added.
    """

    config: Any

    _skip_layerwise_casting_patterns = ("patch_embedding", "condition_embedder", "norm")
    _no_split_modules = ["WanS2VTransformerBlock"]  # noqa: RUF012 (as diffusers has it)
    # The head in float32 too, as upstream has it: it is small, and bf16 rounds what comes out of it.
    _keep_in_fp32_modules = [  # noqa: RUF012
        "time_embedder", "scale_shift_table", "norm1", "norm2", "norm3", "causal_audio_encoder", "proj_out"
    ]  # fmt: skip
    _keys_to_ignore_on_load_unexpected = ["norm_added_q"]  # noqa: RUF012
    _repeated_blocks = ["WanS2VTransformerBlock"]  # noqa: RUF012
    # Its twelve attentions and norms would all stay on the GPU, as a child that is no list.
    _group_offload_block_modules = ["audio_injector"]  # noqa: RUF012

    @register_to_config
    def __init__(
        self,
        patch_size: Sequence[int] = (1, 2, 2),
        num_attention_heads: int = 40,
        attention_head_dim: int = 128,
        in_channels: int = 16,
        out_channels: int = 16,
        text_dim: int = 4096,
        freq_dim: int = 256,
        audio_dim: int = 1024,
        audio_inject_layers: Sequence[int] = (0, 4, 8, 12, 16, 20, 24, 27, 30, 33, 36, 39),
        enable_adain: bool = True,
        adain_mode: str = "attn_norm",
        pose_dim: int = 16,
        ffn_dim: int = 13824,
        num_layers: int = 40,
        num_weighted_avg_layers: int = 25,
        cross_attn_norm: bool = True,
        qk_norm: str | None = "rms_norm_across_heads",
        eps: float = 1e-6,
        added_kv_proj_dim: int | None = None,
        rope_max_seq_len: int = 1024,
        enable_framepack: bool = True,
        framepack_drop_mode: DropMode = "padd",
        add_last_motion: bool = True,
        zero_timestep: bool = True,
    ) -> None:
        """The defaults are those of Wan2.2-S2V-14B. `num_weighted_avg_layers` are wav2vec2's, its input among them.

        Some say nothing here, and stand in the configs: `qk_norm` and `rope_max_seq_len`.
        """
        super().__init__()
        if adain_mode != "attn_norm":
            raise ValueError(f"adain_mode {adain_mode!r}, expected 'attn_norm'")
        dim = num_attention_heads * attention_head_dim
        size = (patch_size[0], patch_size[1], patch_size[2])
        self.patch_embedding = nn.Conv3d(in_channels, dim, kernel_size=size, stride=size)
        self.frame_packer = (
            FramePackMotioner(in_channels, dim, framepack_drop_mode) if enable_framepack else None
        )
        self.trainable_condition_mask = nn.Embedding(3, dim)
        self.condition_embedder = WanTimeTextAudioPoseEmbedding(
            dim=dim,
            time_freq_dim=freq_dim,
            time_proj_dim=dim * 6,
            text_embed_dim=text_dim,
            audio_encoder=CausalAudioEncoder(audio_dim, dim, num_weighted_avg_layers, pooled=enable_adain),
            pose_embedder=nn.Conv3d(pose_dim, dim, kernel_size=size, stride=size),
        )
        self.blocks = nn.ModuleList(
            WanS2VTransformerBlock(
                dim, ffn_dim, num_attention_heads, cross_attn_norm=cross_attn_norm, eps=eps,
                added_kv_proj_dim=added_kv_proj_dim,
            )
            for _ in range(num_layers)
        )  # fmt: skip
        self.audio_injector = AudioInjector(dim, num_attention_heads, audio_inject_layers, enable_adain, eps)
        self.norm_out = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.proj_out = nn.Linear(dim, out_channels * math.prod(size))
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """diffusers' own; and of a folder that has upstream's names of weights, those are read by what they mean."""
        folder = checkpoint.foreign(pretrained_model_name_or_path, kwargs.get("subfolder"))
        if folder is None:
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        return checkpoint.load(cls, folder, kwargs.get("torch_dtype") or torch.float32)

    @apply_lora_scale("attention_kwargs")
    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        motion_latents: Tensor,
        audio_embeds: Tensor,
        image_latents: Tensor,
        pose_latents: Tensor | None = None,
        motion_frames: Sequence[int] = (17, 5),
        drop_motion_frames: bool = False,
        add_last_motion: int = 2,
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """What the model predicts of a clip, [batch, channels, f, height, width] in float32 where the head is.

        Args:
            hidden_states: the noisy clip [batch, channels, f, height, width]; height and width are even.
            timestep: [batch], of 0 to 1000.
            encoder_hidden_states: [batch, words, text_dim], behind a prompt's words zeros.
            motion_latents: what came before [batch, channels, frames, height, width]; at least 8 high and wide.
            audio_embeds: [batch, wav2vec2's layers, audio_dim, 4 * f], one for each frame of the video.
            image_latents: the picture [batch, channels, 1, height, width].
            pose_latents: [batch, pose_dim, f, height, width]; None is as good as zeros.
            motion_frames: how many frames `motion_latents` are of, and how many latent ones.
            drop_motion_frames: there is nothing before: the first clip.
            add_last_motion: see `FramePackMotioner`; only where the config has it.
            attention_kwargs: `scale` is that of LoRAs.

        Raises ValueError where the sound is not as long as the clip.
        """
        batch, _, frames, height, width = hidden_states.shape
        device = hidden_states.device
        before, latent_before = motion_frames
        sound = torch.cat([audio_embeds[..., :1].expand(-1, -1, -1, before), audio_embeds], dim=-1)
        clean = timestep.new_zeros(1)
        if pose_latents is None:
            pose_latents = hidden_states.new_zeros(batch, self.config.pose_dim, frames, height, width)
        temb, modulation, text, pooled, audio, pose = self.condition_embedder(
            torch.cat([timestep, clean]), encoder_hidden_states, sound, pose_latents
        )
        audio = audio[:, latent_before:].to(hidden_states.dtype)
        pooled = None if pooled is None else pooled[:, latent_before:].to(hidden_states.dtype)

        clip = self.patch_embedding(hidden_states) + pose
        if audio.shape[1] != clip.shape[2]:
            raise ValueError(
                f"sound of {audio_embeds.shape[-1]} frames behind {before} gives {audio.shape[1]} latent ones for a "
                f"clip of {clip.shape[2]}; it must have {4 * clip.shape[2]}"
            )
        picture = self.patch_embedding(image_latents)
        motion, motion_grids = self._motion(motion_latents, drop_motion_frames, add_last_motion)
        kinds = self.trainable_condition_mask(torch.arange(3, device=device))
        tokens = torch.cat([_tokens(clip) + kinds[0], _tokens(picture) + kinds[1], motion + kinds[2]], dim=1)
        grids = [_grid(clip, 0), _grid(picture, _REFERENCE_FRAME), *motion_grids]
        rotary = rotary_embedding(grids, self.config.attention_head_dim, device)

        # The picture and what came before are clean, so their timestep is 0.
        levels = modulation.unflatten(1, (6, -1))
        other = levels[-1:].expand(batch, -1, -1) if self.config.zero_timestep else levels[:batch]
        levels = torch.stack([levels[:batch], other], dim=1)
        noisy = math.prod(clip.shape[2:])
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, text, levels, rotary, noisy)
            if i in self.audio_injector.place:
                # Not in place: a gradient may want them as they were.
                heard = tokens[:, :noisy] + self.audio_injector(tokens[:, :noisy], i, audio, pooled)
                tokens = torch.cat([heard, tokens[:, noisy:]], dim=1)

        shift, scale = (self.scale_shift_table + temb[:batch, None]).chunk(2, dim=1)
        made = self.norm_out(tokens[:, :noisy].float()) * (1 + scale) + shift
        made = self.proj_out(made.to(self.proj_out.weight.dtype))
        sample = _unpatched(made, clip.shape[2:], self.config.patch_size)
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

    def _motion(self, latents: Tensor, drop: bool, add_last_motion: int) -> tuple[Tensor, list[Grid]]:
        """Tokens [batch, tokens, dim] of what came before, and where they stand; none for the first clip."""
        if drop or latents.shape[2] == 0:
            dim = self.config.num_attention_heads * self.config.attention_head_dim
            return latents.new_zeros(latents.shape[0], 0, dim), []
        if self.frame_packer is not None:
            return self.frame_packer(latents, int(self.config.add_last_motion) * add_last_motion)
        made = self.patch_embedding(latents)
        return _tokens(made), [_grid(made, -latents.shape[2])]


class WanTimeTextAudioPoseEmbedding(WanTimeTextImageEmbedding):
    """Wan's embedder of timesteps and words, and beside it those of sound and poses."""

    def __init__(self, *, audio_encoder: CausalAudioEncoder, pose_embedder: nn.Conv3d, **sizes: int) -> None:
        super().__init__(**sizes)
        self.causal_audio_encoder = audio_encoder
        self.pose_embedder = pose_embedder

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, timestep: Tensor, encoder_hidden_states: Tensor, audio_embeds: Tensor, pose_latents: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor, Tensor]:
        """Timesteps and their six vectors, words, the sound's pooled and local tokens, poses."""
        temb, modulation, text, _ = super().forward(timestep, encoder_hidden_states)
        pooled, audio = self.causal_audio_encoder(audio_embeds)
        return temb, modulation, text, pooled, audio, self.pose_embedder(pose_latents)


def _tokens(patches: Tensor) -> Tensor:
    """[batch, dim, frames, rows, columns] as [batch, tokens, dim]."""
    return patches.flatten(2).transpose(1, 2)


def _grid(patches: Tensor, first: int) -> Grid:
    frames, rows, columns = patches.shape[2:]
    return Grid(places(first, frames, frames), places(0, rows, rows), places(0, columns, columns))


def _unpatched(tokens: Tensor, grid: Sequence[int], patch: Sequence[int]) -> Tensor:
    """[batch, tokens, pixels of a patch * channels] as [batch, channels, frames, height, width]."""
    made = tokens.unflatten(2, (*patch, -1)).unflatten(1, tuple(grid)).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return made.flatten(6, 7).flatten(4, 5).flatten(2, 3)
