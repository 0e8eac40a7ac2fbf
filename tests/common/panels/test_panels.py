"""What panels compute: values of the page, linked inputs, the label, the card and the run of a job."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from common import cost, nano_words
from common.catalog import CHECKPOINTS, NEGATIVE_PROMPT
from common.contract import Backend, Done, Lineage, MediaHandle, Notice, Preview, Queued, Stage, Step
from common.errors import Cancelled, GpuError, InputError
from common.modes.all import MODES
from common.panels import texts, widgets
from common.panels.all import PANELS
from common.panels.card import Card
from common.run.fake import FakeRunner
from tests.common.fakes import manifest

JOB = "0d9f3a52-7f3c-4a3e-9a53-2f7a6a1c9b10"
ZERO = Backend(device="cuda", name="ZeroGPU", gpu_size="xlarge")


def drawn(mode: str = "t2v", script: list[Any] | None = None, **shown: Any) -> Any:
    m = MODES[mode]  # type: ignore[index]
    found = manifest(m, **shown)
    panel = PANELS[m.key](FakeRunner(m, found, script or []), found)
    with gr.Blocks():
        panel.draw()
    return panel


def page(panel: Any, **changes: Any) -> tuple[Any, ...]:
    """What the browser would send: every component's first value, with some changed."""
    values = {name: component.value for name, component in panel.inputs.components.items()}
    assert changes.keys() <= values.keys()
    return tuple((values | changes).values())


# ------------------------------------------------------------------ from page to request


@pytest.mark.parametrize("mode", list(PANELS))
def test_every_value_of_a_fresh_page_is_a_request_field_and_makes_the_default_plan(mode: str) -> None:
    panel = drawn(mode)
    values = panel.values(page(panel, prompt="a"))
    assert values.keys() <= panel.mode.request_type.model_fields.keys()
    shown, default = (
        panel.preview_plan(panel.initial, values),
        panel.preview_plan(panel.initial, {"prompt": "a"}),
    )
    assert shown.model_copy(update={"seed": 0}) == default.model_copy(update={"seed": 0})


@pytest.mark.parametrize("mode", list(PANELS))
def test_an_empty_prompt_suggests_what_the_weights_know(mode: str) -> None:
    prompts = {w: drawn(mode, weights=w).inputs.components["prompt"].placeholder for w in ("nano", "wan")}
    assert nano_words.notice(prompts["nano"]) is None and prompts["wan"] != prompts["nano"]


def test_seed_is_random_unless_told_otherwise() -> None:
    panel = drawn()
    assert panel.values(page(panel, seed=9))["seed"] == -1
    assert panel.values(page(panel, seed=9, randomize=False))["seed"] == 9


def test_hidden_second_guidance_is_not_sent() -> None:
    panel = drawn()
    assert "guidance_scale_2" in panel.values(page(panel))
    assert "guidance_scale_2" not in panel.values(page(panel, checkpoint="wan2.1-t2v-1.3b"))


def test_the_models_own_negative_prompt_is_shown_but_not_sent() -> None:
    panel = drawn()
    assert panel.inputs.components["negative_prompt"].value == NEGATIVE_PROMPT
    assert "negative_prompt" not in panel.values(page(panel))
    for text in ("fog", ""):
        assert panel.values(page(panel, negative_prompt=text))["negative_prompt"] == text


def test_an_image_slot_takes_a_picture_or_a_frame_of_a_clip() -> None:
    panel = drawn("i2v")
    still, clip = MediaHandle(path="/a.png"), MediaHandle(path="/a.mp4")
    slot = {"image_picture": still, "image_clip": clip}
    assert panel.values(page(panel, **slot))["image"] == still
    clipped = {**slot, "image_source": "clip"}
    assert panel.values(page(panel, **clipped, image_moment="last"))["image_from"] == "last"
    at = panel.values(page(panel, **clipped, image_moment="at", image_second=0.4))
    assert (at["image"], at["image_from"]) == (clip, 0.4)


@pytest.mark.parametrize("key", ["wan2.1-t2v-14b", "wan2.2-ti2v-5b"])
def test_duration_and_frames_agree_both_ways(key: str) -> None:
    row = CHECKPOINTS[key]
    for frames in range(1, row.max_frames + 1, 4):
        assert widgets.frames_for(widgets.seconds_of(frames, row.fps), row) == frames


@pytest.mark.parametrize("key", ["wan2.2-animate-14b", "wan2.2-animate-2-14b"])
def test_each_tenth_of_a_second_is_a_number_of_frames_where_any_number_is_made(key: str) -> None:
    row = CHECKPOINTS[key]
    for tenths in range(1, 201):
        frames = widgets.frames_for(tenths / 10, row)
        assert widgets.seconds_of(frames, row.fps) == tenths / 10


def test_aspect_of_the_picture_suggests_the_resolution() -> None:
    sizes = CHECKPOINTS["wan2.1-i2v-14b-720p"].resolutions
    assert widgets.nearest_resolution(sizes, 4000, 3000).size == "960x960"
    assert widgets.nearest_resolution(sizes, 1920, 1080).size == "1280x720"
    assert widgets.nearest_resolution(sizes, 1080, 1920).size == "720x1280"
    panel = drawn("i2v")
    tall = MediaHandle(path="-", width=200, height=300)
    assert asyncio.run(panel._suggest_resolution(tall, "wan2.2-i2v-a14b")) == "128x192"
    with pytest.raises(InputError, match="checkpoint must be chosen"):
        asyncio.run(panel._suggest_resolution(tall, None))


def test_a_resolution_that_still_fits_is_left_to_the_page() -> None:
    # The answer comes late: a picture may have chosen another resolution since the page asked.
    panel = drawn("i2v")

    def resolution(chosen: str) -> dict[str, Any]:
        return asyncio.run(panel.checkpoint_changed("wan2.2-i2v-a14b", "fast", chosen))["resolution"]

    assert "value" not in resolution("128x192")
    assert resolution("480x832")["value"] == "128x192"  # the nearest shape


# ------------------------------------------------------------------ the line under Generate


def test_label_names_the_zerogpu_reservation_of_the_plan() -> None:
    panel = drawn(backend=ZERO, weights="wan")
    plan = panel.preview_plan(panel.initial, {"prompt": "a"})
    assert texts.reservation(plan, ZERO).startswith(f"⌚ ZeroGPU: ~{plan.gpu_seconds}s")
    assert texts.reservation(plan, ZERO).endswith("xlarge, unverified")
    assert plan.gpu_seconds == 2 * plan.gpu_duration
    said = f"Billed as {plan.gpu_seconds} GPU seconds of your day: up to {plan.gpu_duration} s of work"
    assert said in texts.label(plan, ZERO)


def test_label_says_whose_day_a_job_takes_more_than() -> None:
    who = {n: found and found[0] for n in (120, 121, 300, 302, 3291) if (found := cost.over(n)) or True}
    assert who == {
        120: None, 121: "visitor who is not signed in", 300: "visitor who is not signed in", 302: "free account",
        3291: "PRO account",
    }  # fmt: skip
    panel = drawn(backend=ZERO, weights="wan")
    plan = panel.preview_plan(panel.initial, {"prompt": "a", "preset": "quality"})
    assert (
        f"This takes {plan.gpu_seconds} GPU seconds, more than a free account has in a day (300)."
        in plan.notices
    )
    assert texts.bill(plan.model_copy(update={"gpu_size": None})) == ""


def test_label_names_this_machine_elsewhere() -> None:
    panel = drawn()
    plan = panel.preview_plan(panel.initial, {"prompt": "a"})
    assert texts.reservation(plan, Backend()).startswith("⌚ about ")
    assert texts.reservation(plan, Backend()).endswith("on this CPU")
    assert texts.reservation(plan, Backend(device="cuda", name="NVIDIA H100")).endswith("on NVIDIA H100")


def test_label_follows_the_page() -> None:
    panel = drawn(backend=ZERO, weights="wan")

    def label(**changes: Any) -> str:
        return asyncio.run(panel._relabel(*page(panel, prompt="a", **changes)))

    fast, slow = label(), label(num_inference_steps=50, guidance_scale=5)
    assert "ZeroGPU" in fast and fast != slow
    assert "Frames must be 4k+1; got 18, try 17 or 21" in label(num_frames=18)
    assert "Lightning unavailable" in label(checkpoint="wan2.1-t2v-1.3b", resolution="832x480")


def test_label_says_what_is_still_needed_and_shows_the_time_all_the_same() -> None:
    panel = drawn("i2v")
    label = asyncio.run(panel._relabel(*page(panel)))
    assert "Still needed: motion prompt, source image" in label and "⌚" in label


def test_long_prompt_and_lightning_caveat_are_notices() -> None:
    assert "the model reads the first 512" in asyncio.run(
        (p := drawn())._relabel(*page(p, prompt="word " * 600))
    )
    assert "softer than for Wan 2.1" in asyncio.run((p := drawn("i2v"))._relabel(*page(p, prompt="a")))


def test_user_text_is_escaped() -> None:
    assert "<script>" not in texts.broken(InputError("preset", "must be fast", got="<script>"))
    assert "<script>" not in Card().failed(GpuError("<script>")).screen()
    assert "<img src=x" not in Card().after(Preview(webp_base64='"><img src=x>')).screen()


def test_banner_only_where_there_is_something_to_say() -> None:
    mode = MODES["t2v"]
    assert "Demo weights" in texts.banner(manifest(mode))
    assert "No GPU" in texts.banner(manifest(mode, weights="wan"))
    assert texts.banner(manifest(mode, weights="wan", backend=ZERO)) == ""


# ------------------------------------------------------------------ presets


def test_preset_sets_what_the_plan_says() -> None:
    panel = drawn(weights="wan")
    updates = asyncio.run(panel.preset_changed("wan2.2-t2v-a14b", "quality"))
    assert (updates["num_inference_steps"], updates["flow_shift"]) == (30, 12.0)
    high, low = updates["guidance_scale"], updates["guidance_scale_2"]
    assert (high["value"], low["value"], low["visible"]) == (4.0, 3.0, True)
    dense = asyncio.run(panel.preset_changed("wan2.1-t2v-1.3b", "fast"))
    assert dense["guidance_scale_2"]["visible"] is False


# ------------------------------------------------------------------ a job


def run(panel: Any, **changes: Any) -> list[list[Any]]:
    async def go() -> list[list[Any]]:
        request = SimpleNamespace(headers={})
        return [u async for u in panel._generate(request, JOB, "", False, *page(panel, prompt="a", **changes))]

    return asyncio.run(go())


def test_job_folds_events_into_the_card_and_frees_the_button() -> None:
    script = [
        (None, Queued(position=2)),
        (None, Stage(name="load", text="Loading")),
        (None, Step(index=1, total=4, eta_seconds=3)),
        (None, Preview(webp_base64="AAAA")),
    ]
    updates = run(drawn(script=script))
    cards = [update[2] for update in updates]
    assert "Waiting for the GPU, 2 ahead" in cards[0]
    assert "Step 1 of 4" in cards[2] and "width:25.0%" in cards[2] and "3 s left" in cards[2]
    assert "data:image/webp;base64,AAAA" in updates[3][1]
    assert updates[-1][3]["interactive"] is True, "a stream that ends early still frees the button"
    assert "ended without a video" in updates[-1][1]


def test_job_that_fails_says_so_where_the_video_would_be() -> None:
    last = run(drawn(script=[GpuError("You have used up your quota.", title="ZeroGPU quota exceeded")]))[-1]
    assert "ZeroGPU quota exceeded" in last[1] and "You have used up your quota." in last[1]
    assert last[3]["value"] == "Generate" and last[4]["visible"] is False


def test_generate_shows_the_same_message_as_the_label() -> None:
    panel = drawn(script=[InputError("num_frames", "must be 4k+1", got=18, hint="try 17 or 21")])
    assert "Frames must be 4k+1; got 18, try 17 or 21" in run(panel, num_frames=18)[-1][1]


def test_cancelled_is_no_error() -> None:
    card = Card().after(Step(index=2, total=4)).failed(Cancelled())
    assert card.state == "stopped" and "Generate to preview here" in card.screen()
    assert Card.clicked(had_video=True).stopped().screen() == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("num_frames must be 4k+1; got 80, try 77 or 81", "Frames must be 4k+1; got 80, try 77 or 81"),
        ("image is required; give source image", "Source image is required; give source image"),
        ("checkpoint must be chosen; choose a model", "Model must be chosen; choose a model"),
        ("prompt must not hold the image", "Motion prompt must not hold the image"),
    ],
)
def test_an_error_uses_the_words_of_the_page(text: str, said: str) -> None:
    assert texts.in_words(text, drawn("i2v").words()) == said


def test_no_panel_shows_an_internal_name() -> None:
    for mode in PANELS:
        panel = drawn(mode)
        for name in panel.mode.request_type.model_fields:
            assert "_" not in panel.words()[name], name
    words = drawn("vace").words()
    assert (
        texts.in_words("mask is required for layout_track", words)
        == "Mask is required for Layout · Tracked outline"
    )


def test_a_broken_rule_is_told_in_the_pages_words_before_and_after_generate() -> None:
    panel = drawn()
    values = page(panel, prompt="a", num_frames=80)
    assert "Frames must be 4k+1" in panel._label_html(panel.initial, panel.values(values))
    last = asyncio.run(_all(panel._generate(SimpleNamespace(headers={}), "", "", False, *values)))
    assert "num_frames" not in str(last[-1])


async def _all(updates: Any) -> list[Any]:
    return [update async for update in updates]


def test_a_notice_that_the_label_gives_is_not_repeated_under_the_video() -> None:
    card = Card.clicked(told=["uses Quality"]).after(Notice(text="uses Quality", t=0))
    assert card.notices == ()
    card = card.after(Notice(text="the clip was cut", t=0)).after(Notice(text="the clip was cut", t=0))
    assert card.notices == ("the clip was cut",)


def test_a_pictures_loss_is_told_before_generate(tmp_path: Path) -> None:
    Image.new("RGB", (12000, 80)).save(tmp_path / "strip.png")
    panel = drawn("i2v")
    values = page(panel, prompt="a", image_picture=MediaHandle(path=str(tmp_path / "strip.png")))
    assert "12000x80" in asyncio.run(panel._relabel(*values))


def test_what_the_label_says_is_not_said_again_while_the_job_runs() -> None:
    panel = drawn(script=[(None, Notice(text="softer", t=0)), (None, Notice(text="new", t=0))])
    panel.preview_plan = lambda *_: SimpleNamespace(notices=["softer"])
    updates = asyncio.run(
        _all(panel._generate(SimpleNamespace(headers={}), "", "", False, *page(panel, prompt="a")))
    )
    assert "new" in str(updates) and "softer" not in str(updates)


@pytest.mark.parametrize("rank", [1, 2])
def test_the_heading_names_the_model_and_follows_it(rank: int) -> None:
    m = MODES["t2v"]
    panel = PANELS["t2v"](FakeRunner(m, manifest(m), []), manifest(m), rank=rank)
    with gr.Blocks() as blocks:
        panel.draw()
    assert (
        f"<h{rank}>Text to Video" in panel.heading.value
        and CHECKPOINTS[m.checkpoints[0]].name in panel.heading.value
    )
    follows = [f for f in blocks.fns.values() if f.outputs == [panel.heading]]
    assert len(follows) == 1 and all(CHECKPOINTS[key].name in follows[0].js for key in m.checkpoints)


# ------------------------------------------------------------------ Stop


def done(mode: str = "t2v") -> Any:
    """A video and the event that brings it."""
    m = MODES[mode]  # type: ignore[index]
    plan = m.plan(m.parse({"prompt": "a", "seed": 7}))
    made = Lineage(request={}, plan=plan, seed=7, versions={}, git_sha="", created="")
    return MediaHandle(path="/a.mp4"), Done(plan=plan, seed=7, seconds=1, lineage=made, sha256="0" * 64)


def stopped_at(panel: Any, text: str) -> list[list[Any]]:
    """A job whose Stop is clicked when its card first says `text`."""

    async def go() -> list[list[Any]]:
        seen = []
        request = SimpleNamespace(headers={})
        async for update in panel._generate(request, JOB, "", False, *page(panel, prompt="a")):
            seen.append(update)
            if text in update[2]:
                assert await panel._stop(request, JOB, "", False) == [gr.skip()] * 5, "the job says it itself"
        return seen

    return asyncio.run(go())


def is_stopped(update: list[Any]) -> bool:
    return (
        update[0] == gr.skip()  # no video
        and '<p class="line">Stopped.</p>' in update[2]
        and update[3]["interactive"] is True
        and update[4]["visible"] is False
    )


@pytest.mark.parametrize("pause", [0, 0.05])
@pytest.mark.parametrize("late", ["event", "video", "error"])
def test_a_stop_at_decoding_ends_as_stopped_whatever_comes_late(late: str, pause: float) -> None:
    came = {
        "event": (None, Step(index=4, total=4)),
        "video": done(),
        "error": GpuError("aborted"),
    }[late]
    panel = drawn(script=[(None, Stage(name="decode", text="Decoding")), came])
    panel.runner.pause = pause
    updates = stopped_at(panel, "Decoding")
    assert len(updates) == 2 and is_stopped(updates[-1])


def test_a_stop_told_before_the_job_begins_stops_it_and_no_other() -> None:
    panel = drawn(script=[(None, Stage(name="load", text="Loading")), done()])
    answer = asyncio.run(panel._stop(SimpleNamespace(headers={}), JOB, "", False))
    assert "Stopped." in answer[1] and answer[2]["interactive"] is True, "nobody else would say so yet"
    updates = run(panel)
    assert len(updates) == 1 and is_stopped(updates[0])
    assert run(panel)[-1][0] == done()[0], "the next job of this page is another"


@pytest.mark.parametrize("mode", MODES)
def test_a_second_click_on_stop_is_dropped_and_a_second_choice_is_not(mode: str) -> None:
    """Deferred until the first is answered, it would call a video stopped that was made meanwhile."""
    with gr.Blocks() as blocks:
        panel = PANELS[mode](FakeRunner(MODES[mode], manifest(MODES[mode]), []), manifest(MODES[mode]))
        panel.draw()
    stops = {panel.stop._id, *([panel._halt._id] if mode in ("flf2v", "animate") else [])}
    asked = [f for f in blocks.fns.values() if f.fn is not None]
    modes = {f.trigger_mode for f in asked if any(target in stops for target, _ in f.targets)}
    assert modes == {"once"}
    chosen = [f for f in asked if any(name == "input" for _, name in f.targets)]
    assert chosen and {f.trigger_mode for f in chosen} == {"always_last"}


def test_the_negative_prompt_of_another_model_is_not_sent_either() -> None:
    panel = drawn("i2v")
    key = "wan2.1-i2v-14b-480p"
    shaky = CHECKPOINTS[key].negative_prompt
    assert shaky != NEGATIVE_PROMPT
    for text in (shaky, NEGATIVE_PROMPT):  # the box follows the model a moment later
        assert "negative_prompt" not in panel.values(page(panel, checkpoint=key, negative_prompt=text))
