"""`--weights wan` end to end: the real huggingface_hub downloads from a Hub on loopback, then it loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nano
from common.catalog import CHECKPOINTS

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode gives tests no package
from model_hub import ModelHub

from tests.common.runtime.model.tiny_rows import change, copied

ROOT = Path(__file__).parents[4]
SCRIPT = """
import sys, torch; torch.set_num_threads(1)
from common.catalog import CHECKPOINTS, LORAS
from common.contract import Backend
from common.errors import WeightsError
from common.runtime.device.seat import seat_of
from common.runtime.model import load, weights
import pytest
from tests.common.runtime.model.tiny_rows import shrink
shrink(pytest.MonkeyPatch())
say = lambda text: print("SAID", text)
pipes = []
for key, kind in (("wan2.1-t2v-1.3b", "WanPipeline"), ("wan2.1-i2v-14b-480p", "WanImageToVideoPipeline")):
    folder = weights.resolve(CHECKPOINTS[key], "wan", say)
    pipes.append(load.build(kind, folder, Backend(), seat_of("cpu").residency, weights="wan"))
weights.resolve(CHECKPOINTS["wan2.1-t2v-1.3b"], "wan", None)
try:
    weights.resolve(CHECKPOINTS["wan2.1-t2v-14b"], "wan", say)
except WeightsError as error:
    print("CHANGED", error)
print("SHARED", pipes[0].text_encoder is pipes[1].text_encoder, pipes[0].vae is pipes[1].vae)
print("OWN", pipes[0].scheduler is not pipes[1].scheduler)
for lora in ("lightning-2.1-t2v", "lightning-2.2-t2v"):
    try:
        weights.resolve_lora(LORAS[lora], CHECKPOINTS["wan2.1-t2v-14b"], "wan", say)
    except WeightsError as error:
        print("LORA", error)
try:
    weights.resolve(CHECKPOINTS["wan2.2-t2v-a14b"], "wan", say)
except WeightsError as error:
    print("GONE", error)
"""


def test_wan_weights_are_announced_downloaded_once_and_shared_by_content(tmp_path):
    dense, clip = CHECKPOINTS["wan2.1-t2v-1.3b"].repo, CHECKPOINTS["wan2.1-i2v-14b-480p"].repo
    loras = tmp_path / "loras"
    loras.mkdir()
    changed = CHECKPOINTS["wan2.1-t2v-14b"].repo
    other = copied("dense", tmp_path / "changed")
    change(other / "transformer" / "config.json", num_layers=9)
    repos = {
        dense: nano.find("dense"),
        clip: nano.find("i2v-clip"),
        "Kijai/WanVideo_comfy": loras,
        changed: other,
    }
    with ModelHub(repos) as hub:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
            cwd=ROOT, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.split(" ")[0].isupper()]
    assert done.returncode == 0, done.stderr[-3000:]
    said = [line for line in lines if line.startswith("SAID")]
    assert dense in said[0] and clip in said[1] and "GB" in said[0]
    assert sum(dense in line for line in said) == 1, "a second resolve downloads nothing"
    refused = next(line for line in lines if line.startswith("CHANGED"))
    assert (
        f"{changed} is not the Wan 2.1 T2V-14B that Wan Studio knows" in refused and "num_layers 9" in refused
    )
    fetched = [path for path in hub.asked if changed in path and "resolve" in path]
    assert fetched and not [path for path in fetched if not path.endswith(".json")], "the JSONs alone"
    # One UMT5 and one VAE serve both repositories.
    assert "SHARED True True" in lines and "OWN True" in lines
    assert next(line for line in lines if line.startswith("LORA")).endswith("it may have been renamed")
    assert "does not exist" in lines[-1] and lines[-1].startswith("GONE")
