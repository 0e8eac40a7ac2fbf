"""Wan-Animate-2 by segments, against diffusers' own loop over all of them."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common.catalog import CHECKPOINTS
from common.contract import Backend, Placement, Plan
from common.errors import Cancelled, ResultError, WeightsError
from common.runtime.device.residency import Residency
from common.runtime.model import configs, index, load, whole
from common.runtime.pipelines import animate2
from common.runtime.sample import stages
from tests.common.runtime.model.tiny_rows import change
from tests.common.runtime.pipelines import tiny_animate2

CPU = Backend(device="cpu", name="a CPU", memory_bytes=0)
WIDTH, HEIGHT, SEGMENT, STEPS = 32, 48, 9, 2
PROMPT, NEGATIVE = "a red circle moving right", "blue square"
PLACED = Placement(
    precision={"transformer": "float32", "vae_decode": "float32"}, peak_bytes=1, weight_bytes=1
)


def picture(number: int) -> Image.Image:
    """A square that moves by a pixel a frame."""
    made = Image.new("RGB", (WIDTH, HEIGHT), (40, 90, 160))
    made.paste((230, 200, 40), (2 + number, 10, 12 + number, 20))
    return made


DRIVING = [picture(n) for n in range(2 * SEGMENT - 1)]
IMAGE = Image.new("RGB", (WIDTH, HEIGHT), (200, 60, 90))


def plan(**values: Any) -> Plan:
    """What a mode would plan."""
    given: dict[str, Any] = {
        "mode": "animate", "checkpoint": "wan2.2-animate-14b", "weights": "wan", "preset": "quality",
        "requested_preset": "quality", "width": WIDTH, "height": HEIGHT, "num_frames": len(DRIVING), "fps": 24,
        "num_inference_steps": STEPS, "guidance_scale": 3.0, "flow_shift": 5.0, "seed": 3,
        "negative_prompt": NEGATIVE, "gpu_seconds": 0, "expected_seconds": 1.0, "clip_seconds": 1.0,
    }  # fmt: skip
    return Plan(**(given | values))


@pytest.fixture(scope="module", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _mask_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.models.transformers import transformer_wan_animate_2 as model

    make = model.create_block_mask
    monkeypatch.setattr(model, "create_block_mask", lambda *a, _compile, **k: make(*a, **k))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("animate2")
    return {
        "base": tiny_animate2.make(root / "base", layers=10),  # without guidance, the tenth is left out
        "distilled": tiny_animate2.make(root / "distilled", distilled=True, hints_alone=True),
    }


@pytest.fixture(scope="module")
def pipes(folders: dict[str, Path]) -> dict[str, Any]:
    names = {"base": "WanAnimate2ModularPipeline", "distilled": "WanAnimate2DistilledModularPipeline"}
    return {key: load.build(name, folders[key], CPU, Residency("cpu")) for key, name in names.items()}


def segment(pipe: Any, plan: Plan, number: int, tail: Any = None, callback: Any = None, seed: int = 3) -> Any:
    """One segment of `DRIVING`, its noise from a seed of its own."""
    with torch.no_grad():
        words = animate2.read(pipe, PROMPT, NEGATIVE, plan.guidance_scale)
        begin = number * (SEGMENT - 1)
        return animate2.make_segment(
            pipe,
            words,
            plan,
            image=IMAGE,
            opening=DRIVING[0],
            driving=DRIVING[begin : begin + SEGMENT],
            tail=tail,
            generator=torch.Generator("cpu").manual_seed(seed + number),
            callback=callback or (lambda *_: None),
        )


def both(pipe: Any, plan: Plan) -> list[np.ndarray]:
    first = segment(pipe, plan, 0)
    return [first, segment(pipe, plan, 1, first[-1:])]


def stock(folder: Path, pipe: Any, steps: int, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """diffusers' own pipeline over the whole clip, with a seed for each segment's noise as `segment` has."""
    from diffusers import ModularPipeline
    from diffusers.modular_pipelines.wan_animate_2 import denoise

    drawn = iter([torch.Generator("cpu").manual_seed(3 + n) for n in range(2)])
    draw = denoise.randn_tensor
    monkeypatch.setattr(
        denoise, "randn_tensor", lambda *a, generator, **k: draw(*a, generator=next(drawn), **k)
    )
    made = ModularPipeline.from_pretrained(str(folder))
    made.update_components(
        **{n: getattr(pipe, n) for n in made.pretrained_component_names if n != "scheduler"}
    )
    made.update_components(scheduler=animate2.fresh_scheduler(pipe.scheduler, 5.0))
    assert type(made) is type(pipe)
    frames = made(
        image=IMAGE, driving_video=DRIVING, prompt=PROMPT, negative_prompt=NEGATIVE, width=WIDTH, height=HEIGHT,
        num_inference_steps=steps, segment_frame_length=SEGMENT, output="videos",
    )[0]  # fmt: skip
    monkeypatch.undo()
    return (np.asarray(frames) * 255).round().astype(np.uint8)


@pytest.mark.parametrize(("key", "guidance"), [("base", 3.0), ("distilled", 1.0)])
def test_segments_are_those_of_the_stock_pipeline(
    pipes, folders, monkeypatch, key: str, guidance: float
) -> None:
    whole_clip = stock(folders[key], pipes[key], STEPS, monkeypatch)
    first, second = both(pipes[key], plan(guidance_scale=guidance))
    assert first.shape == second.shape == (SEGMENT, HEIGHT, WIDTH, 3) and first.dtype == np.uint8
    assert len(whole_clip) == 2 * SEGMENT - 1
    assert np.array_equal(first, whole_clip[:SEGMENT])
    assert np.array_equal(second[:1], first[-1:])
    # Its tail was rounded to bytes on the way.
    assert np.abs(second[1:].astype(int) - whole_clip[SEGMENT:]).max() <= 3


def test_steps_are_told_and_the_last_one_believes_its_latents(pipes) -> None:
    for key, given in (("base", plan()), ("distilled", plan(guidance_scale=1.0, num_inference_steps=3))):
        told: list[tuple[Any, int, float, dict[str, Any]]] = []
        segment(pipes[key], given, 0, callback=lambda *a, told=told: told.append(a))
        assert [index for _, index, _, _ in told] == [*range(given.num_inference_steps)]
        assert told[0][0].vae is pipes[key].vae and told[0][0].transformer is pipes[key].transformer
        times = [float(t) for _, _, t, _ in told]
        assert times == sorted(times, reverse=True) and times[0] >= 999
        last = told[-1][3]
        # Two latent frames more than those of the clip's 4k: the first of the clip, and the picture's.
        assert last["latents"].shape == (1, 16, SEGMENT // 4 + 2, HEIGHT // 8, WIDTH // 8)
        assert torch.allclose(last["latents"], last["denoised"], atol=1e-3)
        assert not torch.allclose(told[0][3]["latents"], told[0][3]["denoised"], atol=1e-1)


def test_guidance_seed_shift_and_prompt_matter(pipes) -> None:
    base = segment(pipes["base"], plan(), 0)
    assert np.array_equal(base, segment(pipes["base"], plan(), 0))
    assert not np.array_equal(base, segment(pipes["base"], plan(guidance_scale=1.0), 0))
    assert not np.array_equal(base, segment(pipes["base"], plan(flow_shift=1.0), 0))
    assert not np.array_equal(base, segment(pipes["base"], plan(), 0, seed=4))


def test_a_stop_ends_the_segment_within_a_step_and_a_kept_tail_goes_on_with_it(pipes, caplog) -> None:
    pipe, given = pipes["distilled"], plan(guidance_scale=1.0, num_inference_steps=3)
    first, second = both(pipe, given)
    steps: list[int] = []

    def stop(_: Any, index: int, *__: Any) -> None:
        steps.append(index)
        if index == 1:
            raise Cancelled()

    caplog.clear()
    with pytest.raises(Cancelled):
        segment(pipe, given, 1, first[-1:], callback=stop)
    assert steps == [0, 1]
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not logged, "a stop is no error: diffusers' blocks must not log a traceback for it"
    np.save(kept := io.BytesIO(), first)
    kept.seek(0)
    assert np.array_equal(segment(pipe, given, 1, np.load(kept)[-1:]), second)


def test_invalid_numbers_are_an_error_not_a_black_clip(pipes, monkeypatch) -> None:
    pipe = pipes["distilled"]
    decode = pipe.vae.decode

    def broken(*args: Any, **values: Any) -> Any:
        return (decode(*args, **values)[0] * float("nan"),)

    monkeypatch.setattr(pipe.vae, "decode", broken)
    with pytest.raises(ResultError, match="invalid numbers"):
        segment(pipe, plan(guidance_scale=1.0), 0)


def test_more_frames_may_be_carried(pipes) -> None:
    given = plan(guidance_scale=1.0)
    tail = np.stack([np.asarray(picture(n)) for n in range(5)])
    made = segment(pipes["distilled"], given, 1, tail)
    assert made.shape == (SEGMENT, HEIGHT, WIDTH, 3) and np.array_equal(made[:5], tail)


def test_pictures_of_another_size_are_refused(pipes) -> None:
    with pytest.raises(ValueError, match=r"pictures of \[\(32, 48\)\] for a plan of 48x48"):
        segment(pipes["distilled"], plan(width=48), 0)


def test_every_size_comes_out_as_it_was_planned(pipes, monkeypatch) -> None:
    """diffusers' own reckoning loses 16 pixels of some of them."""
    from diffusers.modular_pipelines.wan_animate_2 import encoders

    made = animate2._part(pipes["base"], encoders.WanAnimate2ProcessImagesInputStep())
    monkeypatch.setattr(type(made.image_processor), "preprocess", lambda *_, **__: torch.zeros(1))

    def size(wanted: tuple[int, int], area: dict[str, int]) -> tuple[int, int]:
        found = made(image=Image.new("1", wanted), **area)
        return found.get("width"), found.get("height")

    sizes = {(r.width, r.height) for row in CHECKPOINTS.values() for r in row.resolutions}
    sizes |= {(w, h) for w in range(256, 1281, 64) for h in range(256, 1281, 16)}
    assert [s for s in sizes if size(s, animate2._area(*s)) != s] == []
    lost = [s for s in sizes if size(s, {"width": s[0], "height": s[1]}) != s]
    assert lost, "then there is nothing to make up for"


def test_text_encoder_may_be_away_while_a_segment_is_made(pipes) -> None:
    pipe = pipes["distilled"]
    words = animate2.read(pipe, PROMPT, NEGATIVE, 1.0)
    with torch.no_grad(), stages.sampling(pipe, PLACED.model_copy(update={"offload": "text_encoder"})):
        assert pipe.text_encoder is None
        made = animate2.make_segment(
            pipe, words, plan(guidance_scale=1.0), image=IMAGE, opening=DRIVING[0], driving=DRIVING[:SEGMENT],
            tail=None, generator=torch.Generator("cpu").manual_seed(3), callback=lambda *_: None,
        )  # fmt: skip
    assert pipe.text_encoder is not None
    with stages.sampling(pipe, PLACED):
        assert np.array_equal(made, segment(pipe, plan(guidance_scale=1.0), 0))


def test_a_repository_is_loaded_by_its_modular_index_and_checked_for_what_is_missing(
    folders, tmp_path
) -> None:
    for key, scheduler in (
        ("base", "DPMSolverMultistepScheduler"),
        ("distilled", "FlowMatchEulerDiscreteScheduler"),
    ):
        assert whole.is_whole(folders[key])
        _, parts = index.read(folders[key])
        assert parts["transformer"] == ["diffusers", "WanAnimate2Transformer3DModel"]
        assert parts["scheduler"] == ["diffusers", scheduler]
    folder = tiny_animate2.make(tmp_path / "m")
    for part in ("vae", "transformer"):
        (folder / part).rename(tmp_path / part)
        fault = whole.fault(folder)
        assert fault is not None and fault.missing and fault.text == f"{part}/ is not there"
        (tmp_path / part).rename(folder / part)
    file = folder / index.MODULAR
    content = json.loads(file.read_text())
    del content["vae"]
    file.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match="lacks vae; it is not a Wan pipeline"):
        load.build("WanAnimate2ModularPipeline", folder, CPU, Residency("cpu"))


def test_configs_are_held_against_the_catalog(folders, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(configs, "FULL_SIZE", {})
    for key, folder in (("wan2.2-animate-2-14b", "base"), ("wan2.2-animate-2-14b-distilled", "distilled")):
        row = CHECKPOINTS[key]
        with pytest.raises(WeightsError, match="transformer has dim 48, expected 5120"):
            configs.check(folders[folder], row, "wan")
        layers = json.loads((folders[folder] / "transformer/config.json").read_text())["num_layers"]
        row = replace(row, architecture=replace(row.architecture, dim=48, ffn=64, layers=layers))
        configs.check(folders[folder], row, "wan")
    tiny_animate2.make(tmp_path / "m", distilled=True, hints_alone=True)
    change(tmp_path / "m/scheduler/scheduler_config.json", _class_name="UniPCMultistepScheduler")
    with pytest.raises(WeightsError, match=r"scheduler has class UniPC\w+, expected DPM\w+ or FlowMatch"):
        configs.check(tmp_path / "m", row, "wan")


def test_parts_are_shared_with_other_pipelines(folders) -> None:
    residency = Residency("cpu")
    one = load.build("WanAnimate2ModularPipeline", folders["base"], CPU, residency)
    two = load.build("WanAnimate2ModularPipeline", folders["base"], CPU, residency, other=one)
    assert all(
        getattr(one, n) is getattr(two, n) for n in ("text_encoder", "vae", "image_encoder", "transformer")
    )
    assert one.guider.guidance_scale == 3.0 and one.scheduler is not two.scheduler
