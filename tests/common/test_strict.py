"""What a request refuses before anything is done with it, and how an error shows what came."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.budgets import BUDGETS
from common.contract import MediaHandle
from common.errors import InputError, StudioError
from common.modes.all import MODES

HANDLE = {"path": "/x"}  # which may be anything
YES_OR_NO = {"hybrid", "join", "keep_source", "mask_invert", "retarget", "relight"}


def refused(mode: str, **values: Any) -> str:
    with pytest.raises(InputError) as told:
        MODES[mode].plan(MODES[mode].parse({"prompt": "a", **values}))  # type: ignore[index]
    assert len(told.value.text) < 1600
    told.value.text.encode()  # whatever came in, it can be sent back
    return told.value.text


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 20_001])
@pytest.mark.parametrize("field", ["prompt", "negative_prompt", "checkpoint", "preset"])
def test_text_that_no_file_or_answer_can_hold(field: str, text: str) -> None:
    assert refused("t2v", **{field: text}).startswith(field)


@pytest.mark.parametrize(
    ("mode", "field"),
    [(mode, name) for mode in MODES for name in MODES[mode].request_type.model_fields
     if name not in {slot.name for slot in MODES[mode].slots} | YES_OR_NO],
)  # fmt: skip
@pytest.mark.parametrize("value", [True, float("inf"), float("nan"), 2**64, -(2**64), "inf", "9" * 30])
def test_no_field_takes_truth_infinity_or_a_number_beyond_64_bits(mode: str, field: str, value: Any) -> None:
    media = {slot.name: [HANDLE] if slot.many else HANDLE for slot in MODES[mode].slots}  # type: ignore[index]
    mode_ = MODES[mode]  # type: ignore[index]
    values = {"prompt": "a", **media, "submode": "plain"} if mode == "vace" else {"prompt": "a", **media}
    try:
        plan = mode_.plan(mode_.parse(values | {field: value}))
    except InputError as told:
        assert len(told.text) < 1600
        return
    # Some fields are words, and these are words: they are kept as they are, or a notice tells of them.
    assert isinstance(value, str) and json.loads(plan.model_dump_json())


@pytest.mark.parametrize("source", ["magic", "MASK", "bbox ", "\0"])
@pytest.mark.parametrize("submode", ["gray", "outpainting", "swap_anything", "plain"])
def test_a_mask_source_that_does_not_exist_is_refused_everywhere(submode: str, source: str) -> None:
    assert refused("vace", submode=submode, video=HANDLE, mask_source=source).startswith("mask_source")


def test_a_mask_source_that_is_not_read_is_told() -> None:
    request = MODES["vace"].parse({"prompt": "a", "submode": "gray", "video": HANDLE, "mask_source": "bbox"})
    assert any("does not use mask_source" in n for n in MODES["vace"].plan(request).notices)


def test_numbers_may_still_be_typed() -> None:
    typed = {"num_frames": "17", "seed": "3", "guidance_scale": "4.5", "width": 128.0, "height": "128"}
    plan = MODES["t2v"].plan(MODES["t2v"].parse({"prompt": "a", **typed}))
    assert (plan.num_frames, plan.seed, plan.guidance_scale, plan.width) == (17, 3, 4.5, 128)
    assert MODES["i2v"].parse({"prompt": "a", "image": HANDLE, "hybrid": "true"}).hybrid is True  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "handle",
    [{"path": "a\0"}, {"path": "\ud800"}, {"path": "x" * 5000}, {**HANDLE, "frames": 10**18}, {**HANDLE, "fps": 0},
     {"path": ""}, {**HANDLE, "frames": True}, {**HANDLE, "fps": False}, {**HANDLE, "meta": {"a": "\0"}},
     {**HANDLE, "meta": {str(i): "" for i in range(9)}}, {**HANDLE, "frames": 10**6000},
     {**HANDLE, "fps": float("nan")}, {**HANDLE, "width": -1}, {**HANDLE, "seconds": float("inf")}, {"path": 7}, {}],
)  # fmt: skip
def test_a_handle_is_bounded(handle: dict[str, Any]) -> None:
    assert refused("i2v", image=handle).startswith("image")


@pytest.mark.parametrize("mode", MODES)
def test_no_text_and_no_list_of_any_mode_is_without_end(mode: str) -> None:
    for field in MODES[mode].request_type.model_fields:  # type: ignore[index]
        assert f"must be at most {BUDGETS.text_characters} characters" in refused(
            mode, **{field: "x" * 20_001}
        )
        assert f"must have at most {BUDGETS.list_items} items" in refused(mode, **{field: [0] * 10_000})
        assert refused(mode, **{field: 10**6000}).startswith(field)


def test_a_preset_is_the_same_word_wherever_it_is_read() -> None:
    request = MODES["i2v"].parse({"prompt": "a", "image": HANDLE, "preset": " FAST ", "hybrid": True})
    plan = MODES["i2v"].plan(request, weights="wan")
    assert plan.loras[0][0] == "hybrid-2.2-i2v" and not [n for n in plan.notices if "no effect" in n]


def test_a_handles_measures_do_no_harm() -> None:
    clip = MediaHandle(path="/x.mp4", frames=2**31 - 1, fps=0.001)
    assert MODES["v2v"].plan(MODES["v2v"].parse({"prompt": "a", "video": clip})).num_frames


def test_an_error_shows_what_came_as_text_and_not_without_end() -> None:
    told = InputError("x" * 9999, "must be short", got="\x1b[31m\ud800" + "y" * 500_000, hint="try less")
    assert InputError("a\nb", "is odd", got="c\nd").text == r"a\nb is odd; got c\nd"
    assert StudioError("two\nlines").text == "two\nlines"
    assert len(told.text) < 400 and "\x1b" not in told.text and "\\ud800" in told.text
    assert len(StudioError("z" * 500_000).text) < 1600
