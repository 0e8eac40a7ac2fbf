"""A tiny Wan2.2-S2V: Wan-Nano's VAE and text encoder, a transformer and a wav2vec2 with random weights."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler
from transformers import (
    AutoTokenizer,
    UMT5EncoderModel,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    Wav2Vec2Processor,
)

from common.runtime.model import cpu_vae
from common.runtime.pipelines.s2v.transformer import WanS2VTransformer3DModel
from nano.kinds import TEXT_DIM
from nano.sums import WEIGHTS

AUDIO_DIM = 8


def ears(stable: bool = True) -> tuple[Wav2Vec2Model, Wav2Vec2Processor]:
    """The real one's 24 layers, each of them narrow; `stable` as the real one is."""
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=AUDIO_DIM, num_hidden_layers=24, num_attention_heads=2, intermediate_size=16, vocab_size=5,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer" if stable else "group", do_stable_layer_norm=stable, conv_bias=stable,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "vocab.json"
        words.write_text(json.dumps({"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4}))
        tokenizer = Wav2Vec2CTCTokenizer(str(words))
    listener = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    return Wav2Vec2Model(config).eval(), Wav2Vec2Processor(listener, tokenizer)


@cache
def vae() -> AutoencoderKLWan:
    """Wan-Nano's, which gives its own clips back."""
    made = AutoencoderKLWan.from_pretrained(WEIGHTS / "vae-2.1", torch_dtype=torch.float32).eval()
    cpu_vae.speed_up(made)
    return made


def parts() -> dict[str, Any]:
    """What WanSpeechToVideoPipeline is made of."""
    encoder, processor = ears()
    torch.manual_seed(1)
    transformer = WanS2VTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, text_dim=TEXT_DIM, freq_dim=16, audio_dim=AUDIO_DIM,
        audio_inject_layers=[0, 1], pose_dim=16, ffn_dim=32, num_layers=2,
    )  # fmt: skip
    return {
        "tokenizer": AutoTokenizer.from_pretrained(WEIGHTS / "tokenizer"),
        "text_encoder": UMT5EncoderModel.from_pretrained(
            WEIGHTS / "text_encoder", dtype=torch.float32
        ).eval(),
        "vae": vae(),
        "scheduler": UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        "transformer": transformer.eval(),
        "audio_encoder": encoder,
        "audio_processor": processor,
    }
