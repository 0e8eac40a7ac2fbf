"""Upstream's model as the second engine: the same clips, a way out in one line where it is not at hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nano
from common.contract import Backend
from common.errors import GpuError, WeightsError
from common.runtime.model import index, load
from common.runtime.pipelines.s2v import upstream
from nano.judge.speeches import load_speaker
from tests.common.runtime.pipelines.s2v.upstream import why_not


def loaded() -> Any:
    """The transformer of Wan-Nano as the Studio loads it."""
    folder = nano.find("s2v")
    _, classes = index.read(folder)
    return load.part(folder / "transformer", classes["transformer"], Backend(device="cpu"))


def test_without_the_package_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name == "wan" or name.startswith("wan.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("WAN_UPSTREAM", str(tmp_path))
    monkeypatch.setenv("WAN_S2V_ENGINE", "upstream")
    upstream.model_class.cache_clear()
    with pytest.raises(WeightsError, match=r"not on this machine .*upstream\.py, or unset WAN_S2V_ENGINE$"):
        loaded()
    upstream.model_class.cache_clear()


def test_an_engine_that_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAN_S2V_ENGINE", "upsteam")
    with pytest.raises(WeightsError, match="must be own or upstream; got upsteam"):
        loaded()


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Any:
    if reason := why_not():
        pytest.skip(reason)
    monkeypatch.setenv("WAN_S2V_ENGINE", "upstream")
    made = loaded()
    assert isinstance(made, upstream.UpstreamS2VTransformer3DModel)
    return made


@pytest.mark.parametrize("later", [False, True])
def test_a_clip_is_that_of_our_model(theirs: Any, later: bool) -> None:
    pipe = load_speaker("cpu")
    draw = np.random.default_rng(1)
    sound = pipe.encode_audio(draw.standard_normal(16_000).astype(np.float32) * 0.1, pipe.law.frames)[:1]
    asked: dict[str, Any] = {
        "image": Image.fromarray(draw.integers(0, 256, (128, 128, 3), np.uint8)), "audio_embeds": sound,
        "prompt": "a red circle", "negative_prompt": "gray", "num_inference_steps": 3, "output_type": "latent",
        "tail": draw.integers(0, 256, (1, 128, 128, 3), np.uint8) if later else None,
    }  # fmt: skip
    own = pipe(**asked, generator=torch.Generator().manual_seed(1)).frames
    pipe.transformer = theirs
    other = pipe(**asked, generator=torch.Generator().manual_seed(1)).frames
    assert (own - other).norm() / own.norm() < 1e-3


def test_no_macs_gpu(theirs: Any) -> None:
    sent = torch.empty(1, 16, 2, 8, 8, device="meta")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(GpuError, match="float64"):
        patch.setattr(torch.Tensor, "device", property(lambda _: torch.device("mps")))
        theirs(sent, *[sent] * 5)
