"""The kinds of Wan-Nano checkpoint: real channel layouts, scaled-down widths."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TEXT_DIM = 96
CLIP_DIM = 96
CLIP_TOKENS = 17  # (64 / 16)² patches and the class token
AUDIO_DIM = 48
AUDIO_LAYERS = 2


def _transformer(**changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "patch_size": [1, 2, 2],
        "num_attention_heads": 4,
        "attention_head_dim": 32,
        "in_channels": 16,
        "out_channels": 16,
        "text_dim": TEXT_DIM,
        "freq_dim": 128,
        "ffn_dim": 256,
        "num_layers": 4,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
    }
    return config | changes


_SEES_IMAGE = {"in_channels": 36}
_SEES_CLIP = _SEES_IMAGE | {"image_dim": CLIP_DIM, "added_kv_proj_dim": 128}
_SEES_CONTROL = {"vace_in_channels": 96, "vace_layers": [0, 2]}
_SEES_FACES = {
    # A picture is halved until it is 4×4: one entry a size on the way.
    "motion_encoder_size": 32,
    "motion_encoder_channel_sizes": {"4": 32, "8": 32, "16": 16, "32": 8},
    "motion_style_dim": 32,
    "motion_dim": 8,
    "motion_encoder_dim": 32,
    "face_encoder_hidden_dim": 32,
    "face_encoder_num_heads": 4,
    "inject_face_latents_blocks": 3,
}
_HEARS = {
    "audio_dim": AUDIO_DIM,
    "num_weighted_avg_layers": AUDIO_LAYERS + 1,  # and their input
    "audio_inject_layers": [0, 1, 2, 3],
}


@dataclass(frozen=True)
class Kind:
    """One checkpoint folder: which pipeline loads it and what its parts look like."""

    name: str
    pipeline: str
    transformer: dict[str, Any]
    flow_shift: float
    vae: str = "vae-2.1"
    experts: tuple[str, ...] = ("transformer",)
    clip: bool = False
    hears: bool = False
    lightning: bool = False
    transformer_class: str = "WanTransformer3DModel"
    every_expert_is: str = ""
    """The kind whose one trained transformer serves as each of this kind's experts."""
    index: dict[str, Any] = field(default_factory=dict)
    """Further keys of model_index.json, such as boundary_ratio."""


_MOE = ("transformer", "transformer_2")

_TABLE: tuple[Kind, ...] = (
    Kind("dense", "WanPipeline", _transformer(num_layers=5), flow_shift=5.0, lightning=True),
    Kind(
        "moe",
        "WanPipeline",
        _transformer(),
        flow_shift=12.0,
        experts=_MOE,
        lightning=True,
        index={"boundary_ratio": 0.875},
    ),
    Kind(
        "i2v-clip",
        "WanImageToVideoPipeline",
        _transformer(**_SEES_CLIP),
        flow_shift=5.0,
        clip=True,
        lightning=True,
    ),
    Kind(
        "i2v-moe",
        "WanImageToVideoPipeline",
        _transformer(**_SEES_IMAGE, num_attention_heads=3, ffn_dim=192, num_layers=3),
        flow_shift=5.0,
        experts=_MOE,
        lightning=True,
        index={"boundary_ratio": 0.9},
    ),
    Kind(
        "flf2v",
        "WanImageToVideoPipeline",
        _transformer(**_SEES_CLIP, pos_embed_seq_len=2 * CLIP_TOKENS),
        flow_shift=16.0,
        clip=True,
    ),
    Kind(
        "ti2v",
        "WanPipeline",
        # A token is 2×2×48 = 192 numbers of noise that must pass through, so the width has to exceed 192.
        _transformer(
            num_attention_heads=7,
            in_channels=48,
            out_channels=48,
            num_layers=3,
            ffn_dim=112,
        ),
        flow_shift=5.0,
        vae="vae-2.2",
        index={"expand_timesteps": True},
    ),
    Kind(
        "vace",
        "WanVACEPipeline",
        _transformer(**_SEES_CONTROL),
        flow_shift=16.0,
        transformer_class="WanVACETransformer3DModel",
    ),
    Kind(
        "vace-moe",
        "WanVACEPipeline",
        _transformer(**_SEES_CONTROL),
        flow_shift=16.0,
        experts=_MOE,
        transformer_class="WanVACETransformer3DModel",
        every_expert_is="vace",
        index={"boundary_ratio": 0.875},
    ),
    Kind(
        "animate",
        "WanAnimatePipeline",
        _transformer(**_SEES_CLIP, **_SEES_FACES, num_layers=6, latent_channels=16),
        flow_shift=5.0,
        clip=True,
        transformer_class="WanAnimateTransformer3DModel",
    ),
    Kind(
        "s2v",
        "WanSpeechToVideoPipeline",
        _transformer(**_HEARS),
        flow_shift=3.0,
        hears=True,
        transformer_class="WanS2VTransformer3DModel",
    ),
)

_BY_NAME = {kind.name: kind for kind in _TABLE}

KINDS: tuple[str, ...] = tuple(_BY_NAME)

VAES: dict[str, dict[str, Any]] = {
    "vae-2.1": {
        "base_dim": 16,
        "z_dim": 16,
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 1,
        "attn_scales": [],
        "temperal_downsample": [False, True, True],
        "dropout": 0.0,
        "latents_mean": [0.0] * 16,
        "latents_std": [1.0] * 16,
    },
    "vae-2.2": {
        "base_dim": 16,
        "decoder_base_dim": 24,
        "z_dim": 48,
        "dim_mult": [1, 2, 2, 2],
        "num_res_blocks": 1,
        "attn_scales": [],
        "temperal_downsample": [False, True, True],
        "dropout": 0.0,
        "is_residual": True,
        "in_channels": 12,
        "out_channels": 12,
        "patch_size": 2,
        "scale_factor_spatial": 16,
        "scale_factor_temporal": 4,
        "latents_mean": [0.0] * 48,
        "latents_std": [1.0] * 48,
    },
}

TEXT_ENCODER: dict[str, Any] = {
    "d_model": TEXT_DIM,
    "d_kv": 24,
    "d_ff": 192,
    "num_layers": 2,
    "num_heads": 4,
    "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.0,
}

CLIP: dict[str, Any] = {
    "hidden_size": CLIP_DIM,
    "intermediate_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 16,
    "projection_dim": CLIP_DIM,
}

WAV2VEC2: dict[str, Any] = {
    # Of the form of wav2vec2-large-xlsr, and like that one every 320 samples it listens to 400.
    "hidden_size": AUDIO_DIM,
    "num_hidden_layers": AUDIO_LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "conv_dim": [24, 24, 32, 32, 32, 48, 48],
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "hidden_dropout": 0.0,
    "activation_dropout": 0.0,
    "attention_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
}


def kind_named(name: str) -> Kind:
    """The kind of that name, or a KeyError that lists the names."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise KeyError(f"unknown Wan-Nano kind {name!r}; the kinds are {', '.join(KINDS)}") from None
