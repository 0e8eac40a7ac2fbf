"""Ancestors in a lineage: as many as there is room for, each once, and nothing that a stranger can make of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from common.contract import Done, Lineage, MediaHandle, Parent
from common.media import lineage as lineages
from common.media.lineage import bounded, parent, read_lineage
from common.modes.t2v import MODE
from common.modes.v2v import MODE as V2V

VERSIONS = dict.fromkeys(("torch", "diffusers", "transformers", "gradio", "av", "pillow", "spaces"), "1.2.3")


def made(parents: list[Parent] | None = None, prompt: str = "a fox in the snow " * 6, **request: Any) -> Lineage:
    plan = MODE.plan(MODE.parse({"prompt": prompt, "seed": 3}), weights="wan")
    asked = {"prompt": prompt, "preset": "fast", "seed": 3, **request}
    return Lineage(
        request=asked, plan=plan, seed=3, versions=VERSIONS, git_sha="a" * 40, created="now", parents=parents or []
    )


def child(of: Lineage, sha: int, times: int = 1, **more: Any) -> Lineage:
    return made([Parent(sha256=f"{sha:064}", role="video", lineage=of)] * times, **more)


def chain(length: int, **more: Any) -> Lineage:
    lineage = made(**more)
    for sha in range(length - 1):
        lineage = child(lineage, sha, **more)
    return lineage


def depth(lineage: Lineage | None) -> int:
    return 0 if lineage is None else 1 + max((depth(p.lineage) for p in lineage.parents), default=0)


def written(path: Path, comment: str) -> Path:
    with av.open(str(path), "w") as out:
        out.metadata["comment"] = comment
        stream = out.add_stream("libx264", rate=16)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        picture = np.zeros((64, 64, 3), np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


def test_a_chain_is_read_back_whole_from_its_last_file(tmp_path: Path) -> None:
    lineage = chain(3)
    kept = read_lineage(written(tmp_path / "a.mp4", lineage.model_dump_json()))
    assert kept is not None and depth(kept) == 3
    assert kept.parents[0].lineage is not None and kept.parents[0].lineage.request == lineage.request
    assert kept.parents == bounded(kept.parents), "what fits once fits again"


def test_a_parent_is_what_the_file_says_and_what_it_was_taken_for(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp4", chain(2).model_dump_json())
    handle = MediaHandle(path=str(path), mime="video/mp4", sha256="c" * 64)
    of = parent(handle, "video")
    assert (of.role, of.mode, of.mime, of.sha256) == ("video", "t2v", "video/mp4", "c" * 64)
    assert depth(of.lineage) == 2
    strange = parent(handle.model_copy(update={"mime": "video/" + "x" * 4000}), "video")
    assert strange.mime == ""


def test_a_done_of_a_chain_of_three_stays_small() -> None:
    def size(lineage: Lineage) -> int:
        plan = V2V.plan(V2V.parse({"prompt": "x", "video": {"path": "a.mp4"}}), weights="wan")
        return len(Done(plan=plan, seed=3, seconds=1, lineage=lineage, sha256="0" * 64).model_dump_json())

    three = chain(3)
    three = three.model_copy(update={"parents": bounded(three.parents)})
    assert size(three) - size(made()) < 4000 and size(three) < 8000


def test_the_oldest_are_dropped_first() -> None:
    long = chain(40)
    kept = bounded(long.parents)
    assert depth(kept[0].lineage) == lineages.MOST_ANCESTORS
    heavy = chain(5, prompt="a" * 12_000)  # twice each: in the request, and a plan has none of it
    assert 1 < depth(bounded(heavy.parents)[0].lineage) <= 4
    assert len(json.dumps([p.model_dump() for p in bounded(heavy.parents)])) < 1.5 * lineages.ANCESTOR_CHARACTERS


def test_a_file_that_was_used_twice_is_told_once() -> None:
    lineage = made()
    for sha in range(12):  # each made from the one before, given twice: 4096 at the bottom
        lineage = child(lineage, sha, times=2)
    kept = bounded(lineage.parents)
    assert json.dumps([p.model_dump() for p in kept]).count('"wan_studio"') == 12
    assert [p.lineage is None for p in kept] == [False, True]


def nested(levels: int) -> str:
    """As `chain` nests it; not by pydantic, which would refuse to write that."""
    plain = json.loads(made().model_dump_json())
    head = json.dumps({**plain, "parents": []})[:-2] + '{"sha256":"%064d","role":"video","lineage":'
    return "".join(head % n for n in range(levels)) + json.dumps(plain) + "}]}" * levels


def test_hostile_comments_are_no_lineage_and_cost_no_time(tmp_path: Path) -> None:
    plain = json.loads(made().model_dump_json())
    hostile = {
        "deep": nested(3000)[:900_000],
        "deep-and-whole": nested(300),
        "brackets": "{" + '"a":[' * 100_000,
        "megabytes": json.dumps({**plain, "request": {"prompt": "x" * 3_000_000}}),
        "cut": made().model_dump_json()[:-20],
        "list": "[]",
    }
    for name, comment in hostile.items():
        began = time.monotonic()
        assert read_lineage(written(tmp_path / f"{name}.mp4", comment)) is None, name
        assert time.monotonic() - began < 2, name


def test_nested_within_the_parsers_reach_is_cut_to_what_fits(tmp_path: Path) -> None:
    kept = read_lineage(written(tmp_path / "a.mp4", nested(60)))
    assert kept is not None and depth(kept) == 1 + lineages.MOST_ANCESTORS


def test_what_a_stranger_hides_in_an_ancestor_is_not_passed_on() -> None:
    hidden = made(image={"path": "/etc/passwd"}, reference_images=[{"path": "/etc/passwd"}], keyframes=[0, 4])
    hidden = hidden.model_copy(update={"parents": [Parent(sha256="x", role="image")] * 5000})
    (kept,) = bounded([Parent(sha256="1", role="video", lineage=hidden)])
    assert kept.lineage is not None and "passwd" not in kept.model_dump_json()
    assert kept.lineage.request["keyframes"] == [0, 4] and len(kept.lineage.parents) == lineages.MOST_PARENTS
    stuffed = made([Parent(sha256="x" * 100_000, role="image")])
    (kept,) = bounded([Parent(sha256="1", role="video", lineage=stuffed)])
    assert kept.lineage is None


def test_a_half_of_a_file_tells_all_the_same(tmp_path: Path) -> None:
    """The index comes first in what we write, and here; without it there is nothing to read."""
    from common.media.write import write_video

    frames = np.random.default_rng(0).integers(0, 255, (17, 64, 64, 3), np.uint8)
    whole = tmp_path / "a.mp4"
    write_video(frames, 16, whole, chain(3))
    raw = whole.read_bytes()
    half = tmp_path / "half.mp4"
    half.write_bytes(raw[: len(raw) // 2])
    assert depth(read_lineage(half)) == 3
    half.write_bytes(raw[:200])
    assert read_lineage(half) is None


@pytest.mark.parametrize("field", ["lineage", "mime"])
def test_old_files_have_neither(field: str) -> None:
    old = json.loads(child(made(), 1).model_dump_json())
    del old["parents"][0][field]
    assert Lineage.model_validate(old).parents[0].role == "video"
