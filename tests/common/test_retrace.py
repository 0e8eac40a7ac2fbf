"""From a result's lineage to its recipe, and what is said where a step would come out differently."""

from __future__ import annotations

from typing import Any

import pytest

from common.contract import Lineage, Parent, Placement
from common.errors import InputError
from common.modes.all import MODES
from common.recipe import Made, read
from common.retrace import differences, recipe_of

A, B, C = "a" * 64, "b" * 64, "c" * 64
CLIP, PICTURE = {"path": "b.mp4"}, {"path": "a.png"}


def lineage(mode: str, *parents: Parent, weights: str = "nano", **values: Any) -> Lineage:
    m = MODES[mode]  # type: ignore[index]
    request = m.parse({"prompt": "a red circle", "seed": -1, **values})
    kept = request.model_dump(mode="json", exclude={s.name for s in m.slots}, exclude_none=True)
    plan = m.plan(request, weights=weights)
    return Lineage(
        request=kept, plan=plan, seed=plan.seed, versions={"torch": "2.11.0"}, git_sha="d" * 40, revision="nano-1",
        created="now", parents=list(parents),
    )  # fmt: skip


def parent(role: str, digest: str, of: Lineage | None = None, mime: str = "video/mp4") -> Parent:
    return Parent(sha256=digest, role=role, mode=of and of.plan.mode, mime=mime, lineage=of)


def chain() -> Lineage:
    t2v = lineage("t2v")
    vace = lineage("vace", parent("video", A, t2v), parent("mask", C, mime="image/png"), video=CLIP, mask=PICTURE)
    picture = parent("image", C, mime="image/png")
    return lineage("animate", picture, parent("video", B, vace), image=PICTURE, video=CLIP)


def test_a_chain_becomes_steps_in_their_order_with_all_that_was_decided() -> None:
    made = chain()
    recipe = recipe_of(made, sha256="e" * 64)
    assert [s.mode for s in recipe.steps] == ["t2v", "vace", "animate"] and recipe.name == "t2v → vace → animate"
    assert [s.sha256 for s in recipe.steps] == [A, B, "e" * 64]
    vace, animate = recipe.steps[1:]
    assert [(s.slot, s.step, s.sha256, s.mime) for s in vace.sources] == [
        ("video", 1, None, ""), ("mask", None, C, "image/png"),
    ]  # fmt: skip
    assert [(s.slot, s.step) for s in animate.sources] == [("image", None), ("video", 2)]
    assert vace.decided["submode"] == "inpainting_mask", "what the media said is held"
    assert "seed" not in vace.request and animate.asked()["seed"] == made.seed
    assert read(recipe.written()) == recipe and "b.mp4" not in recipe.written()


def test_a_plan_of_the_recipe_is_the_plan_that_was() -> None:
    for mode, media in {
        "t2v": {}, "i2v": {"image": PICTURE}, "flf2v": {"image": PICTURE, "last_image": PICTURE},
        "v2v": {"video": CLIP}, "vace": {"video": CLIP}, "animate": {"image": PICTURE, "video": CLIP},
        "s2v": {"image": PICTURE, "audio": {"path": "a.mp3"}},
    }.items():  # fmt: skip
        for weights in ("nano", "wan"):
            for preset in ("fast", "quality"):
                parents = [parent(slot, C) for slot in media]
                made = lineage(mode, *parents, weights=weights, preset=preset, **media)
                (step,) = recipe_of(made).steps
                again = step.of.plan(step.of.parse({**step.asked(), **media}), weights=step.weights)
                now, then = (plan.model_dump(exclude={"notices"}) for plan in (again, made.plan))
                assert now == then, (mode, preset)
                assert differences(step, again, step.made) == []


def test_a_file_that_two_steps_use_is_one_step() -> None:
    t2v = lineage("t2v")
    v2v = lineage("v2v", parent("video", A, t2v), video=CLIP)
    both = lineage("animate", parent("image", A), parent("video", B, v2v), image=CLIP, video=CLIP)
    recipe = recipe_of(both)
    assert [s.mode for s in recipe.steps] == ["t2v", "v2v", "animate"]
    assert [(s.slot, s.step) for s in recipe.steps[2].sources] == [("image", 1), ("video", 2)]


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (lambda: lineage("i2v", parent("image", "../../etc/passwd"), image=PICTURE), "sha256 is not valid"),
        (lambda: lineage("i2v", parent("video", A), image=PICTURE), "has no media slot video"),
        (lambda: lineage("t2v").model_copy(update={"request": {"prompt": "a", "new": 1}}), "asks for new"),
        (lambda: lineage("t2v").model_copy(update={"request": {"prompt": {"a": 1}}}), "prompt"),
        (lambda: lineage("t2v").model_copy(update={"request": {"prompt": "a", "x" * 900: 1}}), "request"),
        (lambda: lineage("t2v").model_copy(update={"versions": {"a\n": "b"}}), "versions"),
        (
            lambda: lineage("v2v", parent("video", A, lineage("v2v", parent("video", A), video=CLIP)), video=CLIP),
            "goes in a circle",
        ),
    ],
)  # fmt: skip
def test_what_a_stranger_wrote_is_refused_in_one_line(of: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        recipe_of(of())
    assert said in caught.value.text and "\n" not in caught.value.text and len(caught.value.text) < 700


def test_more_steps_than_a_recipe_may_have_are_refused() -> None:
    made = lineage("t2v")
    for number in range(17):
        made = lineage("v2v", parent("video", f"{number:064}", made), video=CLIP)
    with pytest.raises(InputError, match="at most 16"):
        recipe_of(made)


def test_differences_are_said_in_words() -> None:
    made = lineage("t2v")
    form = {"precision": {"transformer": "bfloat16"}, "peak_bytes": 1, "weight_bytes": 1}
    here, there = Placement(**form), Placement(**{**form, "precision": {"transformer": "float8"}})
    made = made.model_copy(update={"plan": made.plan.model_copy(update={"placement": here})})
    (step,) = recipe_of(made).steps
    plan = made.plan.model_copy(update={"placement": there, "flow_shift": 9.0, "seed": 1})
    now = Made(versions={"torch": "2.12.0", "other": "1"}, git_sha="e" * 40, revision="nano-2")
    told = differences(step, plan, now, {"seed"})
    assert told == [
        f"flow_shift was {made.plan.flow_shift} and is now 9.0",
        "it was made with torch 2.11.0 (here 2.12.0), the code of dddddddd (here eeeeeeee)",
        "its weights were nano-1, and here they are nano-2",
        "it was computed with transformer bfloat16, sdpa attention, and here it is with transformer float8, "
        "sdpa attention",
    ]
