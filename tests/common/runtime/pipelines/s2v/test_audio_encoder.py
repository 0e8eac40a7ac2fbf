"""What is heard, as tokens a latent frame."""

from __future__ import annotations

import torch
from torch import Tensor

from common.runtime.pipelines.s2v.audio_encoder import CausalAudioEncoder

LAYERS, DIM, INNER = 5, 6, 16


def encoder(*, pooled: bool = True) -> CausalAudioEncoder:
    torch.manual_seed(0)
    return CausalAudioEncoder(DIM, INNER, LAYERS, pooled).requires_grad_(False)


def sound(frames: int) -> Tensor:
    return torch.randn(2, LAYERS, DIM, frames, generator=torch.Generator().manual_seed(1))


def test_four_frames_of_the_video_are_one_of_five_tokens_and_a_pooled_one() -> None:
    pooled, audio = encoder()(sound(73 + 80))
    assert pooled is not None
    assert pooled.shape == (2, 39, INNER) and audio.shape == (2, 39, 5, INNER)
    alone, without = encoder(pooled=False)(sound(8))
    assert alone is None and without.shape == (2, 2, 5, INNER)


def test_nothing_is_known_of_what_comes_later() -> None:
    heard = sound(24)
    later = heard.clone()
    later[..., 13:] += 1
    for before, after in zip(encoder()(heard), encoder()(later), strict=True):
        assert before is not None and after is not None
        same = (before == after).flatten(2).all(-1).all(0)
        assert same.tolist() == [True] * 4 + [False] * 2  # the fourth ends with column 12


def test_before_the_beginning_was_what_is_there_first() -> None:
    pooled, audio = encoder()(sound(1).expand(-1, -1, -1, 16))
    assert pooled is not None
    for tokens in (pooled, audio):
        assert torch.allclose(tokens, tokens[:, :1].expand_as(tokens), atol=1e-5)


def test_layers_count_by_their_weights() -> None:
    made = encoder()
    made.weighted_avg.weights[0, 1:] = -30.0  # whose SiLU is nothing
    other = sound(8)
    other[:, 1:] = 0
    for one, two in zip(made(sound(8)), made(other), strict=True):
        assert one is not None and two is not None and torch.allclose(one, two, atol=1e-5)
