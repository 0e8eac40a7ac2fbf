"""The decoder of ours gives the frames that diffusers' gives, whatever is decoded at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan

import nano
from common.runtime.model import vae_decode
from common.runtime.model.vae_decode import Decoder


@pytest.fixture(scope="module", params=["dense", "ti2v"])
def case(request: pytest.FixtureRequest) -> Any:
    """A VAE, 2.1's and 2.2's, latents of five frames, and what diffusers makes of them."""
    vae = AutoencoderKLWan.from_pretrained(nano.find(request.param) / "vae").eval()
    channels = vae.config.z_dim
    latents = torch.randn(1, channels, 5, 6, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return vae, latents, vae.decode(latents).sample


def whole(decoder: Decoder, latents: torch.Tensor) -> torch.Tensor:
    return torch.cat([*decoder(latents)]).transpose(0, 1)[None]


@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_frames_are_those_of_diffusers(case: Any, chunk: int) -> None:
    vae, latents, wanted = case
    made = whole(Decoder(vae, torch.float32, chunk=chunk), latents)
    assert made.shape == wanted.shape and wanted.std() > 0.1
    assert torch.allclose(made, wanted, atol=1e-5)


def test_a_clip_leaves_nothing_to_the_next(case: Any) -> None:
    vae, latents, wanted = case
    decoder = Decoder(vae, torch.float32)
    begun = decoder(latents * 2)
    next(begun)
    next(begun)  # and is never ended
    assert torch.allclose(whole(decoder, latents), wanted, atol=1e-5)


def test_a_picture_is_one_frame(case: Any) -> None:
    vae, latents, wanted = case
    made = whole(Decoder(vae, torch.float32), latents[:, :, :1])
    assert made.shape[2] == 1 and torch.allclose(made, wanted[:, :, :1], atol=1e-5)


def test_in_16_bits_frames_look_the_same(case: Any) -> None:
    """In bf16, for not every CPU can do fp16; fp16 is eight times as exact."""
    vae, latents, wanted = case
    with torch.backends.mkldnn.flags(enabled=False):
        made = whole(Decoder(vae, torch.bfloat16), latents)
    assert made.dtype == torch.float32
    assert 10 * torch.log10(4 / (made - wanted).square().mean()) > 38


def test_what_is_compiled_is_one_graph_for_all_sizes(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vae, latents, wanted = case
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(inputs)
        return graph.forward

    torch._dynamo.reset()
    compile_ = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda f, **given: compile_(f, fullgraph=True, backend=backend, **given)
    )
    vae_decode._compiled.cache_clear()
    decoder = Decoder(vae, torch.float32, compiled=True)
    assert torch.allclose(whole(decoder, latents), wanted, atol=1e-5)
    count = len(graphs)
    assert 0 < count <= 16, "the channels, whether it is normed and whether it is one frame, but no size"
    whole(decoder, torch.randn(1, latents.shape[1], 3, 10, 14))
    assert len(graphs) == count
    vae_decode._compiled.cache_clear()
