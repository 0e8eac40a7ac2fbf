"""Animate's panel: what is there with a model and a task, sizes that follow the video, and how a job goes on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from common.catalog import ANNOTATORS, CHECKPOINTS
from common.contract import (
    Backend,
    Control,
    Done,
    Event,
    Lineage,
    MediaHandle,
    Performance,
    Plan,
    Stage,
    Step,
)
from common.errors import Cancelled, GpuError
from common.modes.all import MODES
from common.modes.animate import MODE, OWN
from common.panels import animate, texts
from common.panels.animate import LOW, MEDIUM, AnimatePanel
from common.panels.card import Card
from common.run.fake import FakeRunner
from common.run.parts import Parts
from tests.common.fakes import manifest

V1, V2 = "wan2.2-animate-14b", "wan2.2-animate-2-14b"
CLIP, PICTURE = MediaHandle(path="/cache/a/clip.mp4"), MediaHandle(path="/cache/b/star.png")
JOB = "0d9f3a52-7f3c-4a3e-9a53-2f7a6a1c9b10"
VISITOR = SimpleNamespace(headers={}, session_hash="somebody")
MADE = Performance(pose_video=CLIP, face_video=CLIP, notices=["two people"])


def drawn(script: Any = (), made: Any = (), **shown: Any) -> Any:
    found = manifest(MODE, **shown)
    panel = AnimatePanel(FakeRunner(MODE, found, script, prepared=made), found)
    with gr.Blocks():
        panel.draw()
    return panel


def page(panel: Any, **changes: Any) -> tuple[Any, ...]:
    values = {name: component.value for name, component in panel.inputs.components.items()}
    changes = {"image_picture": PICTURE, "video": CLIP, **changes}
    assert changes.keys() <= values.keys()
    return tuple((values | changes).values())


def reshaped(panel: Any, key: str, mode: str = "animate", retarget: bool = False) -> dict[str, Any]:
    """What is drawn for a model and a task: the menu, and whether each group is there."""
    menu, about, *groups = asyncio.run(panel._reshaped(key, mode, retarget))
    visible = {name: update["visible"] for name, update in zip(panel.groups, groups, strict=True)}
    return {"menu": menu, "about": about, **visible}


# ------------------------------------------------------------------ what is there


def test_a_model_that_looks_for_itself_has_nothing_that_is_made_for_it() -> None:
    there = reshaped(drawn(weights="wan"), V2)
    assert there["menu"]["visible"] is False and there["menu"]["value"] == "animate"
    gone = {"look", "own", "outputs", "preprocessor", "relight", "prev_segment_conditioning_frames", *OWN}
    assert not any(there[name] for name in gone) and there["no_look"]


@pytest.mark.parametrize("mode", ["animate", "replace"])
def test_the_scene_belongs_to_replacing_alone(mode: str) -> None:
    there = reshaped(drawn(weights="wan"), V1, mode)
    scene = {there[name] for name in ("background_video", "mask_video", "relight")}
    assert scene == {mode == "replace"}
    assert there["pose_video"] and there["face_video"] and there["look"] and there["outputs"]
    assert there["menu"]["value"] == mode


def test_the_menu_has_upstreams_three() -> None:
    there = reshaped(drawn(weights="wan"), V1, retarget=True)
    assert there["menu"]["choices"] == [
        ("Animate", "animate"), ("Pose retarget", "retarget"), ("Replace (keeps the scene)", "replace"),
    ]  # fmt: skip
    assert there["menu"]["value"] == "retarget" and "proportions" in there["about"]


def test_nano_offers_nothing_that_has_no_nano() -> None:
    panel = drawn(weights="nano")
    there = reshaped(panel, V1, "replace")
    assert not there["relight"] and not there["preprocessor"] and there["background_video"]
    assert [key for _, key in panel.inputs.components["checkpoint"].choices] == [V1]
    assert panel.quality.visible is False


def test_who_finds_the_pose_is_called_as_the_catalogue_does() -> None:
    labels = {key: label for label, key in drawn(weights="wan").inputs.components["preprocessor"].choices}
    assert labels["vitpose"].startswith("ViTPose-H with YOLOv10 ")
    assert labels["vitpose"].startswith(ANNOTATORS["vitpose"].name)


def test_what_is_hidden_is_not_sent() -> None:
    panel = drawn(weights="wan")
    own = dict.fromkeys(OWN, CLIP) | {"relight": True, "retarget": True, "animate_mode": "replace"}
    replaced = panel.values(page(panel, **own))
    assert replaced["mask_video"] == CLIP and replaced["relight"] and "retarget" not in replaced
    animated = panel.values(page(panel, **{**own, "animate_mode": "animate"}))
    assert animated["pose_video"] == CLIP and animated["retarget"]
    assert not {"mask_video", "background_video", "relight"} & animated.keys()
    second = panel.values(page(panel, **own, checkpoint=V2))
    hidden = {*OWN, "relight", "retarget", "preprocessor", "prev_segment_conditioning_frames"}
    assert second["animate_mode"] == "animate" and not hidden & second.keys()
    assert panel.preview_plan(panel.initial, second).checkpoint == V2


# ------------------------------------------------------------------ sizes and lengths


def test_the_size_takes_its_shape_from_the_video_and_keeps_its_quality() -> None:
    panel = drawn(weights="wan")
    tall = MediaHandle(path="-", width=1080, height=1920)
    for now, then in (("832x480", "480x832"), ("1280x720", "720x1280")):
        assert asyncio.run(panel._suggest_resolution(tall, V1, now)) == then
    square = MediaHandle(path="-", width=500, height=500)
    assert asyncio.run(panel._suggest_resolution(square, V1, "1280x720")) == "960x960"
    assert asyncio.run(panel._suggest_resolution(square, V1, "832x480")) == "832x480"


def test_low_and_medium_are_the_sizes_of_the_brief() -> None:
    panel = drawn(weights="wan")
    assert [label for label, _ in panel.quality.choices] == [LOW, MEDIUM] == ["Low (480p)", "Medium (720p)"]
    assert asyncio.run(panel._sized(MEDIUM, V1, "480x832")) == "720x1280"
    assert asyncio.run(panel._sized(LOW, V1, "1280x720")) == "832x480"
    assert asyncio.run(panel._qualities(V1, "720x1280"))["value"] == MEDIUM
    none = asyncio.run(panel._qualities(V2, "1280x720"))  # as it is while the page has yet to follow
    assert none["visible"] is False and none["choices"] == [none["value"]] == [LOW]


def test_the_duration_goes_from_one_second_to_twenty() -> None:
    duration = drawn(weights="wan").inputs.components["duration"]
    assert (duration.minimum, duration.maximum) == (1, 20)
    assert drawn(weights="nano").inputs.components["duration"].minimum == 0.1


def test_the_video_decides_the_length_unless_somebody_does() -> None:
    panel = drawn(weights="wan")
    long = CLIP.model_copy(update={"seconds": 9.0})
    for ticked, frames in ((True, 270), (False, 77)):
        values = panel.values(page(panel, whole_clip=ticked, video=long))
        assert panel.preview_plan(panel.initial, values).num_frames == frames


# ------------------------------------------------------------------ the label


def test_the_prompt_may_stay_empty() -> None:
    panel = drawn()
    label = asyncio.run(panel._relabel(*page(panel)))
    assert "Still needed" not in label and "⌚" in label


def test_what_is_missing_is_a_character_and_a_video_or_all_that_is_read_of_it() -> None:
    panel = drawn()
    assert "Still needed: character, driving video" in asyncio.run(
        panel._relabel(*page(panel, image_picture=None, video=None))
    )
    own = {"pose_video": CLIP, "face_video": CLIP, "video": None}
    assert "Still needed" not in asyncio.run(panel._relabel(*page(panel, **own)))
    replacing = asyncio.run(panel._relabel(*page(panel, **own, animate_mode="replace")))
    assert "Still needed: driving video" in replacing


def test_the_label_counts_segments_and_names_the_tier() -> None:
    zero = Backend(device="cuda", name="ZeroGPU", memory_bytes=96 * 2**30, gpu_size="xlarge")
    panel = drawn(weights="wan", backend=zero)
    values = panel.values(page(panel, whole_clip=False, num_frames=229))
    plan = panel.preview_plan(panel.initial, values)
    label = texts.label(plan, zero)
    assert "20 steps × 3 segments" in label and "· xlarge" in label
    assert f"up to {plan.gpu_duration} s of work in each of 3 calls on a whole card" in label


# ------------------------------------------------------------------ segments


def steps(upto: int, of: int = 6, segments: int = 3) -> list[Any]:
    """The events of a job up to a step: each segment is loaded for, sampled and kept."""
    each = of // segments
    events: list[Any] = []
    for index in range(1, upto + 1):
        segment = (index - 1) // each + 1
        if (index - 1) % each == 0:
            events.append((None, Stage(name="load", text="Loading")))
        events.append((None, Step(index=index, total=of, segment=segment, segments=segments)))
    return events


def kept(events: list[Any]) -> Parts:
    parts = Parts()
    for _, event in events:
        parts = parts.after(event)
    return parts


def test_a_segment_is_kept_once_something_comes_after_it() -> None:
    assert [kept(steps(n)).kept for n in (1, 2, 3, 4, 5, 6)] == [0, 0, 1, 1, 2, 2]
    loading: Event = Stage(name="load", text="Loading")
    decoding: Event = Stage(name="decode", text="Decoding")
    assert kept([*steps(2), (None, decoding)]).words == ""
    assert kept([*steps(2), (None, decoding), (None, loading)]).words == "1 of 3 segments is kept"
    assert kept([*steps(4), (None, loading)]).words == "2 of 3 segments are kept"
    assert kept([(None, Step(index=3, total=4))]) == Parts()


def test_the_card_counts_steps_over_all_segments() -> None:
    card = Card().after(Step(index=3, total=6, segment=2, segments=3))
    assert "Segment 2 of 3 · step 3 of 6" in card.card() and "width:50.0%" in card.card()


def done() -> tuple[MediaHandle, Done]:
    plan: Plan = MODE.plan(MODE.parse({"image": PICTURE, "video": CLIP, "seed": 7}))
    made = Lineage(request={}, plan=plan, seed=7, versions={}, git_sha="", created="")
    return MediaHandle(path="/a.mp4"), Done(plan=plan, seed=7, seconds=1, lineage=made, sha256="0" * 64)


def run(panel: Any, visitor: Any = VISITOR, **changes: Any) -> list[Any]:
    async def go() -> list[list[Any]]:
        return [u async for u in panel._generate(visitor, JOB, "", False, *page(panel, **changes))]

    return asyncio.run(go())[-1]


@pytest.mark.parametrize("error", [Cancelled(), GpuError("aborted")])
def test_a_job_that_ended_early_is_asked_for_again_with_its_seed(error: Exception) -> None:
    panel = drawn([*steps(3), error])
    card, seed = (last := run(panel))[2], last[6]
    assert "1 of 3 segments is kept; Generate again goes on from there." in card
    assert panel.runner.asked[0]["seed"] == seed >= 0
    run(panel)
    assert panel.runner.asked[1]["seed"] == seed
    run(panel, prompt="something else")
    assert panel.runner.asked[2]["seed"] != seed
    run(panel, SimpleNamespace(headers={}, session_hash="another"))
    assert panel.runner.asked[3]["seed"] != seed


def test_a_job_stopped_before_it_got_further_still_has_what_it_had() -> None:
    panel = drawn([*steps(5), Cancelled()])
    seed = run(panel)[6]
    panel.runner.script = [(None, Stage(name="prepare", text="Opening")), Cancelled()]
    assert "2 of 3 segments are kept" in run(panel)[2]
    panel.runner.script = [done()]
    run(panel)
    assert [asked["seed"] for asked in panel.runner.asked] == [seed] * 3
    run(panel)
    assert panel.runner.asked[3]["seed"] != seed, "that one came to its end"


def test_nothing_kept_is_nothing_to_go_on_from() -> None:
    panel = drawn([*steps(2), Cancelled()])
    assert "kept" not in run(panel)[2]
    run(panel)
    assert panel.runner.asked[0]["seed"] != panel.runner.asked[1]["seed"]


def test_a_seed_that_was_chosen_stays() -> None:
    panel = drawn([*steps(3), Cancelled()])
    assert run(panel, seed=5, randomize=False)[6] == 5
    assert panel.runner.asked[0]["seed"] == 5


def test_a_random_seed_goes_on_whatever_the_slider_shows_and_a_chosen_one_does_not() -> None:
    panel = drawn([*steps(3), Cancelled()])
    seed = run(panel, seed=5)[6]
    run(panel, seed=seed)  # the slider has followed, Randomize is on
    run(panel, seed=seed + 1)
    assert [asked["seed"] for asked in panel.runner.asked] == [seed] * 3
    run(panel, seed=seed + 1, randomize=False)
    assert panel.runner.asked[3]["seed"] == seed + 1
    run(panel)
    assert panel.runner.asked[4]["seed"] == seed, "that one was another job"


def test_a_random_job_that_was_ended_by_its_seed_is_not_made_once_more() -> None:
    panel = drawn([*steps(3), Cancelled()])
    seed = run(panel)[6]
    panel.runner.script = [(None, Stage(name="prepare", text="Opening")), Cancelled()]
    assert "1 of 3 segments is kept" in run(panel, seed=seed, randomize=False)[2]
    panel.runner.script = [done()]
    run(panel, seed=seed, randomize=False)
    run(panel)
    assert panel.runner.asked[2]["seed"] == seed != panel.runner.asked[3]["seed"]


# ------------------------------------------------------------------ the intermediate videos


def looked(updates: Any) -> list[list[Any]]:
    async def go() -> list[list[Any]]:
        return [update async for update in updates]

    return asyncio.run(go())


def test_the_intermediate_videos_can_be_seen_before_generate() -> None:
    reading = Stage(name="prepare", text="Reading the performance", done=12, total=60)
    panel = drawn(made=[reading, MADE])
    first, last = looked(panel._prepare(VISITOR, JOB, *page(panel)))
    assert "Reading the performance · 12 of 60" in first[0] and first[3:] == [gr.skip()] * 7
    said, look, halt, notes, accordion, scene, *clips = last
    assert said == "" and look["interactive"] and not halt["visible"]
    assert "two people" in notes and accordion["open"] and not scene["visible"]
    assert clips == [CLIP, CLIP, None, None]
    assert panel.runner.asked == [], "nothing was generated"


def test_replacing_shows_the_scene_too() -> None:
    panel = drawn(made=[MADE.model_copy(update={"background_video": CLIP, "mask_video": CLIP})])
    *_, last = looked(panel._prepare(VISITOR, JOB, *page(panel, animate_mode="replace")))
    assert last[5]["visible"] and last[6:] == [CLIP] * 4


def test_what_cannot_be_read_is_told_where_it_was_asked_for() -> None:
    panel = drawn(made=[GpuError("nobody is in the video")])
    ((said, look, _, *rest),) = looked(panel._prepare(VISITOR, JOB, *page(panel)))
    assert "nobody is in the video" in said and look["interactive"]
    assert all(update == gr.skip() for update in rest)


def test_looking_can_be_stopped() -> None:
    panel = drawn(made=[Stage(name="prepare", text="Reading", done=1, total=9), MADE])

    async def go() -> list[list[Any]]:
        seen = []
        async for update in panel._prepare(VISITOR, JOB, *page(panel)):
            seen.append(update)
            if len(seen) == 1:
                assert await panel._stop_looking(JOB) == [gr.skip()] * 3, "it says so itself"
        return seen

    last = asyncio.run(go())[-1]
    assert "Stopped." in last[0] and last[1]["interactive"] and last[6:] == [gr.skip()] * 4
    assert "Stopped." in asyncio.run(panel._stop_looking("another"))[0]


def test_a_finished_job_shows_what_it_was_made_from() -> None:
    panel = drawn([done()], made=[MADE])
    assert looked(panel._show_made(VISITOR)) == []
    run(panel)
    ((notes, accordion, _, *clips),) = looked(panel._show_made(VISITOR))
    assert "two people" in notes and clips[0] == CLIP and accordion == gr.skip()
    assert looked(panel._show_made(VISITOR)) == [], "once for each job"
    panel.runner.script = [Cancelled()]
    run(panel)
    assert looked(panel._show_made(VISITOR)) == []
    panel.runner.script = [done()]
    run(panel, checkpoint=V2)
    assert looked(panel._show_made(VISITOR)) == [], "nothing is read for it"


def test_the_other_modes_keep_their_own_preparation() -> None:
    assert MODES["vace"].prepared is Control and MODES["animate"].prepared is Performance
    assert set(animate.LABELS) == set(OWN) == {n for n in Performance.model_fields if n != "notices"}
    assert CHECKPOINTS[V1].segments and CHECKPOINTS[V2].segments
