"""A request spread over seeds, prompts, choices and values: how many, in which order, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from common.catalog import CHECKPOINTS
from common.contract import MAX_SEED
from common.errors import InputError
from common.modes.all import MODES
from common.run.batch import SIZE, Member, Spread, choices, members, seconds, sweepable
from tests.common.fakes import manifest
from tests.fuzz.nasty import NUMBERS, ODD, WORDS

T2V = MODES["t2v"]
RED = "a red circle"


def spread(asked: dict[str, Any], /, *, weights: str = "nano", mode: Any = T2V, **how: Any) -> list[Member]:
    given = {"seeds": 1, "prompts": "", "setting": "", "values": "", **how}
    return members(mode, manifest(mode, weights=weights), asked, Spread.read(*given.values()))


def labels(found: list[Member]) -> list[str]:
    return [one.label for one in found]


def test_a_given_seed_is_followed_by_the_next_ones() -> None:
    found = spread({"prompt": RED, "seed": MAX_SEED - 1}, seeds=3)
    assert [one.values["seed"] for one in found] == [MAX_SEED - 1, MAX_SEED, 0]
    assert labels(found) == [f"seed {MAX_SEED - 1}", f"seed {MAX_SEED}", "seed 0"]
    assert [one.plan.seed for one in found] == [MAX_SEED - 1, MAX_SEED, 0]


def test_random_seeds_are_drawn_once_and_differ() -> None:
    def few(numbers: Iterator[int]) -> list[Member]:
        how = Spread(3, (), "num_inference_steps", ("2", "4"))
        return members(T2V, manifest(T2V), {"prompt": RED}, how, draw=lambda: next(numbers))

    found = few(iter([5, 5, 7, 5, 9, 11]))
    assert [one.values["seed"] for one in found] == [5, 7, 9] * 2, "the same for each value, to compare them"
    assert [one.values for one in few(iter([5, 5, 7, 5, 9, 11]))] == [one.values for one in found]
    drawn = [one.values["seed"] for one in spread({"prompt": RED, "seed": -1}, seeds=24)]
    assert len({*drawn}) == 24 and all(0 <= seed <= MAX_SEED for seed in drawn)


def test_prompts_choices_values_and_seeds_multiply_in_that_order() -> None:
    found = spread(
        {"prompt": "not this one", "seed": 1}, seeds=2, prompts="a {red|blue} circle\n\n  a star ",
        setting="num_inference_steps", values="2, 4,4;",
    )  # fmt: skip
    assert len(found) == 3 * 2 * 2
    asked = [(o.values["prompt"], o.values["num_inference_steps"], o.values["seed"]) for o in found]
    prompts = ("a red circle", "a blue circle", "a star")
    assert asked == [(prompt, steps, seed) for prompt in prompts for steps in (2, 4) for seed in (1, 2)]
    assert found[0].label == "a red circle · Num inference steps 2 · seed 1"
    assert len({*labels(found)}) == len(found)
    assert [one.plan.num_inference_steps for one in found[:4]] == [2, 2, 4, 4]


def test_choices_alone_are_named_by_what_was_chosen() -> None:
    found = spread({"prompt": "a {red|blue} circle on {gray|navy|black}", "seed": 3})
    assert [one.values["prompt"] for one in found][:2] == ["a red circle on gray", "a red circle on navy"]
    assert labels(found) == [f"{c}, {b}" for c in ("red", "blue") for b in ("gray", "navy", "black")]


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a {red|blue circle", "brace without its other half"),
        ("a red} circle", "brace without its other half"),
        ("a }red{ circle", "brace without its other half"),
        ("a {red|{dark|light} blue} circle", "braces within braces"),
        ("a {red|} circle", "empty choice"),
        ("a {} circle", "empty choice"),
        ("a {red} circle", "nothing to choose"),
    ],
)
def test_braces_that_make_no_choice_are_told_in_words(prompt: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as told:
        spread({"prompt": prompt})
    assert "{red|blue}" in str(told.value) and told.value.field == "prompt"


@pytest.mark.parametrize(
    ("how", "count"),
    [
        ({"seeds": 9, "setting": "num_inference_steps", "values": "1,2,3"}, "27"),
        ({"prompts": "\n".join(f"a {n}" for n in range(25))}, "25"),
        ({"prompts": "{a|b}" * 3000}, "more than a million"),
        ({"setting": "flow_shift", "values": ",".join(map(str, range(1, 26)))}, "25"),
    ],
)
def test_more_than_a_batch_may_have_is_counted_not_made(how: dict[str, Any], count: str) -> None:
    with pytest.raises(InputError, match=f"at most 24 clips; got {count}, take fewer"):
        spread({"prompt": RED}, **how)
    assert len(spread({"prompt": RED}, seeds=24)) == 24


@pytest.mark.parametrize(
    ("setting", "values", "words"),
    [
        ("seed", "1", "setting is none that t2v has"),
        ("strength", "0.5", "setting is none that t2v has"),
        ("prompt", "x", "setting is none that t2v has"),
        ("num_inference_steps", "", "values are needed"),
        ("", "3", "setting must be chosen"),
        ("num_inference_steps", "4, 900", "num_inference_steps must be between 1 and 50"),
        ("num_inference_steps", "four", "num_inference_steps is not valid"),
        ("guidance_scale", "inf", "guidance_scale is not valid"),
        ("num_frames", "16", "num_frames must be 4k"),
        (SIZE, "big", "values must be sizes"),
        (SIZE, "999x3", "must be a Wan-Nano size"),
        ("checkpoint", "wan9", "values must be known"),
        ("preset", "slow", "values must be known"),
    ],
)
def test_what_cannot_be_swept_is_refused_with_the_way_out(setting: str, values: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        spread({"prompt": RED}, setting=setting, values=values)


def test_a_member_that_breaks_a_rule_is_named() -> None:
    with pytest.raises(InputError, match=r"got 51.*in “Num inference steps 51”"):
        spread({"prompt": RED, "seed": 1}, setting="num_inference_steps", values="4, 51")


def test_another_model_or_preset_brings_its_own_numbers() -> None:
    page = {"prompt": RED, "num_inference_steps": 4, "guidance_scale": 1.0, "flow_shift": 5.0, "seed": 1}
    quality = spread(page, setting="preset", values="fast, quality")
    assert [one.plan.num_inference_steps for one in quality] == [4, 24]
    assert labels(quality) == ["Fast", "Quality"]
    sized = {**page, "width": 832, "height": 480, "num_frames": 81}
    every = ", ".join(CHECKPOINTS[key].name for key in T2V.checkpoints)
    found = spread(sized, weights="wan", setting="checkpoint", values=every)
    assert [one.plan.checkpoint for one in found] == list(T2V.checkpoints)
    assert {(one.plan.width, one.plan.height) for one in found} == {(832, 480), (1280, 704)}
    assert all(4.9 < one.plan.clip_seconds < 5.2 for one in found), "as long, at each model's own rate"


@pytest.mark.parametrize("key", list(MODES))
def test_every_mode_sweeps_its_own_settings_alone(key: str) -> None:
    mode = MODES[key]
    names = sweepable(mode)
    assert {"checkpoint", "preset", SIZE, "num_inference_steps"} <= {*names}
    assert not {"seed", "width", "height", "prompt", "image", "video", "image_from"} & {*names}
    assert all(name in mode.request_type.model_fields or name == SIZE for name in names)
    assert ("strength" in names) == (key == "v2v") and ("animate_mode" in names) == (key == "animate")


def test_what_a_choice_has_to_choose_from() -> None:
    animate = MODES["animate"]
    assert choices(animate, manifest(animate), "animate_mode") == ["animate", "replace"]
    assert choices(animate, manifest(animate), "retarget") == ["yes", "no"]
    assert choices(T2V, manifest(T2V), SIZE) == ["128x128", "192x128", "128x192"]
    assert choices(T2V, manifest(T2V), "flow_shift") == choices(T2V, manifest(T2V), "nothing") == []


@pytest.mark.parametrize("seeds", [0, -1, 25, 1.5, "3", None, True, float("nan"), float("inf"), 10**400, [1]])
def test_seeds_are_a_whole_number_of_a_few(seeds: Any) -> None:
    with pytest.raises(InputError, match="seeds must be a whole number from 1 to 24"):
        Spread.read(seeds, "", "", "")
    assert Spread.read(3.0, None, None, None) == Spread(3)


@pytest.mark.parametrize("value", [*WORDS, *NUMBERS, *ODD], ids=lambda value: type(value).__name__)
def test_whatever_is_sent_is_read_or_refused_in_words(value: Any) -> None:
    for given in ([value, "", "", ""], [1, value, "", ""], [1, "", value, "4"], [1, "", "flow_shift", value]):
        for base in ({"prompt": RED}, {"prompt": RED, "seed": value}, {"prompt": value}):
            try:
                found = members(T2V, manifest(T2V), base, Spread.read(*given))
            except InputError:
                continue
            assert 1 <= len(found) <= 24


def test_a_batch_takes_what_its_clips_take() -> None:
    plans = [one.plan for one in spread({"prompt": RED}, seeds=3)]
    assert seconds(plans) == pytest.approx(3 * plans[0].expected_seconds)
