"""What is offered instead of a job that does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from common import cost
from common.catalog import CHECKPOINTS
from common.contract import Backend, MediaHandle
from common.modes.all import MODES
from common.modes.offers import MOST, Offer, fits, offers
from common.placement import zerogpu
from tests.common.fakes import manifest

ZERO = zerogpu("xlarge")
FILE = MediaHandle(path="-")
QUALITY = {"prompt": "a fox", "checkpoint": "wan2.2-t2v-a14b", "preset": "quality"}


def offered(mode: str, values: dict[str, Any], backend: Backend = ZERO, **more: Any) -> list[Offer]:
    m = MODES[mode]  # type: ignore[index]
    return offers(m, manifest(m, backend=backend, weights="wan"), values, **more)


def test_the_smallest_change_comes_first_and_each_fits() -> None:
    found = offered("t2v", QUALITY)
    assert [list(o.changes) for o in found][:2] == [["preset"], ["num_frames"]]
    assert found[0].text == "Fast" and found[2].changes["checkpoint"] == "fastwan2.2-ti2v-5b"
    assert len(found) <= MOST
    assert all(o.plan.gpu_seconds <= cost.free_day() and o.plan.placement for o in found)


def test_what_is_offered_is_what_the_request_would_then_do() -> None:
    m = MODES["t2v"]
    shown = manifest(m, backend=ZERO, weights="wan")
    for offer in offered("t2v", {**QUALITY, "num_frames": 81, "width": 832, "height": 480}):
        again = m.plan_by(shown, {**QUALITY, **offer.changes})
        assert again.model_copy(update={"seed": 0}) == offer.plan.model_copy(update={"seed": 0})


def test_the_longest_that_fits_is_offered() -> None:
    m = MODES["t2v"]
    shorter = next(o for o in offered("t2v", QUALITY) if "num_frames" in o.changes)
    frames = shorter.changes["num_frames"]
    more = m.plan_by(manifest(m, backend=ZERO, weights="wan"), {**QUALITY, "num_frames": frames + 4})
    assert CHECKPOINTS["wan2.2-t2v-a14b"].law.allows(frames) and not fits(more)


def test_what_the_old_preset_had_set_is_not_kept() -> None:
    shown = {"num_inference_steps": 30, "guidance_scale": 4.0, "guidance_scale_2": 3.0, "flow_shift": 5.0}
    fast = offered("t2v", {**QUALITY, **shown})[0]
    assert (fast.text, fast.plan.num_inference_steps, fast.plan.guidance_scale) == ("Fast", 4, 1)


def test_nothing_is_offered_for_what_fits_or_breaks_a_rule() -> None:
    assert offered("t2v", {**QUALITY, "preset": "fast"}) == []
    assert offered("t2v", {**QUALITY, "num_frames": 80}) == []
    assert offered("t2v", QUALITY, Backend(device="cuda", name="H100", memory_bytes=80 * 10**9)) == []


def test_what_the_hub_said_is_left_counts() -> None:
    fast = {**QUALITY, "preset": "fast"}
    found = offered("t2v", fast, seconds=100)
    assert found and all(o.plan.gpu_seconds <= 100 for o in found)
    assert all("preset" not in o.changes for o in found), "it is Fast already"
    assert offered("t2v", fast, seconds=5) == []


def test_a_machine_that_is_too_small_is_offered_what_it_holds() -> None:
    large = zerogpu("large")
    values = {"image": FILE, "prompt": "a", "checkpoint": "wan2.2-i2v-a14b", "preset": "fast"}
    m = MODES["i2v"]
    assert m.plan_by(manifest(m, backend=large, weights="wan"), values).placement is None
    found = offered("i2v", values, large)
    assert found and all(o.plan.placement is not None for o in found)


def test_with_fast_where_fast_alone_is_not_enough() -> None:
    values = {"image": FILE, "prompt": "a", "checkpoint": "wan2.1-i2v-14b-720p", "preset": "quality"}
    found = offered("i2v", values)
    assert found and all(o.text.startswith("Fast, ") and o.plan.preset == "fast" for o in found)


def test_another_model_is_of_the_same_generation_and_takes_what_was_asked_along() -> None:
    portrait = {**QUALITY, "width": 480, "height": 832, "num_frames": 81}
    model = next(o for o in offered("t2v", portrait) if "checkpoint" in o.changes)
    row = CHECKPOINTS[model.plan.checkpoint]
    assert row.generation == "2.2" and model.plan.height > model.plan.width
    assert row.law.allows(model.plan.num_frames)
    assert model.plan.clip_seconds == pytest.approx(81 / 16, abs=0.1)


def test_a_smaller_size_has_the_same_shape() -> None:
    tight = Backend(device="cuda", name="small", memory_bytes=11 * 10**9)
    shapes = {
        (o.changes.get("width", 1) > o.changes.get("height", 0)) for o in offered("t2v", QUALITY, tight)
    }
    assert shapes <= {True}
    sizes = [o for o in offered("t2v", {**QUALITY, "checkpoint": "wan2.1-t2v-14b", "width": 1280, "height": 720})
             if "width" in o.changes and "checkpoint" not in o.changes]  # fmt: skip
    assert all(o.plan.width > o.plan.height and o.plan.width < 1280 for o in sizes)


def test_s2v_is_offered_fewer_clips() -> None:
    sound = MediaHandle(path="-", seconds=20)
    values = {"image": FILE, "audio": sound, "prompt": "a"}
    found = offered("s2v", values, seconds=2000)
    assert [set(o.changes) for o in found] == [{"num_clip"}] or found == []


@pytest.mark.parametrize("mode", list(MODES))
def test_no_mode_is_in_the_way(mode: str) -> None:
    m = MODES[mode]
    media = {slot.name: [FILE] if slot.many else FILE for slot in m.slots if slot.required}
    more = {"submode": "depth", "video": FILE} if mode == "vace" else {}
    more |= {"video": FILE} if mode == "animate" else {}
    for row in m.rows():
        for offer in offered(
            mode, {"prompt": "a", "checkpoint": row.key, "preset": "quality", **media, **more}
        ):
            assert fits(offer.plan)
