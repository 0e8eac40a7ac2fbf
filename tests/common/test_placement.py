"""What lies in memory in which format, and whether a machine holds it."""

import pytest

from common.catalog import CHECKPOINTS
from common.contract import Backend
from common.placement import ZEROGPU_BYTES, fits, precision, shortage, weight_bytes

MOE = CHECKPOINTS["wan2.2-t2v-a14b"]


@pytest.mark.parametrize("part", ["vae", "image_encoder"])
def test_placement_keeps_vae_and_clip_in_full_precision(part: str) -> None:
    assert precision(part, "cuda") == precision(part, "mps") == "float32"


@pytest.mark.parametrize("part", ["transformer", "transformer_2", "text_encoder"])
def test_placement_halves_what_is_large_on_a_gpu_alone(part: str) -> None:
    assert [precision(part, device) for device in ("cuda", "mps", "cpu")] == [
        "bfloat16",
        "bfloat16",
        "float32",
    ]


def test_placement_counts_both_experts_in_the_precision_of_the_machine() -> None:
    on_gpu, on_cpu = (weight_bytes(MOE, "wan", device) for device in ("cuda", "cpu"))
    assert 65e9 < on_gpu < 75e9
    assert 1.9 * on_gpu < on_cpu < 2 * on_gpu  # the VAE is in fp32 on both


def test_placement_says_what_does_not_fit_in_words() -> None:
    card = Backend(device="cuda", name="A card", memory_bytes=ZEROGPU_BYTES["large"])
    assert not fits(MOE, "wan", card)
    assert fits(MOE, "nano", card)
    assert fits(MOE, "wan", card.model_copy(update={"memory_bytes": 0}))  # not known
    assert shortage(MOE, "wan", card) == "Wan 2.2 T2V-A14B (MoE) needs 69 GB, A card has 48 GB"
