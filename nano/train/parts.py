"""Builds each part of a checkpoint untrained, the same bytes for the same recipe."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nano.kinds import CLIP, TEXT_ENCODER, VAES, WAV2VEC2, Kind
from nano.words import pieces

RECIPE = 1
"""Raise when untrained parts change: it is part of every cache key."""


def seeded(name: str, build: Callable[[], Any]) -> Any:
    """Runs `build` under a seed made from the part's name, leaving the caller's random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(name.encode()) + RECIPE)
        return build()


def new_vae(name: str) -> Any:
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    return seeded(name, lambda: AutoencoderKLWan(**VAES[name]))


def transformer_class(name: str) -> Any:
    """A class of diffusers, or ours for what diffusers lacks."""
    import diffusers

    if name == "WanS2VTransformer3DModel":
        from common.runtime.pipelines.s2v.transformer import WanS2VTransformer3DModel

        return WanS2VTransformer3DModel
    return getattr(diffusers, name)


def new_transformer(kind: Kind, expert: str) -> Any:
    model_class = transformer_class(kind.transformer_class)

    def build() -> Any:
        model = model_class(**kind.transformer)
        # Without this nearly nothing of the prompt reaches the output of an untrained model.
        nn.init.normal_(model.condition_embedder.text_embedder.linear_2.weight, std=0.5)
        return model

    return seeded(f"{kind.name}/{expert}", build)


def new_text_encoder() -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(vocab_size=len(pieces()), **TEXT_ENCODER)
    return seeded("text_encoder", lambda: UMT5EncoderModel(config))


def new_clip() -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    return seeded("clip", lambda: CLIPVisionModel(CLIPVisionConfig(**CLIP)))


def new_audio_encoder() -> Any:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    return seeded("wav2vec2", lambda: Wav2Vec2Model(Wav2Vec2Config(**WAV2VEC2)))


def save_tokenizer(folder: Path) -> None:
    from tokenizers.normalizers import Lowercase
    from transformers import (
        PreTrainedTokenizerFast,
        T5TokenizerFast,  # pyright: ignore[reportAttributeAccessIssue]
    )

    backend = T5TokenizerFast(vocab=pieces(), extra_ids=0, additional_special_tokens=[]).backend_tokenizer
    backend.normalizer = Lowercase()  # which T5TokenizerFast would not read back
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="</s>", pad_token="<pad>", unk_token="<unk>", model_max_length=512
    )
    tokenizer.save_pretrained(folder)


def save_image_processor(folder: Path) -> None:
    from transformers import CLIPImageProcessor

    size = {"height": CLIP["image_size"], "width": CLIP["image_size"]}
    # The whole picture is squeezed to a square: a centre crop would hide what is at the sides.
    CLIPImageProcessor(size=size, do_center_crop=False, crop_size=size).save_pretrained(folder)


def save_audio_processor(folder: Path) -> None:
    from transformers import Wav2Vec2FeatureExtractor

    # Not normed, as the real ones are: else a whisper would be as loud as a shout.
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)


def save_half(model: Any, folder: Path) -> None:
    """Writes fp16 safetensors and the config."""
    model.half().save_pretrained(folder, safe_serialization=True)
