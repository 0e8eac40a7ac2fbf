"""What shortcuts are worth, and where a plan takes them."""

from __future__ import annotations

import pytest

from common import memory
from common.catalog import CHECKPOINTS
from common.contract import Backend, Plan
from common.modes.animate import MODE as ANIMATE
from common.modes.t2v import MODE
from common.modes.vace import MODE as VACE
from common.shortcuts import Shortcuts

CARD = Backend(
    device="cuda", name="an H100", memory_bytes=85_000_000_000, capability=(9, 0), compiles=True, attention="fa3",
    step_cache=True,
)  # fmt: skip
KEY, MOE = "wan2.1-t2v-14b", "wan2.2-t2v-a14b"


def plan(backend: Backend = CARD, **values: object) -> Plan:
    asked = {"prompt": "a", "checkpoint": KEY, "preset": "quality", "width": 832, "height": 480} | values
    return MODE.plan(MODE.parse(asked), backend, weights="wan")


@pytest.mark.parametrize(("experts", "reused"), [(1, 10), (2, 8)])
def test_forwards_that_steps_are_worth(experts: int, reused: int) -> None:
    wanted = 2 * (24 - reused + reused / 40) + 6
    assert Shortcuts().forwards(30, 5.0, experts, 40) == pytest.approx(wanted)


def test_without_a_cache_only_guidance_is_left_out() -> None:
    assert Shortcuts(residual_diff_threshold=None).forwards(30, 5.0, 1, 40) == 54
    assert Shortcuts().forwards(3, 1.0, 1, 40) == 3


def test_quality_takes_them_where_blocks_are_compiled_and_is_expected_sooner() -> None:
    with_them, without = plan(), plan(CARD.model_copy(update={"step_cache": False}))
    assert with_them.placement and with_them.placement.shortcuts
    assert without.placement and not without.placement.shortcuts
    assert with_them.expected_seconds < 0.75 * without.expected_seconds
    assert with_them.placement.compile == without.placement.compile == "blocks"


@pytest.mark.parametrize(
    "other",
    [
        plan(preset="fast"),  # all of its four steps count
        plan(CARD.model_copy(update={"compiles": False})),  # as WAN_SPEED=exact has it
        plan(Backend(device="mps", name="Apple GPU", memory_bytes=120_000_000_000)),
        plan(checkpoint="wan2.1-t2v-1.3b"),
    ],
)
def test_nobody_else_takes_them(other: Plan) -> None:
    assert other.placement is not None and not other.placement.shortcuts


def test_where_there_is_no_room_for_what_is_kept_all_steps_are_computed_in_the_same_form() -> None:
    kept = memory.reused(CHECKPOINTS[MOE].architecture, memory.Shape(1280, 720, 81))
    assert kept == 2 * 5120 * 75_600 * 9
    seen = list[bool]()
    for have in range(20, 60):
        card = CARD.model_copy(update={"memory_bytes": have * 1_000_000_000})
        placed = plan(card, checkpoint=MOE, width=1280, height=720).placement
        if placed is not None and placed.compile == "blocks":
            seen.append(placed.shortcuts)
    assert seen == sorted(seen) and set(seen) == {False, True}


def test_animate_has_none_and_vace_reuses_nothing() -> None:
    for key in ANIMATE.checkpoints:
        assert all(preset.shortcuts is None for preset in CHECKPOINTS[key].presets.values())
    for key in VACE.checkpoints:
        found = [p.shortcuts for p in CHECKPOINTS[key].presets.values() if p.shortcuts]
        assert not any(s.reuses for s in found)
