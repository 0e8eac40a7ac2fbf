"""Pictures leave the device as the pipeline would have made them, and what is no number is decoded again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from diffusers.video_processor import VideoProcessor

import nano
from common.contract import Placement
from common.errors import ResultError
from common.runtime.sample import decode

PLACED = Placement(precision={"vae_decode": "float32"}, peak_bytes=0, weight_bytes=0)
HALF = PLACED.model_copy(update={"precision": {"vae_decode": "float16"}})


@pytest.fixture(scope="module")
def vae() -> Any:
    return AutoencoderKLWan.from_pretrained(nano.find("dense") / "vae").eval()


@pytest.fixture(scope="module")
def latents(vae: Any) -> torch.Tensor:
    shape = (1, vae.config.z_dim, 4, 6, 8)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def wanted(vae: Any, latents: torch.Tensor) -> np.ndarray:
    """Bytes of what diffusers' pipelines make of the VAE's frames."""
    with torch.no_grad():
        made = vae.decode(latents).sample
    shown = VideoProcessor().postprocess_video(made, output_type="pt")[0]
    return (shown * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def near(made: Any, wanted: np.ndarray) -> bool:
    made = np.concatenate([*made])
    return made.shape == wanted.shape and int(np.abs(made.astype(int) - wanted).max()) <= 1


def test_pictures_are_those_of_the_pipeline(vae: Any, latents: torch.Tensor, wanted: np.ndarray) -> None:
    pieces = [*decode.pictures(vae, PLACED, latents)]
    assert [len(piece) for piece in pieces] == [1, 4, 4, 4]
    assert all(piece.dtype == np.uint8 and piece.flags["C_CONTIGUOUS"] for piece in pieces)
    assert near(pieces, wanted)


def test_in_tiles_they_come_in_one_piece(vae: Any, latents: torch.Tensor, wanted: np.ndarray) -> None:
    tiled = PLACED.model_copy(update={"tiling": True})
    (piece,) = decode.pictures(vae, tiled, latents)  # smaller than one tile
    assert near([piece], wanted)
    assert len(next(decode.pictures(vae, PLACED, latents))) == 1, "the next does not"


def test_a_piece_is_asked_for_while_the_one_before_is_written(
    vae: Any, latents: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counted(*_: Any) -> Iterator[torch.Tensor]:
        for number in range(4):
            asked.append(number)
            yield torch.zeros(1, 3, 2, 2)

    monkeypatch.setattr(decode, "decoded", counted)
    seen = [len(asked) for _ in decode.pictures(vae, PLACED, latents)]
    assert seen == [2, 3, 4, 4]


@pytest.mark.parametrize("again", ["in the same pieces", "all at once"])
@pytest.mark.parametrize("bad", [0, 2])
def test_what_16_bits_cannot_hold_is_decoded_again_from_there(
    vae: Any, latents: torch.Tensor, wanted: np.ndarray, monkeypatch: pytest.MonkeyPatch, bad: int, again: str
) -> None:
    """Full precision may come in other pieces: on a card it is diffusers' decoder, which makes all at once."""

    decoded, ways = decode.decoded, list[str]()

    def overflowing(vae: Any, placement: Placement, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        ways.append(placement.precision["vae_decode"])
        if ways[-1] == "float32" and again == "all at once":
            yield torch.cat([*decoded(vae, PLACED, latents)])
            return
        for number, piece in enumerate(decoded(vae, PLACED, latents)):
            broken = ways[-1] == "float16" and number == bad
            yield piece * float("inf") if broken else piece

    monkeypatch.setattr(decode, "decoded", overflowing)
    pieces = [*decode.pictures(vae, HALF, latents)]
    assert ways == ["float16", "float32"] and near(pieces, wanted)


def test_what_is_no_number_in_full_precision_either_is_an_error(vae: Any, latents: torch.Tensor) -> None:
    broken = latents.clone()
    broken[:, :, 2] = float("nan")
    for placed in (PLACED, HALF.model_copy(update={"precision": {"vae_decode": "bfloat16"}})):
        with torch.backends.mkldnn.flags(enabled=False), pytest.raises(ResultError, match="invalid numbers"):
            [*decode.pictures(vae, placed, broken)]
