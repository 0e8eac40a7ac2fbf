"""Every T2V checkpoint makes a clip through its nano kind; bad input is refused before anything loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from common.catalog import LORAS
from common.errors import InputError
from common.media.lineage import read_lineage
from common.modes.t2v import MODE
from common.runtime.device.seat import seat_of

ROOT = Path(__file__).parents[2]


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


@pytest.mark.parametrize("checkpoint", MODE.checkpoints)
def test_every_checkpoint_generates(make, checkpoint):
    path, events = make("t2v", checkpoint=checkpoint)
    frames = decoded(path)
    assert [f.shape for f in frames] == [(128, 128, 3)] * 5
    done = events[-1]
    assert done.type == "done" and done.plan.checkpoint == checkpoint and done.seed == 3
    assert path.name.startswith("t2v-3-") and path.name.endswith(f"{done.sha256[:8]}.mp4")
    lineage = read_lineage(path)
    assert lineage == done.lineage and lineage.parents == []
    assert MODE.parse(lineage.request).prompt == "a red circle moving right"
    assert "path" not in str(lineage.request)


def test_lora_presets_differ_and_fast_without_lora_says_so(make):
    _, events = make("t2v", checkpoint="wan2.1-t2v-1.3b", preset="fast", num_frames=1)
    notices = [e.text for e in events if e.type == "notice"]
    assert any("using Quality preset" in n for n in notices)
    assert events[0].type == "notice", "the plan's notices come first"


def test_one_frame_is_a_still_that_decodes(make):
    path, _ = make("t2v", num_frames=1)
    assert len(decoded(path)) == 1


def test_a_random_seed_is_told_and_repeatable(make):
    _, events = make("t2v", seed=-1, num_frames=1)
    seed = events[-1].seed
    assert seed >= 0 and events[-1].lineage.seed == seed


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"prompt": "  "}, "prompt must not be empty"),
        ({"num_frames": 16}, "num_frames must be 4k+1; got 16, try 13 or 17"),
        ({"width": 832, "height": 480}, "must be a Wan-Nano size"),
        ({"checkpoint": "wan9"}, "checkpoint must be one that t2v runs"),
        ({"preset": "turbo"}, "preset must be fast or quality"),
        ({"num_inference_steps": 0}, "num_inference_steps must be between"),
        ({"seed": -2}, "seed must be between"),
        ({"checkpoint": "wan2.1-t2v-14b", "guidance_scale_2": 3}, "guidance_scale_2 belongs to"),
        ({"last_image": None}, "last_image is not an input of t2v"),
    ],
)
def test_bad_input_is_refused_before_anything_loads(make, tmp_path, values, text):
    seat_of("cpu").residency.unload()
    with pytest.raises(InputError) as caught:
        make("t2v", **values)
    assert text in caught.value.text
    assert seat_of("cpu").residency.key is None
    assert not list(tmp_path.rglob("*.mp4"))


def test_ti2v_sizes_are_multiples_of_32():
    values = {"prompt": "p", "checkpoint": "wan2.2-ti2v-5b", "width": 1280, "height": 720}
    with pytest.raises(InputError, match="multiple of 32"):
        MODE.plan(MODE.parse(values), weights="wan")


def test_import_spaces_is_the_package_even_in_the_app():
    code = (
        "import runpy; m = runpy.run_path('spaces/t2v/app.py', run_name='app'); import spaces; "
        "print(spaces.__file__, callable(spaces.GPU), m['demo'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert "site-packages" in done.stdout and "True" in done.stdout


def test_lora_keys_of_every_preset_are_in_the_catalog():
    assert all(k in LORAS for row in MODE.rows() for p in row.presets.values() for k in p.loras)
