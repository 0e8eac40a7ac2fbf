"""What stays in memory between jobs: one checkpoint, one of each shared part, and nothing of those before."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from common.catalog import CHECKPOINTS
from common.contract import Backend, Plan
from common.modes.i2v import HYBRID
from common.modes.i2v import MODE as I2V
from common.modes.t2v import MODE as T2V
from common.modes.v2v import MODE as V2V
from common.modes.vace import MODE as VACE
from common.placement import ZEROGPU_BYTES
from common.run.service import Ready
from common.runtime.engine import Engine
from common.runtime.job import Job
from common.runtime.model import load, lora
from common.runtime.reader import Reader
from common.settings import SpaceSettings
from nano import sums
from tests.common.runtime.model.tiny_rows import change, copied, shrink

PIPELINES = {
    "t2v": (T2V, "WanPipeline"),
    "i2v": (I2V, "WanImageToVideoPipeline"),
    "v2v": (V2V, "WanVideoToVideoPipeline"),
    "vace": (VACE, "WanVACEPipeline"),
}


def engine(mode: str, settings: SpaceSettings | None = None) -> Engine[Any]:
    """A mode's engine whose inputs are made, not read."""
    row, name = PIPELINES[mode]

    class Made(Engine[Any]):
        pipeline = name

        def inputs(self, request: Any, plan: Plan, reader: Reader) -> dict[str, Any]:
            image = Image.new("RGB", (plan.width, plan.height), "red")
            match mode:
                case "i2v":
                    return {"image": image}
                case "v2v":
                    return {"video": [image] * plan.num_frames, "strength": 0.8}
                case _:
                    return {}

    Made.mode = row
    service = Made(settings or SpaceSettings())
    service.backend = Backend()  # of unknown memory: rows of the real size fit too
    return service


def planned(service: Engine[Any], checkpoint: str, **values: Any) -> tuple[Any, Plan]:
    """A short job, without its media."""
    given = {"prompt": "a red circle", "checkpoint": checkpoint, "preset": "quality", "seed": 5, "num_frames": 5,
             "num_inference_steps": 2} | values  # fmt: skip
    slots: dict[str, Any] = {s.name: {"path": "x"} for s in service.mode.slots if s.required}
    if service.mode is VACE:
        slots["reference_images"] = [{"path": "x.png"}]
    request = service.mode.parse(given | slots)
    return request, service.plan(request)


def pipe_of(service: Engine[Any], checkpoint: str) -> Any:
    _, plan = planned(service, checkpoint)
    assert plan.placement is not None
    return service._pipe(checkpoint, plan.placement, None)


def made(service: Engine[Any], checkpoint: str, **values: Any) -> np.ndarray:
    """The frames of a job, as the engine makes them between loading and writing."""
    request, plan = planned(service, checkpoint, **values)
    job, pipe = Job(), pipe_of(service, checkpoint)
    lora.apply(pipe, plan, CHECKPOINTS[checkpoint], service.settings.weights, print, offline=True)
    ready = Ready(request, plan, service.inputs(request, plan, Reader()))
    steps = service.mode.denoising_steps(request, plan.num_inference_steps)
    return np.stack([*service.make(pipe, ready, steps, job)])


@pytest.fixture(autouse=True)
def _empty(t2v: Engine[Any]) -> Iterator[None]:
    t2v.seat.residency.unload()
    yield
    t2v.seat.residency.unload()


def live() -> tuple[int, int]:
    """Parameters that are alive, and their bytes."""
    gc.collect()
    found = {id(o): o for o in gc.get_objects() if issubclass(type(o), torch.nn.Parameter)}
    return len(found), sum(p.numel() * p.element_size() for p in found.values())


TOUR = (
    ("t2v", "wan2.1-t2v-1.3b"), ("v2v", "wan2.1-t2v-1.3b"), ("i2v", "wan2.1-i2v-14b-480p"),
    ("t2v", "wan2.2-t2v-a14b"), ("i2v", "wan2.2-i2v-a14b"), ("t2v", "wan2.2-ti2v-5b"), ("i2v", "wan2.2-ti2v-5b"),
    ("vace", "wan2.1-vace-1.3b"), ("v2v", "wan2.1-t2v-14b"), ("t2v", "wan2.1-t2v-14b"),
)  # fmt: skip


@pytest.mark.slow
def test_residency_twenty_switches_leave_nothing_behind() -> None:
    """Two rounds through the modes, with videos made where LoRAs are attached and toggled."""
    services = {mode: engine(mode) for mode in PIPELINES}
    for mode, checkpoint in (TOUR[2], TOUR[5]):  # CLIP, and both VAEs: they outlive a swap
        pipe_of(services[mode], checkpoint)
    before: list[tuple[int, int]] = []
    for turn in range(2):
        for mode, checkpoint in TOUR:
            if (mode, checkpoint) in (TOUR[3], TOUR[8]):
                made(services[mode], checkpoint, preset="fast", num_frames=1 if mode == "t2v" else 5)
            pipe = pipe_of(services[mode], checkpoint)
            assert type(pipe).__name__ == services[mode].pipeline
            del pipe
            if turn == 0:
                before.append(live())
            else:
                assert live() == before.pop(0), f"{mode} {checkpoint} grew"


def test_residency_another_class_takes_the_transformer_as_it_is() -> None:
    """V2V on T2V's checkpoint, LoRA included, makes what it makes when loaded for itself."""
    t2v, v2v = engine("t2v"), engine("v2v")
    row = "wan2.1-t2v-14b"
    fresh = {preset: made(v2v, row, preset=preset) for preset in ("quality", "fast")}
    v2v.seat.residency.unload()
    made(t2v, row, preset="fast", num_frames=1)
    first = pipe_of(t2v, row)
    second = pipe_of(v2v, row)
    assert second.transformer is first.transformer and second.text_encoder is first.text_encoder
    assert second.vae is first.vae and second.scheduler is not first.scheduler
    assert lora.count(second, "lightning-2.1-t2v", "transformer") > 0, "attached by T2V"
    assert t2v.manifest().loaded == v2v.manifest().loaded == [row]
    for preset in ("quality", "fast", "quality"):
        assert np.array_equal(made(v2v, row, preset=preset), fresh[preset])
    assert pipe_of(t2v, row) is first and pipe_of(v2v, row) is second


def test_residency_ti2v_serves_text_and_pictures_with_one_transformer() -> None:
    row = "wan2.2-ti2v-5b"
    t2v, i2v = engine("t2v"), engine("i2v")
    fresh = made(i2v, row)
    i2v.seat.residency.unload()
    text = made(t2v, row)
    first, second = pipe_of(t2v, row), pipe_of(i2v, row)
    assert second.transformer is first.transformer and second.config.expand_timesteps
    assert np.array_equal(made(i2v, row), fresh)
    assert np.array_equal(made(t2v, row), text)


def test_residency_both_experts_go_to_another_class() -> None:
    row = "wan2.2-i2v-a14b"
    i2v = engine("i2v")
    first = pipe_of(i2v, row)

    class Other(type(i2v)):
        pipeline = "WanPipeline"

    second = pipe_of(Other(SpaceSettings()), row)
    assert (second.transformer, second.transformer_2) == (first.transformer, first.transformer_2)
    assert second.config.boundary_ratio == first.config.boundary_ratio == 0.9


def repositories(root: Path) -> None:
    """T2V-1.3B with UMT5 in fp32, A14B with it in another format and a config of a later transformers."""
    old, new = copied("dense", root / "wan2.1-t2v-1.3b"), copied("moe", root / "wan2.2-t2v-a14b")
    file = old / "text_encoder" / "model.safetensors"
    save_file({k: v.float() for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
    change(
        new / "text_encoder" / "config.json", transformers_version="9.9", dtype="bfloat16", output_past=True
    )
    change(
        old / "vae" / "config.json", scale_factor_spatial=None, is_residual=None, _diffusers_version="0.33"
    )
    tokens = new / "tokenizer" / "tokenizer_config.json"
    change(tokens, added_later=True)


def test_residency_from_2_1_to_2_2_holds_one_text_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repositories(tmp_path)
    shrink(monkeypatch)
    monkeypatch.setenv("WAN_MODELS", str(tmp_path))
    rows = ("wan2.1-t2v-1.3b", "wan2.2-t2v-a14b")
    t2v = engine("t2v", SpaceSettings(weights="wan", checkpoints=rows))
    first = pipe_of(t2v, rows[0])
    kept = {name: getattr(first, name) for name in ("text_encoder", "vae", "tokenizer")}
    del first
    encoders = sum(type(o).__name__ == "UMT5EncoderModel" for o in gc.get_objects())
    second = pipe_of(t2v, rows[1])
    assert {name: getattr(second, name) for name in kept} == kept
    assert sum(type(o).__name__ == "UMT5EncoderModel" for o in gc.get_objects()) == encoders == 1


def test_residency_another_encoder_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another size; and of Wan-Nano, whose kinds were trained apart, any other file."""
    repositories(tmp_path)
    shrink(monkeypatch)
    monkeypatch.setenv("WAN_MODELS", str(tmp_path))
    rows = ("wan2.1-t2v-1.3b", "wan2.2-ti2v-5b")
    copied("ti2v", tmp_path / rows[1])
    t2v = engine("t2v", SpaceSettings(weights="wan", checkpoints=rows))
    first = pipe_of(t2v, rows[0])
    second = pipe_of(t2v, rows[1])
    assert second.text_encoder is first.text_encoder
    assert second.vae is not first.vae, "two latent spaces"
    held = t2v.seat.residency
    kinds = [load.build("WanPipeline", tmp_path / row, Backend(), held, weights="nano") for row in rows]
    assert kinds[0].text_encoder is not kinds[1].text_encoder


def test_the_loaded_revision_is_in_manifest_and_lineage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any, t2v: Engine[Any]
) -> None:
    done = run().of("done")[0]
    assert done.lineage.revision == sums.revision()
    assert sums.revision().startswith("nano-") and len(sums.revision()) == 17
    assert {info.revision for info in t2v.manifest().checkpoints} == {sums.revision()}
    repositories(tmp_path)
    shrink(monkeypatch)
    (tmp_path / "wan2.1-t2v-1.3b" / "wan-studio.json").write_text(
        f'{{"revision": "{"c" * 40}", "form": "bf16"}}'
    )
    monkeypatch.setenv("WAN_MODELS", str(tmp_path))
    service = engine("t2v", SpaceSettings(weights="wan", checkpoints=("wan2.1-t2v-1.3b",)))
    assert service.manifest().checkpoints[0].revision == "", "nobody knows before it is loaded"
    pipe_of(service, "wan2.1-t2v-1.3b")
    assert service.manifest().checkpoints[0].revision == f"{'c' * 40}+bf16"


def test_zerogpu_parks_every_lora_that_a_request_may_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    row = CHECKPOINTS["wan2.2-i2v-a14b"]
    assert row.loras == ("lightning-2.2-i2v", HYBRID)
    assert HYBRID not in CHECKPOINTS["wan2.1-i2v-14b-480p"].loras
    # Whatever a request chooses, what has to fit on ZeroGPU is the same: nothing is loaded anew in a worker.
    for size in ("large", "xlarge"):
        backend = Backend(device="cuda", name=size, memory_bytes=ZEROGPU_BYTES[size], gpu_size=size)  # type: ignore[arg-type]
        without, hybrid = (planned_on(backend, hybrid) for hybrid in (False, True))
        assert hybrid.weight_bytes > without.weight_bytes  # it is sent to the worker that needs it
        assert hybrid.model_copy(update={"weight_bytes": without.weight_bytes}) == without
    i2v = engine("i2v", SpaceSettings(checkpoints=(row.key,)))
    monkeypatch.setattr(i2v, "backend", Backend(device="cpu", gpu_size="xlarge"))
    i2v.park()
    pipe = pipe_of(i2v, row.key)
    for target in ("transformer", "transformer_2"):
        assert lora.count(pipe, HYBRID, target) > 0  # type: ignore[arg-type]
    monkeypatch.setattr(lora, "_load", lambda *_: pytest.fail("loaded in a worker"))
    made(i2v, row.key, preset="fast", hybrid=True, num_frames=1)


def planned_on(backend: Any, hybrid: bool) -> Any:
    image = {"path": "x.png"}
    values = {"prompt": "x", "image": image, "checkpoint": "wan2.2-i2v-a14b", "hybrid": hybrid, "width": 832,
              "height": 480, "num_frames": 33}  # fmt: skip
    return I2V.plan(I2V.parse(values), backend, weights="wan").placement
