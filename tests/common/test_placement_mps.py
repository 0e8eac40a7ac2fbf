"""What Macs of several sizes are given to do, and what they are refused with."""

from __future__ import annotations

from typing import Any

import pytest

from common import memory, placement
from common.catalog import CHECKPOINTS, MAX_PROMPT_TOKENS
from common.contract import Backend
from common.memory import Shape
from common.modes.all import MODES
from common.placement import MPS_ELEMENTS, attention_elements, place, possible, shortage, usable


def mac(gigabytes: float) -> Backend:
    """A Mac by what Apple recommends to use of its memory at most: 107 of 128, 27 of 36, 12 of 16."""
    return Backend(device="mps", name="Apple GPU", memory_bytes=int(gigabytes * 1e9))


def job(key: str, width: int = 1280, height: int = 720, frames: int = 81) -> placement.Job:
    mode = next(m for m in MODES.values() if key in m.checkpoints)
    return mode.job(Shape(width, height, frames))


HELD = {  # of 107 GB: GB at most, and whether the VAE needs tiles for it
    "wan2.1-t2v-14b": (72, True),
    "wan2.1-t2v-1.3b": (43, False),
    "wan2.1-i2v-14b-720p": (78, True),
}


@pytest.mark.parametrize("key", HELD)
def test_placement_on_a_mac_of_128_gb(key: str) -> None:
    checkpoint = CHECKPOINTS[key]
    size = max(checkpoint.resolutions, key=lambda r: r.width * r.height)
    placed = place(checkpoint, "wan", mac(107), job(key, size.width, size.height))
    assert placed is not None
    assert (round(placed.peak_bytes / 1e9), placed.tiling) == HELD[key]
    assert placed.precision == {
        "transformer": "bfloat16", "text_encoder": "bfloat16", "vae": "float32", "image_encoder": "float32",
        "vae_decode": "float32", "audio_encoder": "float32",
    }  # fmt: skip
    assert (placed.attention, placed.offload) == ("chunked", "none")


def test_placement_on_a_mac_refuses_with_the_most_frames_that_fit() -> None:
    moe = CHECKPOINTS["wan2.2-t2v-a14b"]
    asked = job("wan2.2-t2v-a14b")
    small = mac(107)
    assert place(moe, "wan", small, asked) is None
    size, frames = possible(moe, "wan", small, asked)[0]
    assert (size.width, size.height) == (1280, 720)
    assert f"1280x720 and {frames} frames" in shortage(moe, "wan", small, asked)
    assert 1 < frames < 81 and place(moe, "wan", small, job("wan2.2-t2v-a14b", frames=frames))
    assert place(moe, "wan", small, job("wan2.2-t2v-a14b", frames=frames + 4)) is None


def test_placement_on_a_mac_of_36_gb_has_the_small_models() -> None:
    keys = {key for mode in MODES.values() for key in mode.checkpoints}
    made = {key: possible(CHECKPOINTS[key], "wan", mac(27), job(key)) for key in keys}
    frames = {key: found[0][1] for key, found in made.items() if found}
    assert frames.keys() == {"wan2.1-t2v-1.3b", "fastwan2.1-t2v-1.3b", "wan2.1-vace-1.3b"}
    assert frames["wan2.1-t2v-1.3b"] == 81
    assert 1 < frames["wan2.1-vace-1.3b"] < 81, "control takes what more frames would"


def test_placement_on_a_mac_of_16_gb_has_nano_alone() -> None:
    for mode in MODES.values():
        for key in mode.checkpoints:
            assert not possible(CHECKPOINTS[key], "wan", mac(11.8), job(key))
            assert place(CHECKPOINTS[key], "nano", mac(11.8), job(key, 128, 128, 17))
    text = shortage(CHECKPOINTS["wan2.1-t2v-1.3b"], "wan", mac(11.8), job("wan2.1-t2v-1.3b", 832, 480))
    assert text == "Wan 2.1 T2V-1.3B needs 21.0 GB for 832x480 and 81 frames, Apple GPU has 9.2 GB for it"


PUBLISHED = {  # driver peaks in GB on an M5 Max, where attention is small (facts of others; not ours)
    "wan2.2-ti2v-5b": ((1280, 704, 13), 87),
    "wan2.2-t2v-a14b": ((832, 480, 9), 98),
}


@pytest.mark.parametrize("key", PUBLISHED)
def test_placement_on_a_mac_counts_what_was_seen_on_one(key: str) -> None:
    shape, seen = PUBLISHED[key]
    plain = placement.Job(Shape(*shape))
    placed = place(CHECKPOINTS[key], "wan", mac(1000), plain)
    assert placed is not None and not placed.tiling
    assert placed.peak_bytes / 1e9 == pytest.approx(seen, rel=0.03)


@pytest.mark.parametrize("key", ["wan2.1-t2v-14b", "wan2.1-t2v-1.3b", "wan2.2-ti2v-5b"])
def test_placement_counts_the_scores_of_a_macs_attention(key: str, monkeypatch: Any) -> None:
    checkpoint, shape = CHECKPOINTS[key], job(key, 832, 480)
    with_them = placement._stages(checkpoint, mac(107), shape, placement._Choice())["denoise"]
    monkeypatch.setattr(memory, "SCORES", 0)
    without = placement._stages(checkpoint, mac(107), shape, placement._Choice())["denoise"]
    assert with_them - without == 10 * 2**27


def test_placement_knows_the_largest_attention_of_a_job() -> None:
    dense, small = CHECKPOINTS["wan2.1-t2v-14b"], CHECKPOINTS["wan2.1-t2v-1.3b"]
    assert attention_elements(dense, Shape(832, 480, 81)) == 40 * 32_760**2 > MPS_ELEMENTS
    assert attention_elements(dense, Shape(128, 128, 1)) == 40 * 64 * MAX_PROMPT_TOKENS, "with the prompt"
    # A still of the 1.3B: the VAE's one head over 104 x 60 latents is less than 12 over a quarter of them.
    assert (
        attention_elements(small, Shape(832, 480, 1)) == max(12 * 1560**2, (104 * 60) ** 2) == (104 * 60) ** 2
    )


@pytest.mark.parametrize(("frames", "attention"), [(1, "sdpa"), (5, "chunked")])
def test_placement_says_from_when_on_attention_goes_in_pieces(frames: int, attention: str) -> None:
    placed = place(CHECKPOINTS["wan2.1-t2v-14b"], "wan", mac(107), job("wan2.1-t2v-14b", 832, 480, frames))
    assert placed is not None and placed.attention == attention
    card = Backend(device="cuda", memory_bytes=85_000_000_000)
    on_card = place(CHECKPOINTS["wan2.1-t2v-14b"], "wan", card, job("wan2.1-t2v-14b", 832, 480, frames))
    assert on_card is not None and on_card.attention == "sdpa"


def test_placement_on_a_mac_has_no_8_bits_and_moves_nothing() -> None:
    for key in ("wan2.2-t2v-a14b", "wan2.2-ti2v-5b", "wan2.1-vace-1.3b"):
        for choice in placement._choices(CHECKPOINTS[key], mac(107)):
            assert (choice.fp8, choice.offload, choice.decode) == (False, "none", "float32")


def test_placement_leaves_a_mac_some_of_its_memory() -> None:
    assert usable(mac(107)) == pytest.approx(99.65e9)


@pytest.mark.parametrize(
    "backend", [mac(10_000), Backend(device="cpu", name="a large CPU", memory_bytes=10**16)]
)
def test_placement_of_attention_that_is_compiled_for_cuda_is_none_elsewhere(backend: Backend) -> None:
    """As it is, it would make 3 x 10**11 scores at once."""
    key = "wan2.2-animate-2-14b"
    asked = job(key, 640, 800)
    assert place(CHECKPOINTS[key], "wan", backend, asked) is None
    assert possible(CHECKPOINTS[key], "wan", backend, asked) == []
    said = shortage(CHECKPOINTS[key], "wan", backend, asked)
    assert said.startswith("Wan 2.2 Animate-2-14B runs on CUDA alone") and backend.name in said
