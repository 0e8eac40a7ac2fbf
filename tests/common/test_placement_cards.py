"""Which jobs several cards share, and what each of them holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli.machines import MACHINES, job
from common import memory
from common.catalog import CHECKPOINTS, Checkpoint, Resolution
from common.contract import Backend, Placement, Plan
from common.memory import Shape
from common.modes.all import MODES
from common.placement import place
from common.shortcuts import Shortcuts

T2V = CHECKPOINTS["wan2.1-t2v-14b"]
R720 = Resolution(1280, 720)
H100 = next(machine for name, machine in MACHINES if machine.compiles)


def cards(machine: Backend, count: int) -> Backend:
    return machine.model_copy(update={"cards": count})


def placed(row: Checkpoint, machine: Backend, size: Resolution | None = None) -> Placement:
    largest = row.sizes("wan")[0]
    found = place(row, "wan", machine, job(row, size or Resolution(largest.width, largest.height)))
    assert found is not None
    return found


@pytest.mark.parametrize("count", [2, 3, 8])
def test_each_card_holds_all_weights_and_its_share_of_the_work(count: int) -> None:
    one, shared = placed(T2V, H100, R720), placed(T2V, cards(H100, count), R720)
    assert (one.cards, one.shared) == (1, "")
    assert (shared.cards, shared.shared) == (count, f"{count} cards share each step.")
    assert shared.weight_bytes == one.weight_bytes and shared.peak_bytes <= one.peak_bytes
    assert shared.host_bytes == pytest.approx(count * one.host_bytes)
    assert (shared.precision, shared.compile, shared.attention) == (one.precision, one.compile, one.attention)


def test_denoising_is_divided_and_what_is_exchanged_counts() -> None:
    """By hand: 75,600 tokens of 5,120 numbers, three of them sent and come in bf16."""
    assert memory.exchanged(T2V.architecture, Shape(1280, 720, 81)) == 75_600 * 5120 * 12
    small = H100.model_copy(update={"memory_bytes": 33_000_000_000})
    one, eight = (placed(T2V, cards(small, count), R720) for count in (1, 8))
    away = "the text encoder leaves the GPU once it has read the prompt"
    assert away in one.why and away not in eight.why, "activations that it stood beside are an eighth"


def guided(row: Checkpoint, machine: Backend) -> Placement:
    found = place(row, "wan", machine, replace(job(row, R720), guided=True))
    assert found is not None
    return found


@pytest.mark.parametrize(("count", "halves"), [(1, False), (2, True), (3, False), (4, True)])
def test_an_even_number_makes_the_two_forwards_of_a_guided_step_at_once(count: int, halves: bool) -> None:
    machine = cards(H100, count)
    assert guided(T2V, machine).halves is halves and not placed(T2V, machine, R720).halves


def test_each_half_holds_what_so_many_cards_hold_or_all_share_a_forward() -> None:
    """Of all blocks but those at work away, activations are most."""
    wide, narrow = (H100.model_copy(update={"memory_bytes": n * 10**9}) for n in (14, 12))
    one, two, four = (guided(T2V, cards(wide, n)) for n in (1, 2, 4))
    assert two.halves and two.peak_bytes == one.peak_bytes > four.peak_bytes
    parts = guided(T2V, cards(narrow, 2))
    assert parts.shared == "2 cards share each step." and not parts.halves and parts.peak_bytes < two.peak_bytes


def test_a_half_keeps_what_it_reuses_of_one_forward_alone() -> None:
    """By hand: 75,600 tokens of 5,120 numbers in bf16: what the first block added, the others, and their input."""
    a, shape = T2V.architecture, Shape(1280, 720, 81)
    assert memory.reused(a, shape, branches=1) == 3 * 75_600 * 5120 * 2
    assert memory.reused(a, shape) == 5 * 75_600 * 5120 * 2


@pytest.mark.parametrize(("key", "why"), [
    ("wan2.2-animate-14b", "between its blocks stands what looks at a face"),
    ("wan2.2-s2v-14b", "between its blocks stands what listens"),
    ("wan2.2-animate-2-14b", "it keeps the whole driving video in each of its layers"),
])  # fmt: skip
def test_what_cannot_be_split_has_one_card(key: str, why: str) -> None:
    row = CHECKPOINTS[key]
    found, alone = placed(row, cards(H100, 4)), placed(row, H100)
    assert found.shared == f"One card of 4 makes it: {why}."
    assert found.model_copy(update={"shared": ""}) == alone


@pytest.mark.parametrize("key", ["wan2.1-t2v-1.3b", "wan2.2-ti2v-5b", "wan2.1-vace-14b", "wan2.2-i2v-a14b"])
def test_all_others_are_shared_by_any_number(key: str) -> None:
    for count in (2, 5, 7):
        assert placed(CHECKPOINTS[key], cards(H100, count)).cards == count


def test_what_waits_outside_waits_once_for_each() -> None:
    """341 GB for eight of them: with less they are not compiled."""
    wide, narrow = (H100.model_copy(update={"host_bytes": n * 10**9}) for n in (400, 300))
    assert placed(T2V, cards(wide, 8)).compile == "blocks" and placed(T2V, cards(narrow, 8)).compile == "none"


def test_what_two_cannot_hold_one_makes_and_reuses_no_step() -> None:
    """40 GB wait outside a card of 24, for each; cache-dit would ask the other, which does not work."""
    narrow = H100.model_copy(update={"memory_bytes": 24 * 10**9, "host_bytes": 60 * 10**9, "step_cache": True})
    asked = replace(job(T2V, Resolution(832, 480)), shortcuts=Shortcuts())
    found = place(T2V, "wan", cards(narrow, 2), asked)
    assert found is not None and (found.cards, found.offload, found.shortcuts) == (1, "group", False)
    assert "One card of 2 makes it: the weights do not fit all of them" in found.shared


def test_a_plan_says_it_and_takes_less_time() -> None:
    mode = MODES["t2v"]
    request = mode.parse({"prompt": "x", "checkpoint": T2V.key, "preset": "quality", "seed": 1})
    one, two, three = (mode.plan(request, cards(H100, count), weights="wan") for count in (1, 2, 3))
    said = "2 cards share each step: one half makes its forward with the prompt, the other that without."
    assert said in two.notices and "3 cards share each step." in three.notices
    assert not any("share each step" in text for text in one.notices)
    assert 1.8 < one.expected_seconds / two.expected_seconds < 2


def test_a_plan_of_before_is_one_of_one_card() -> None:
    mode = MODES["t2v"]
    plan = mode.plan(mode.parse({"prompt": "x", "seed": 1}), H100, weights="wan")
    old = plan.model_dump(mode="json")
    for name in ("cards", "halves", "shared"):
        del old["placement"][name]
    assert Plan.model_validate(old) == plan


def test_wan_nano_is_shared_too() -> None:
    machine = cards(Backend(), 2)
    found = place(T2V, "nano", machine, job(T2V, Resolution(128, 128)))
    assert found is not None and found.cards == 2
