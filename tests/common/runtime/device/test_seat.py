"""A seat is one device's: its line and its memory are nobody else's."""

from __future__ import annotations

import weakref

import pytest

from common.runtime.device.residency import Residency
from common.runtime.device.seat import Seat, seat_of
from common.runtime.device.turns import Turns
from common.runtime.job import Job, in_turn


class Thing:
    """What can be referred to weakly."""


def seat() -> Seat:
    return Seat("cpu", Turns(), Residency("cpu"))


def test_all_modes_of_a_process_share_the_seat_of_a_device() -> None:
    assert seat_of("cpu") is seat_of("cpu")
    assert seat_of("cuda") is not seat_of("cpu")


def test_a_job_on_one_seat_waits_for_nobody_on_another() -> None:
    first, second = seat(), seat()
    ahead = first.line.enter()
    for line, place in ((first.line, 1), (second.line, 0)):
        waiting = in_turn(line, Job())
        assert next(waiting)[1].position == place  # type: ignore[union-attr]
        waiting.close()
    ahead.leave()


def test_residency_keeps_one_pipeline_and_the_parts_until_all_is_unloaded() -> None:
    held = seat().residency
    assert held.get(("a",), "T2V", lambda _: "pipe a") == "pipe a"
    assert held.get(("a",), "T2V", lambda _: "made again") == "pipe a"
    assert held.part("text_encoder", lambda: "umt5") == "umt5"
    assert held.get(("b",), "T2V", lambda _: "pipe b") == "pipe b"
    assert held.key == ("b",)
    assert held.part("text_encoder", lambda: "loaded again") == "umt5", "it outlives a swap"
    held.unload()
    assert held.key is None
    assert held.part("text_encoder", lambda: "loaded again") == "loaded again"


def test_residency_lets_the_old_pipeline_go_before_the_new_one_is_built() -> None:
    held = seat().residency
    seen: list[object] = []
    held.get(("a",), "T2V", lambda _: "pipe a")
    held.get(("b",), "T2V", lambda _: seen.append(held.key))
    assert seen == [None]


def test_residency_gives_another_class_what_is_loaded() -> None:
    held = seat().residency
    held.get(("a",), "T2V", lambda _: "t2v of a")
    assert held.get(("a",), "V2V", lambda other: f"v2v from {other}") == "v2v from t2v of a"
    assert held.get(("a",), "T2V", lambda _: "made again") == "t2v of a"
    assert held.get(("b",), "V2V", lambda other: f"from {other}") == "from None"
    assert held.get(("a",), "T2V", lambda other: f"from {other}") == "from None", "both went with the swap"


def test_residency_keeps_what_is_loaded_when_another_class_cannot_be_made() -> None:
    held = seat().residency
    held.get(("a",), "T2V", lambda _: "pipe a")

    def fails(_: object) -> None:
        raise ValueError("no such part")

    with pytest.raises(ValueError, match="no such part"):
        held.get(("a",), "V2V", fails)
    assert held.get(("a",), "T2V", fails) == "pipe a"
    with pytest.raises(ValueError, match="no such part"):
        held.get(("b",), "T2V", fails)
    assert held.key is None and held.get(("a",), "T2V", str) == "None"


def test_residency_lets_parts_go_that_the_next_checkpoint_does_not_have() -> None:
    """CLIP of another checkpoint, or a text encoder that is to wait outside the GPU: nobody has counted them."""
    residency = Residency("cpu")
    parts = {name: weakref.ref(residency.part(name, Thing)) for name in ("clip", "vae", "text encoder")}
    vae = parts["vae"]()
    residency.keep(["vae", "text encoder, waiting"])
    assert [part() is None for part in parts.values()] == [True, False, True]
    assert residency.part("vae", Thing) is vae
