"""A tiny `WanAnimatePipeline` with random weights: real classes, small sizes."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanAnimatePipeline,
    WanAnimateTransformer3DModel,
)
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

import nano
from common.catalog import CHECKPOINTS


@cache
def pipeline() -> Any:
    """Segments of a few frames of 64x64; the VAE is Wan-Nano's. It reads no text: give embeddings."""
    torch.manual_seed(0)
    transformer = WanAnimateTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, text_dim=16, freq_dim=16, ffn_dim=32, num_layers=2,
        image_dim=16, added_kv_proj_dim=24, pos_embed_seq_len=None, motion_encoder_size=16, motion_style_dim=8,
        motion_dim=4, motion_encoder_dim=16, face_encoder_hidden_dim=16, face_encoder_num_heads=2,
        inject_face_latents_blocks=2, motion_encoder_channel_sizes={"4": 8, "8": 8, "16": 8},
    )  # fmt: skip
    clip = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32,
        patch_size=16, projection_dim=16,
    )  # fmt: skip
    pipe = WanAnimatePipeline(
        tokenizer=None, text_encoder=None, transformer=transformer.eval(),
        vae=AutoencoderKLWan.from_pretrained(nano.find("dense") / "vae", torch_dtype=torch.float32),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True,
            flow_shift=CHECKPOINTS["wan2.2-animate-14b"].presets["quality"].flow_shift,
        ),
        image_encoder=CLIPVisionModel(clip).eval(),
        image_processor=CLIPImageProcessor(size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}),
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe
