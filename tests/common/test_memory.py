"""What a stage takes, held against what a card held; and whole peaks against those that were counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common import memory
from common.catalog import CHECKPOINTS, VAE_PARAMETERS, Architecture
from common.memory import Shape

ROWS = json.loads((Path(__file__).parents[2] / "bench" / "results" / "peaks-h100.json").read_text())
VAES = {
    vae: Architecture(0, 0, 0, 0, spatial=spatial)
    for spatial, params in VAE_PARAMETERS.items()
    for vae in (row["vae"] for row in ROWS if row.get("params") == params)
}
WIDTHS = {"1.3b": (1536, 8960, 8), "5b": (3072, 14336, 16), "14b": (5120, 13824, 8)}


def name(row: dict[str, Any]) -> str:
    return "-".join(str(row[k]) for k in ("vae", "transformer", "op", "dtype", "tiled", "size") if k in row)


@pytest.mark.parametrize("row", [r for r in ROWS if "op" in r and r["size"][2] > 1], ids=name)
def test_memory_of_a_vae_is_what_was_measured(row: dict[str, Any]) -> None:
    vae, shape = VAES[row["vae"]], Shape(*row["size"])
    if row["op"] == "decode":
        said = memory.decode(vae, shape, row["dtype"], tiled=row["tiled"])
    else:
        said = memory.encode(vae, shape, tiled=row["tiled"]) * (1 if row["dtype"] == "float32" else 0.5)
    assert said / 1e9 == pytest.approx(row["extra"], rel=0.05)


@pytest.mark.parametrize("row", [r for r in ROWS if "transformer" in r], ids=name)
def test_memory_of_a_forward_is_what_was_measured(row: dict[str, Any]) -> None:
    dim, ffn, spatial = WIDTHS[row["transformer"].removeprefix("i2v-").removeprefix("vace-")]
    control = len(row["vace"] or ())
    architecture = Architecture(0, row["layers"], dim, ffn, spatial=spatial, control_layers=control)
    assert memory.denoise(architecture, Shape(*row["size"])) / 1e9 == pytest.approx(row["extra"], rel=0.05)


def test_memory_of_a_lora_is_that_of_its_file() -> None:
    dense = CHECKPOINTS["wan2.1-t2v-14b"].architecture
    assert memory.lora(dense, 128) / 1e9 == pytest.approx(1.23, rel=0.02)
    assert memory.lora(dense, 64) * 2 == memory.lora(dense, 128)


def test_memory_of_what_animate_holds_beside_a_forward() -> None:
    first, second = (CHECKPOINTS[f"wan2.2-animate-{n}14b"].architecture for n in ("", "2-"))
    # 21 latent frames of 40x50 tokens, two bytes for each of 5,120 numbers, keys and values of 40 layers.
    assert memory.cache(second, Shape(640, 800, 81)) == 21 * 40 * 50 * 2 * 5120 * 2 * 40
    assert memory.cache(first, Shape(640, 800, 81)) == 0
    # Float32: the driving video's three colours; or pose, scene and mask, and faces of 512x512 in bf16 as well.
    assert memory.given(second, Shape(640, 800, 81)) == 640 * 800 * 81 * 3 * 4
    assert memory.given(first, Shape(832, 480, 77)) == 832 * 480 * 77 * 7 * 4 + 512 * 512 * 77 * 3 * 6
    assert memory.given(CHECKPOINTS["wan2.1-vace-14b"].architecture, Shape(832, 480, 81)) == 0
