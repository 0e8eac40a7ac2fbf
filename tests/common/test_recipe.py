"""Recipes: what a document may say, what is refused and in which words, and what changes with one knob."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from common import recipe as recipes
from common.errors import InputError
from common.recipe import Recipe, Source, Step, read

DIGEST = "ab" * 32
T2V: dict[str, Any] = {"mode": "t2v", "request": {"prompt": "a red circle"}, "decided": {"seed": 3}}
I2V: dict[str, Any] = {
    "mode": "i2v", "request": {"prompt": "it moves", "image_from": "last"}, "decided": {"seed": 4, "num_frames": 17},
    "sources": [{"slot": "image", "step": 1}],
}  # fmt: skip
V2V: dict[str, Any] = {
    "mode": "v2v", "request": {"prompt": "a blue circle", "strength": 0.8}, "decided": {"seed": 5, "num_frames": 17},
    "sources": [{"slot": "video", "step": 2}],
}  # fmt: skip


def document(*steps: dict[str, Any], **more: Any) -> str:
    return json.dumps({"wan_recipe": 1, "name": "three", "steps": list(steps), **more})


def but(step: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {**step, **other}


def test_a_recipe_is_written_and_read_back() -> None:
    recipe = read(document(T2V, I2V, V2V))
    assert read(recipe.written()) == recipe
    assert json.loads(recipe.written())["wan_recipe"] == 1 and [s.mode for s in recipe.steps] == ["t2v", "i2v", "v2v"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "recipe is not readable as JSON"),
        ("{", "recipe is not readable as JSON"),
        ("[]", "recipe is not valid"),
        ("[" * 100_000, "recipe is not readable as JSON: invalid json: recursion limit exceeded"),
        (" " * 10_000_000, "recipe must be at most 1000 kB"),
        ("{}", "steps is missing"),
        (document(), "steps is not valid"),
        (document(T2V, wan_recipe=2), "wan_recipe is not valid"),
        (document(T2V, run="rm"), "run is nothing that a recipe has"),
        (document(T2V, name="a\nb"), "name is not valid: value error, must be one line"),
        (document(T2V, name="a\0b"), "name is not valid"),
        (document(T2V, name="x" * 201), "name is not valid: string should have at most 200"),
        (document(but(T2V, mode="t9v")), "step 1 mode is not valid"),
        (document(but(T2V, path="/etc/passwd")), "step 1 path is nothing that a recipe has"),
        (document(but(T2V, weights="other")), "step 1 weights is not valid"),
        (document({"mode": "t2v"}), "step 1 request is missing"),
        (document(but(T2V, request={"prompt": {"path": "x"}})), "step 1 request prompt"),
        (document(but(T2V, request={"prompt": "a\0b"})), "step 1 (t2v) cannot be asked for: prompt is not valid"),
        (document(but(T2V, request={"prompt": "x" * 30_000})), "at most 20000 characters"),
        (document(but(T2V, request={"prompt": "x", "foo": 1})), "(t2v) asks for foo, which is no input of t2v"),
        (document(but(T2V, decided={"foo": 1})), "step 1 (t2v) asks for foo"),
        (document(but(T2V, decided={"seed": "x"})), "step 1 (t2v) cannot be asked for: seed"),
        (document(but(T2V, decided={"seed": 10**30})), "step 1 (t2v) cannot be asked for: seed"),
        (document(T2V, but(I2V, request={"prompt": "x", "image": "/etc/passwd"})), "must not name a file for image"),
        (document(T2V, but(I2V, sources=[{"slot": "image", "step": 2}])), "step 2 (i2v) must take image from an"),
        (document(but(I2V, sources=[{"slot": "image", "step": 2}]), T2V), "step 1 (i2v) must take image from an"),
        (document(T2V, but(I2V, sources=[{"slot": "image", "step": 0}])), "step 2 sources 0 step is not valid"),
        (document(T2V, but(I2V, sources=[{"slot": "video", "step": 1}])), "has no media slot video; it has image"),
        (document(but(T2V, sources=[{"slot": "image", "sha256": DIGEST}])), "no media slot image; it takes no media"),
        (document(T2V, but(I2V, sources=[{"slot": "image", "step": 1}] * 2)), "fills image twice"),
        (document(but(I2V, sources=[{"slot": "image"}])), "either the step or the sha256"),
        (document(T2V, but(I2V, sources=[{"slot": "image", "step": 1, "sha256": DIGEST}])), "either the step or"),
        (document(but(I2V, sources=[{"slot": "image", "sha256": "../../etc/passwd"}])), "sources 0 sha256 is not"),
        (document(but(I2V, sources=[{"slot": "image", "path": "/etc/passwd"}])), "step 1 sources 0 path is nothing"),
        (document(T2V, T2V), "step 1 (t2v) leads nowhere"),
        (document(*[T2V] * 17), "steps must have at most 16 items"),
    ],
)  # fmt: skip
def test_what_is_broken_is_said_in_one_line(text: str, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(InputError) as caught:
        read(text)
    assert said in caught.value.text and "\n" not in caught.value.text
    assert len(caught.value.text) < 700 and time.monotonic() - began < 2


def step(**more: Any) -> Step:
    return read(document(but(T2V, **more))).steps[0]


def test_what_was_decided_holds_where_nothing_was_asked() -> None:
    asked = {"prompt": "a", "num_frames": 5}
    made = step(decided={"seed": 3, "num_inference_steps": 8, "num_frames": 17}, request=asked)
    assert made.asked() == {"prompt": "a", "seed": 3, "num_inference_steps": 8, "num_frames": 5}


def test_a_video_that_follows_a_clip_is_as_long_as_the_clip() -> None:
    steps = read(document(T2V, I2V, V2V)).steps
    assert "num_frames" in steps[1].asked(), "a picture says nothing of a length"
    assert "num_frames" not in steps[2].asked()
    chosen = but(V2V, request={**V2V["request"], "num_frames": 9})
    assert read(document(T2V, I2V, chosen)).steps[2].asked()["num_frames"] == 9


def test_a_changed_value_is_asked_for_and_an_empty_one_decided_anew() -> None:
    made = step(decided={"seed": 3, "num_frames": 17, "width": 128, "height": 128})
    changed = made.with_values({"seed": 9, "num_frames": None})
    assert changed.asked() == {"prompt": "a red circle", "seed": 9, "width": 128, "height": 128}
    assert made.asked()["seed"] == 3, "the one that it was made of is as it was"


def test_another_preset_brings_its_own_steps_but_keeps_what_somebody_chose() -> None:
    """A page sends all that it shows; what it shows is the preset's own unless somebody moved it."""
    own = {"num_inference_steps": 4, "guidance_scale": 1.0, "flow_shift": 5.0, "width": 832, "height": 480}
    made = step(
        weights="wan",
        request={"prompt": "a", "preset": "fast", "num_frames": 33, **own},
        decided={"seed": 3, "checkpoint": "wan2.1-t2v-14b", "negative_prompt": "x"},
    )
    quality = made.with_values({"preset": "quality"})
    plan = made.of.plan(made.of.parse(quality.asked()), weights="wan")
    bare = {"prompt": "a", "preset": "quality", "checkpoint": "wan2.1-t2v-14b"}
    fresh = made.of.plan(made.of.parse(bare), weights="wan")
    assert (plan.checkpoint, plan.preset, plan.num_inference_steps) == ("wan2.1-t2v-14b", "quality", 30)
    assert (plan.guidance_scale, plan.flow_shift) == (fresh.guidance_scale, fresh.flow_shift)
    assert (plan.num_frames, plan.seed) == (33, 3)
    moved = made.with_values({"num_inference_steps": 6}).with_values({"preset": "quality"})
    assert moved.asked()["num_inference_steps"] == 6


def test_another_checkpoint_or_other_weights_bring_their_own_sizes() -> None:
    sizes = {"width": 832, "height": 480}
    made = step(
        weights="wan",
        request={"prompt": "a", "preset": "quality", **sizes},
        decided={"seed": 3, "checkpoint": "wan2.1-t2v-14b", "num_frames": 81, "num_inference_steps": 30, **sizes},
    )
    other = made.with_values({"checkpoint": "wan2.2-ti2v-5b"})
    assert other.asked() == {"prompt": "a", "preset": "quality", "seed": 3, "checkpoint": "wan2.2-ti2v-5b"}
    nano = made.with_weights("nano")
    assert nano.asked() == {"prompt": "a", "preset": "quality", "seed": 3, "checkpoint": "wan2.1-t2v-14b"}
    assert nano.of.plan(nano.of.parse(nano.asked()), weights="nano").width == 128
    assert made.with_weights("wan") is made


def test_other_media_let_the_mode_decide_what_to_make_of_them() -> None:
    vace = {
        "mode": "vace", "request": {"prompt": "a"}, "decided": {"seed": 1, "submode": "plain", "num_frames": 17},
        "sources": [
            {"slot": "video", "sha256": DIGEST}, *({"slot": "reference_images", "sha256": c * 64} for c in "cab")
        ],
    }  # fmt: skip
    made = read(document(vace)).steps[0]
    masked = made.with_sources("mask", [Source(slot="mask", sha256=DIGEST)])
    assert "submode" not in masked.decided and masked.decided["seed"] == 1
    order = [s.sha256 and s.sha256[0] for s in masked.sources if s.slot == "reference_images"]
    assert order == ["c", "a", "b"]
    assert [s.slot for s in made.with_sources("reference_images", []).sources] == ["video"]


def test_every_mode_and_input_can_stand_in_a_recipe() -> None:
    for key, mode in recipes.MODES.items():
        slots = [{"slot": s.name, "sha256": DIGEST} for s in mode.slots]
        read(document({"mode": key, "request": {"prompt": "a"}, "sources": slots}))


def test_a_recipe_made_by_hand_may_be_short() -> None:
    made = read('{"wan_recipe": 1, "steps": [{"mode": "t2v", "request": {"prompt": "a"}}]}')
    assert made == Recipe(steps=[Step(mode="t2v", request={"prompt": "a"})])
