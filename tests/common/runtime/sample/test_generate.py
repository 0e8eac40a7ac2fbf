"""Generation with real tiny pipelines: experts, guidance, presets, events, cancel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from common.contract import PREVIEW_BYTES
from common.errors import GpuError, InputError, ResultError, UnavailableError
from common.runtime.device.seat import seat_of
from common.runtime.job import Job
from common.runtime.sample import decode

MOE = "wan2.2-t2v-a14b"


def pipe_of(t2v: Any, checkpoint: str = MOE) -> Any:
    plan = t2v.plan(t2v.mode.parse({"prompt": "x", "checkpoint": checkpoint}))
    return t2v._pipe(checkpoint, plan.placement, print)


def ready(t2v: Any, request: Any) -> Any:
    return t2v.preflight(request, t2v.plan(request), Job())


@contextmanager
def counted_forwards(pipe: Any, *, of_last_block: bool = False) -> Iterator[dict[str, int]]:
    """How often each expert works, or its last block."""
    counts = {"transformer": 0, "transformer_2": 0}
    hooks = []
    for name in counts:

        def count(*_: Any, name: str = name) -> None:
            counts[name] += 1

        expert = getattr(pipe, name)
        hooks.append((expert.blocks[-1] if of_last_block else expert).register_forward_pre_hook(count))
    yield counts
    for hook in hooks:
        hook.remove()


def test_lightning_runs_two_steps_on_each_expert(run, t2v):
    pipe = pipe_of(t2v)
    with counted_forwards(pipe) as counts:
        run(preset="fast", num_inference_steps=4)
    assert counts == {"transformer": 2, "transformer_2": 2}  # shift 5; CFG 1: one forward a step
    assert pipe.scheduler.timesteps.tolist() == [999, 937, 833, 625]


def test_each_guidance_scale_reaches_its_expert(run):
    values = {"num_inference_steps": 4, "flow_shift": 5.0}
    base = run(**values, guidance_scale=4, guidance_scale_2=3).frames
    assert not np.array_equal(base, run(**values, guidance_scale=6, guidance_scale_2=3).frames)
    assert not np.array_equal(base, run(**values, guidance_scale=4, guidance_scale_2=6).frames)


def test_negative_prompt_and_seed_matter(run):
    base = run()
    assert not np.array_equal(base.frames, run(negative_prompt="blue square").frames)
    assert not np.array_equal(base.frames, run(seed=8).frames)
    assert np.array_equal(base.frames, run().frames)


def test_lora_fast_quality_fast_gives_the_first_result_again(run):
    quality = run().frames
    fast = run(preset="fast").frames
    assert np.array_equal(quality, run().frames), "a disabled LoRA must leave no trace"
    assert np.array_equal(fast, run(preset="fast").frames), "enable_lora() must come before set_adapters()"


def test_flow_shift_is_set_anew_for_every_request(run, t2v):
    run(flow_shift=9.0)
    assert pipe_of(t2v).scheduler.config.flow_shift == 9.0
    run()
    assert pipe_of(t2v).scheduler.config.flow_shift == 12.0


def test_scheduler_is_unipc_with_the_plans_shift_whatever_the_repository_names(run, t2v):
    from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

    values = {"preset": "fast", "num_inference_steps": 4}
    usual = run(**values).frames
    pipe = pipe_of(t2v)
    own = pipe.scheduler
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    assert np.array_equal(usual, run(**values).frames)
    assert isinstance(pipe.scheduler, UniPCMultistepScheduler)
    assert pipe.scheduler.timesteps.tolist() == [999, 937, 833, 625]
    for name in (
        "solver_order",
        "solver_type",
        "predict_x0",
        "final_sigmas_type",
        "timestep_spacing",
        "use_karras_sigmas",
    ):
        assert pipe.scheduler.config[name] == own.config[name], name


def test_boundary_of_the_row_is_the_one_applied(run, t2v):
    pipe = pipe_of(t2v)
    pipe.register_to_config(boundary_ratio=0.5)  # as a repository might say
    with counted_forwards(pipe) as counts:
        run(preset="fast", num_inference_steps=4)
    # By hand: 999 and 937 lie above 0.875 of 1000 timesteps, 833 and 625 below; of 0.5, all four above.
    assert counts == {"transformer": 2, "transformer_2": 2}


def test_guidance_costs_the_forwards_that_the_plan_counts(run, t2v):
    from common import cost

    for scales in ({"guidance_scale": 4, "guidance_scale_2": 3}, {"guidance_scale": 4, "guidance_scale_2": 1},
                   {"guidance_scale": 1}, {"guidance_scale": 0, "guidance_scale_2": 1}):  # fmt: skip
        with counted_forwards(pipe_of(t2v)) as counts:
            run(num_inference_steps=4, flow_shift=5.0, **scales)
        assert sum(counts.values()) == cost.forwards(4, scales["guidance_scale"]), scales


def test_prompts_are_padded_to_512_tokens(run, t2v, monkeypatch):
    pipe = pipe_of(t2v)
    seen: list[int] = []
    encode = pipe.encode_prompt

    def watched(**values: Any) -> Any:
        embeds = encode(**values)
        if "prompt" in values and values.get("prompt"):
            seen.append(embeds[0].shape[1])
        return embeds

    monkeypatch.setattr(pipe, "encode_prompt", watched)
    run()
    assert seen == [512]


def test_events_come_in_order_and_previews_are_small(run):
    made = run(num_inference_steps=3)
    stages = list(dict.fromkeys(e.name for e in made.of("stage")))
    assert stages == ["load", "encode", "denoise", "decode", "save"]
    assert [(e.index, e.total) for e in made.of("step")] == [(1, 3), (2, 3), (3, 3)]
    previews = made.of("preview")
    assert len(previews) == 3
    assert all(0 < len(p.webp_base64) <= PREVIEW_BYTES for p in previews)
    assert made.events[0].type == "queued" and made.events[-1].type == "done"
    times = [e.t for e in made.events]
    assert times == sorted(times)


def test_cancel_stops_within_a_step_and_leaves_the_pipeline_as_new(run, t2v, outputs):
    fresh = run(num_inference_steps=3).frames
    before = set(outputs.iterdir())
    request = t2v.mode.parse({"prompt": "another", "checkpoint": MOE, "num_inference_steps": 50, "seed": 5})
    job = t2v.generate(request, t2v.plan(request))
    steps = 0
    for _, event in job:
        steps += event.type == "step"
        if steps == 2:
            break
    pipe = pipe_of(t2v)
    with counted_forwards(pipe) as counts:
        job.close()
    assert sum(counts.values()) <= 3, "two forwards make a step under CFG"
    assert set(outputs.iterdir()) == before, "a stopped job writes nothing"
    assert np.array_equal(fresh, run(num_inference_steps=3).frames)


def test_a_failed_job_leaves_the_pipeline_usable(run, t2v, monkeypatch):
    import torch

    fresh = run().frames
    pipe = pipe_of(t2v)
    with monkeypatch.context() as patch:
        patch.setattr(pipe.transformer, "forward", _raise(torch.OutOfMemoryError("no memory")))
        with pytest.raises(GpuError, match="fewer frames"):
            run()
    assert np.array_equal(fresh, run().frames)


def test_a_compiler_that_fails_is_told_with_the_way_out(run, t2v, monkeypatch):
    from torch._dynamo.exc import Unsupported

    with monkeypatch.context() as patch:
        patch.setattr(pipe_of(t2v).transformer, "forward", _raise(Unsupported("no C compiler was found")))
        with pytest.raises(GpuError, match=r"WAN_SPEED=exact.*no C compiler"):
            run()


def test_a_plan_with_shortcuts_takes_them_and_only_then(run, t2v, monkeypatch):
    planned = t2v.plan

    def shortened(request: Any) -> Any:
        plan = planned(request)
        return plan.model_copy(update={"placement": plan.placement.model_copy(update={"shortcuts": True})})

    pipe, values = pipe_of(t2v), {"preset": "quality", "num_inference_steps": 10}
    with counted_forwards(pipe, of_last_block=True) as whole:
        exact = run(**values).frames
    monkeypatch.setattr(t2v, "plan", shortened)
    with counted_forwards(pipe, of_last_block=True) as fewer:
        run(**values)
    assert sum(whole.values()) == 20
    assert fewer["transformer_2"] < whole["transformer_2"] and 10 < sum(fewer.values()) < 20
    monkeypatch.setattr(t2v, "plan", planned)
    assert np.array_equal(exact, run(**values).frames)


def test_invalid_numbers_are_an_error_not_a_black_clip(run, t2v, monkeypatch):
    decoded = decode.decoded

    def broken(*args: Any) -> Iterator[Any]:
        yield from (piece * float("nan") for piece in decoded(*args))

    monkeypatch.setattr(decode, "decoded", broken)
    with pytest.raises(ResultError, match="invalid numbers"):
        run()


def test_a_broken_preview_does_not_cost_the_job(run, monkeypatch):
    from common.runtime.sample import preview

    monkeypatch.setattr(preview, "render", _raise(ValueError("no")))
    assert run().of("preview") == []


def test_residency_jobs_wait_in_line_and_can_leave_it(t2v):
    ahead = seat_of("cpu").line.enter()
    request = t2v.mode.parse({"prompt": "a red circle", "checkpoint": MOE, "seed": 1})
    job = t2v.generate(request, t2v.plan(request))
    events = [next(job)[1], next(job)[1]]
    assert [(e.type, e.position) for e in events] == [("queued", 1), ("queued", 1)]
    behind = seat_of("cpu").line.enter()
    assert behind.position == 2
    job.close()
    assert behind.position == 1
    ahead.leave()
    assert behind.wait(0)
    behind.leave()


def test_residency_one_pipeline_stays_and_the_shared_parts_are_the_same_objects(run, t2v):
    dense = pipe_of(t2v, "wan2.1-t2v-1.3b")
    first = {name: id(getattr(dense, name)) for name in ("text_encoder", "vae", "tokenizer")}
    scheduler, transformer = dense.scheduler, id(dense.transformer)
    del dense
    moe = pipe_of(t2v)
    assert {name: id(getattr(moe, name)) for name in first} == first
    assert moe.scheduler is not scheduler
    assert seat_of("cpu").residency.key is not None and seat_of("cpu").residency.key[0] == MOE
    assert t2v.manifest().loaded == [MOE]
    assert id(moe.transformer) != transformer or moe.transformer_2 is not None


def test_residency_a_swapped_out_transformer_is_freed(t2v):
    import gc
    import weakref

    old = weakref.ref(pipe_of(t2v, "wan2.1-t2v-1.3b").transformer)
    pipe_of(t2v)
    gc.collect()
    assert old() is None


def test_a_model_larger_than_the_memory_is_refused_before_it_is_downloaded(t2v, monkeypatch):
    from common.contract import Backend
    from common.settings import SpaceSettings

    small = Backend(device="mps", name="A Mac", memory_bytes=27 * 10**9)
    monkeypatch.setattr(t2v, "settings", SpaceSettings(weights="wan"))
    monkeypatch.setattr(t2v, "backend", small)
    request = t2v.mode.parse({"prompt": "p", "checkpoint": MOE})
    plan = t2v.plan(request)
    # By hand: 2 experts of 14.29e9 and UMT5's 5.68e9 in bf16, the VAE's 0.13e9 in fp32, LoRAs of rank 128 and 64 with
    # 1.8 GB, and three times activations of 4.2 GB with 1.3 GB of scores. 95% of the Mac's memory, less 2 GB.
    needs = "Wan 2.2 T2V-A14B (MoE) needs 84.6 GB for 832x480 and 81 frames, A Mac has 23.6 GB for it"
    assert f"Not enough memory: {needs}." in plan.notices
    with pytest.raises(InputError) as refused:
        t2v.preflight(request, plan, Job())
    assert refused.value.text == (
        f"checkpoint must fit into this machine's memory: {needs}; try wan2.1-t2v-1.3b, fastwan2.1-t2v-1.3b"
    )
    fits = t2v.mode.parse({"prompt": "p", "checkpoint": "wan2.1-t2v-1.3b"})
    assert ready(t2v, fits).request == fits


def test_memory_that_runs_out_while_loading_is_named(monkeypatch, tmp_path):
    import torch
    from transformers import UMT5EncoderModel

    from common.contract import Backend
    from common.runtime.model import load

    monkeypatch.setattr(UMT5EncoderModel, "from_pretrained", _raise(torch.OutOfMemoryError("no")))
    with pytest.raises(GpuError, match="Out of memory while loading text_encoder"):
        load.part(tmp_path / "text_encoder", ["transformers", "UMT5EncoderModel"], Backend())


def test_unload_and_clear_cache(run, t2v, outputs):
    run()
    control = outputs / "prepared" / "key" / "video.mkv"
    control.parent.mkdir(parents=True)
    control.write_bytes(b"a control")
    assert t2v.manifest().cache_bytes > 0
    assert t2v.clear_cache() > 0 and t2v.manifest().cache_bytes == 0
    assert not control.parent.exists()
    t2v.unload()
    assert t2v.manifest().loaded == []
    run()


def test_zerogpu_spaces_cannot_unload_what_is_packed(t2v, monkeypatch):
    parked = t2v.backend.model_copy(update={"gpu_size": "large"})
    monkeypatch.setattr(t2v, "backend", parked)
    with pytest.raises(UnavailableError, match="restart the Space"):
        t2v.unload()


def _raise(error: Exception) -> Any:
    def raising(*_: Any, **__: Any) -> Any:
        raise error

    return raising


def test_zerogpu_errors_cross_the_worker_as_values(t2v, monkeypatch):
    import pickle

    from common.runtime import engine

    monkeypatch.setattr(engine.generate, "make", _raise(GpuError("Out of GPU memory")))
    request = t2v.mode.parse({"prompt": "p", "checkpoint": MOE, "seed": 1})
    *_, (path, error) = t2v.run(ready(t2v, request))
    assert path is None and isinstance(error, GpuError)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.text, copy.title) == (GpuError, error.text, error.title)
    with pytest.raises(GpuError):
        list(t2v.generate(request, t2v.plan(request)))
