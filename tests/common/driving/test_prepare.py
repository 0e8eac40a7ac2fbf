"""Preparing in chunks: what is made, what is found again, what is given, and what is said of it."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.annotate.frames import Frame, array
from common.driving import face, kept, skeleton
from common.driving.kept import Driven
from common.driving.prepare import prepare
from common.errors import InputError, StudioError
from tests.common.driving.stand_in import SIZE, Known, Stopped, Watching, clip, frame, material


@pytest.fixture(autouse=True)
def chunks_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with a quarter of the work; other processes take the real ones."""
    monkeypatch.setattr(kept, "CHUNK", 10)


def same(one: Frame, other: Frame) -> bool:
    return np.array_equal(array(one), array(other))


def names(folder: Path) -> list[str]:
    return sorted(path.name.split(".")[0] for path in folder.iterdir())


def plain(value: int, size: tuple[int, int] = SIZE) -> Callable[[Sequence[int]], Iterator[Frame]]:
    """A clip of a user's own: of one gray, with the number of the frame in its blue."""
    return lambda numbers: (Image.new("RGB", size, (value, value, number)) for number in numbers)


# ---------------------------------------------------------------------- what is made


def test_every_frame_has_its_own_pose_and_face(tmp_path: Path) -> None:
    maker = Known()
    driven = prepare(material(tmp_path, 25, maker=maker))
    assert set(driven.files) == {"pose", "face"} and maker.saw == list(range(25))
    numbers = [0, 9, 10, 19, 20, 24, 5, 5]
    poses, faces = driven.frames("pose", numbers), driven.frames("face", numbers)
    for number, pose, found in zip(numbers, poses, faces, strict=True):
        person = Known()._one(frame(number))
        assert person is not None
        assert same(pose, skeleton.drawn(person, SIZE, SIZE))
        box = face.box(person, SIZE)
        assert box is not None and same(found, face.cut(frame(number), box))


def test_replace_has_a_mask_and_the_scene_without_its_performer(tmp_path: Path) -> None:
    driven = prepare(material(tmp_path, 12, replace=True, maker=Known(away=[11])))
    (mask,), (scene,) = driven.frames("mask", [10]), driven.frames("background", [10])
    # The shape is 40..80 x 40..210; nine pixels more on each side.
    white = np.zeros((SIZE[1], SIZE[0]), bool)
    white[31:219, 31:89] = True
    assert (array(mask) == np.where(white, 255, 0)[..., None]).all()
    assert (array(scene)[white] == 0).all() and (array(scene)[~white] == (1, 0, 77)).all()
    (mask,), (scene,) = driven.frames("mask", [11]), driven.frames("background", [11])
    assert not array(mask).any() and same(scene, frame(11))


def test_frames_larger_than_the_output_are_drawn_at_its_size(tmp_path: Path) -> None:
    def large(numbers: Sequence[int]) -> Iterator[Frame]:
        return (frame(number, (256, 448)) for number in numbers)

    driven = prepare(material(tmp_path, 3, replace=True, frames=large))
    for part in ("pose", "mask", "background"):
        assert driven.frames(part, [2])[0].size == SIZE
    person = Known()._one(frame(2))
    assert person is not None
    assert same(driven.frames("pose", [2])[0], skeleton.drawn(person, SIZE, (256, 448)))


def test_retargeting_gives_the_pose_the_characters_bones_and_leaves_the_face(tmp_path: Path) -> None:
    # The character is the body of frame 100, ten pixels lower than in frame 0: every pose moves down by ten.
    for folder, retarget in (("as-it-is", False), ("moved", True)):
        prepare(material(tmp_path / folder, 2, retarget=retarget, reference=frame(100)))
    as_it_is, moved = (
        prepare(material(tmp_path / folder, 2, retarget=retarget, reference=frame(100)))
        for folder, retarget in (("as-it-is", False), ("moved", True))
    )
    before, after = (array(d.frames("pose", [1])[0]) for d in (as_it_is, moved))
    assert np.array_equal(before[:-10], after[10:]) and before.any()
    assert same(as_it_is.frames("face", [1])[0], moved.frames("face", [1])[0])


def test_a_character_without_a_body_leaves_the_proportions(tmp_path: Path) -> None:
    maker = Known(away=[100])
    for _ in range(2):  # the second time it is found
        driven = prepare(material(tmp_path, 2, retarget=True, reference=frame(100), maker=maker))
        assert any("Nobody is found in image" in text for text in driven.notices)
    assert maker.saw == [0, 1, 100]


def test_what_is_said_of_the_characters_picture_is_not_said_of_the_video(tmp_path: Path) -> None:
    for _ in range(2):  # the second time it is found
        driven = prepare(material(tmp_path, 15, retarget=True, reference=frame(100), maker=Known(away=[100])))
        assert "somebody was away" not in driven.notices


def test_what_is_true_of_both_is_said_of_the_video(tmp_path: Path) -> None:
    said: list[str] = []
    maker = Known(away=[12, 100])
    prepare(material(tmp_path, 15, retarget=True, reference=frame(100), maker=maker, say=said.append))
    assert maker.saw.index(100) < maker.saw.index(12) and said.count("somebody was away") == 1


def test_a_clip_to_look_at_is_made_once(tmp_path: Path) -> None:
    import av

    driven = prepare(material(tmp_path, 12))
    path = driven.clip("pose")
    with av.open(str(path)) as container:
        shown = list(container.decode(video=0))
    assert len(shown) == 12 and (shown[0].width, shown[0].height) == SIZE
    written = path.stat().st_ino
    assert driven.clip("pose") == path and path.stat().st_ino == written
    assert driven.clip("face").is_file()


def test_what_is_prepared_can_be_handed_to_another_process(tmp_path: Path) -> None:
    driven = prepare(material(tmp_path, 12))
    again = pickle.loads(pickle.dumps(driven))
    assert same(again.frames("pose", [11])[0], driven.frames("pose", [11])[0])


# ---------------------------------------------------------------------- nobody, no face


def test_where_nobody_is_seen_the_pose_is_black_and_it_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    driven = prepare(material(tmp_path, 12, maker=Known(away=[3, 4, 11]), say=said.append))
    assert [array(pose).any() for pose in driven.frames("pose", [2, 3, 4, 5, 11])] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert said == list(driven.notices)
    assert said[0] == "somebody was away" and "3 of the 12 frames" in said[1] and len(said) == 2


def test_a_lost_face_is_looked_for_where_it_was_seen_last_or_else_where_it_is_seen_next(
    tmp_path: Path,
) -> None:
    turned = [*range(0, 12), *range(15, 22)]
    maker = Known(turned=turned)
    driven = prepare(material(tmp_path, 25, maker=maker))
    for number, where in ((0, 12), (11, 12), (14, 14), (15, 14), (21, 14), (22, 22)):
        person = Known()._one(frame(where))
        assert person is not None
        box = face.box(person, SIZE)
        assert box is not None and same(driven.frames("face", [number])[0], face.cut(frame(number), box))
    assert sorted(maker.saw) == list(range(25))
    assert any("19 of the 25 frames" in text for text in driven.notices)


def test_the_face_seen_last_is_found_after_a_stop_too(tmp_path: Path) -> None:
    turned = range(8, 25)
    with pytest.raises(Stopped):
        prepare(material(tmp_path / "stopped", 25, maker=Known(turned=turned), check=Watching(14)))
    stopped, whole = (
        prepare(material(tmp_path / name, 25, maker=Known(turned=turned))) for name in ("stopped", "whole")
    )
    assert all(
        same(*pair) for pair in zip(*(d.frames("face", range(25)) for d in (stopped, whole)), strict=True)
    )


def test_a_face_never_seen_is_black_and_it_is_said(tmp_path: Path) -> None:
    for _ in range(2):
        driven = prepare(material(tmp_path, 12, maker=Known(turned=range(12))))
        assert not array(driven.frames("face", [11])[0]).any()
        assert [text for text in driven.notices if "No face is seen in video" in text]


@pytest.mark.parametrize("replace", [False, True])
def test_a_clip_that_shows_nobody_is_refused_with_the_way_out(tmp_path: Path, replace: bool) -> None:
    with pytest.raises(InputError) as caught:
        prepare(material(tmp_path, 12, replace=replace, maker=Known(away=range(12))))
    assert caught.value.field == "video" and "pose_video" in (caught.value.hint or "")
    assert ("mask_video" in (caught.value.hint or "")) == replace


# ---------------------------------------------------------------------- found again


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    prepare(material(tmp_path, 25, replace=True))
    before = names(tmp_path)
    maker, check = Known(), Watching()
    driven = prepare(material(tmp_path, 25, replace=True, maker=maker, check=check))
    assert not maker.saw and names(tmp_path) == before
    assert check.told == [(10, 25), (20, 25), (25, 25)]
    assert driven.frames("background", [24])


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("at", [1, 9, 10, 14, 19, 24])
def test_after_a_stop_only_the_rest_is_seen(tmp_path: Path, at: int, replace: bool) -> None:
    first, second = Known(), Known()
    with pytest.raises(Stopped):
        prepare(material(tmp_path, 25, replace=replace, maker=first, check=Watching(at)))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    check = Watching()
    driven = prepare(material(tmp_path, 25, replace=replace, maker=second, check=check))
    kept = {number for number in first.saw if number < at // 10 * 10}
    assert set(second.saw) | set(first.saw) == set(range(25)) and not kept & set(second.saw)
    assert check.told[0][0] >= min(at // 10 * 10, 1)
    assert [len(paths) for paths in driven.files.values()] == [3] * (4 if replace else 2)


@pytest.mark.parametrize("replace", [False, True])
def test_progress_goes_from_nothing_to_all_frames_and_never_back(tmp_path: Path, replace: bool) -> None:
    check = Watching()
    prepare(material(tmp_path, 25, replace=replace, check=check, maker=Known(turned=range(15))))
    done = [done for done, total in check.told if total == 25]
    assert done == sorted(done) and done[0] == 0 and done[-1] == 25 and len(done) == len(check.told)
    assert len(set(done)) > 15


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Driven:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "CHUNK", 10)
        return prepare(material(tmp_path_factory.mktemp("driven") / "whole", 25, replace=True))


@pytest.mark.parametrize("harm", [damaged, halved, Path.unlink])
@pytest.mark.parametrize("part", ["pose", "face", "background", "mask", "about"])
def test_a_damaged_chunk_is_made_anew(
    whole: Driven, tmp_path: Path, harm: Callable[[Path], Any], part: str
) -> None:
    shutil.copytree(whole.folder, tmp_path / "harmed")
    (path,) = (tmp_path / "harmed").glob(f"{part}-0001.*")
    harm(path)
    maker = Known()
    harmed = prepare(material(tmp_path / "harmed", 25, replace=True, maker=maker))
    assert not maker.saw  # what was seen is still there
    # The same frames make the same file, and it is named after what is in it.
    assert {p.name for p in harmed.folder.iterdir()} == {p.name for p in whole.folder.iterdir()}
    assert harmed.frames(part, [10]) if part != "about" else harmed.notices == whole.notices


def test_a_chunk_whose_sightings_are_gone_too_is_seen_again_alone(tmp_path: Path) -> None:
    prepare(material(tmp_path, 25))
    for name in ("pose", "seen"):
        (path,) = tmp_path.glob(f"{name}-0001.*")
        damaged(path)
    maker = Known()
    prepare(material(tmp_path, 25, maker=maker))
    assert maker.saw == list(range(10, 20))


def test_a_chunk_that_vanishes_after_preparing_is_named(tmp_path: Path) -> None:
    driven = prepare(material(tmp_path, 12))
    driven.files["pose"][1].unlink()
    assert driven.frames("pose", [9])
    with pytest.raises(StudioError, match="pose video was deleted"):
        driven.frames("pose", [9, 10])


def test_a_damaged_clip_to_look_at_is_made_anew(tmp_path: Path) -> None:
    driven = prepare(material(tmp_path, 12))
    path = driven.clip("pose")
    before = path.read_bytes()
    assert driven.clip("pose") == path
    damaged(path)
    assert driven.clip("pose").read_bytes() == before


def test_chunks_are_held_from_the_moment_that_they_are_there(tmp_path: Path) -> None:
    for _ in range(2):  # made, and found
        held: set[Path] = set()
        driven = prepare(dataclasses.replace(material(tmp_path, 25), hold=held.add))
        assert {path for paths in driven.files.values() for path in paths} <= held


def test_what_was_said_is_said_again_when_it_is_found(tmp_path: Path) -> None:
    first, second = (prepare(material(tmp_path, 25, maker=Known(away=[12]))) for _ in range(2))
    assert first.notices == second.notices and "somebody was away" in second.notices


def _prepare_there(folder: Path) -> Driven:
    return prepare(material(folder, 50, replace=True))


def test_two_processes_may_make_the_same_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "CHUNK", 40)  # as over there
    with get_context("spawn").Pool(2) as pool:
        one, two = pool.map(_prepare_there, [tmp_path / "both"] * 2)
    alone = _prepare_there(tmp_path / "alone")
    for driven in (one, two, _prepare_there(tmp_path / "both")):
        for name in alone.files:
            pairs = zip(*(d.frames(name, range(0, 50, 7)) for d in (driven, alone)), strict=True)
            assert all(same(*pair) for pair in pairs)
    assert not [path for path in (tmp_path / "both").iterdir() if path.name.startswith(".")]


# ---------------------------------------------------------------------- given


@pytest.mark.parametrize("part", ["pose", "face", "background", "mask"])
def test_what_is_given_is_taken_and_the_rest_is_made(tmp_path: Path, part: str) -> None:
    size = (512, 512) if part == "face" else SIZE
    made = prepare(material(tmp_path / "made", 12, replace=True))
    driven = prepare(material(tmp_path / "given", 12, replace=True, given={part: plain(255, size)}))
    for name in driven.files:
        (ours,), (theirs,) = driven.frames(name, [11]), made.frames(name, [11])
        if name == part:
            assert array(ours)[0, 0].tolist() == [255, 255, 255 if part == "mask" else 11]
        elif (part, name) == ("mask", "background"):
            assert not array(ours).any()  # the given mask is white all over
        else:
            assert same(ours, theirs)


def test_a_mask_without_white_is_told_of_now_and_when_it_is_found(tmp_path: Path) -> None:
    def mask(whites: Sequence[int]) -> Callable[[Sequence[int]], Iterator[Image.Image]]:
        return lambda numbers: (Image.new("L", SIZE, 255 if n in whites else 3).convert("RGB") for n in numbers)

    for _ in range(2):
        black = prepare(material(tmp_path / "black", 25, replace=True, given={"mask": mask([])}))
        assert any("Nothing is white in mask_video" in text for text in black.notices)
    spotted = prepare(material(tmp_path / "spotted", 25, replace=True, given={"mask": mask([24])}))
    assert not any("white" in text for text in spotted.notices)


def test_a_background_is_made_of_a_given_mask_without_anybody_who_looks(tmp_path: Path) -> None:
    def left_half(numbers: Sequence[int]) -> Iterator[Frame]:
        for _ in numbers:
            mask = Image.new("RGB", SIZE, (3, 3, 3))  # what compression leaves of black
            mask.paste((250, 250, 250), (0, 0, 64, SIZE[1]))
            yield mask

    given = {"mask": left_half, "pose": plain(9), "face": plain(9, (512, 512))}
    driven = prepare(material(tmp_path, 12, replace=True, maker=None, given=given))
    scene, mask = array(driven.frames("background", [11])[0]), array(driven.frames("mask", [11])[0])
    assert not scene[:, :64].any() and (scene[:, 64:] == (1, 1, 77)).all()
    assert (mask[:, :64] == 255).all() and not mask[:, 64:].any()


def test_where_all_is_given_nobody_looks_and_no_frame_is_read(tmp_path: Path) -> None:
    def unread(numbers: Sequence[int]) -> Iterator[Frame]:
        raise AssertionError(numbers)

    given = {"pose": plain(9), "face": plain(9, (512, 512))}
    driven = prepare(material(tmp_path, 12, maker=None, frames=unread, given=given))
    assert array(driven.frames("pose", [11])[0])[0, 0].tolist() == [9, 9, 11]


def test_without_a_pose_to_make_a_clip_that_shows_nobody_will_do(tmp_path: Path) -> None:
    driven = prepare(material(tmp_path, 5, maker=Known(away=range(5)), given={"pose": plain(9)}))
    assert not array(driven.frames("face", [4])[0]).any()


def test_a_given_clip_that_is_too_short_is_named(tmp_path: Path) -> None:
    def short(numbers: Sequence[int]) -> Iterator[Frame]:
        return clip([number for number in numbers if number < 11])

    with pytest.raises(InputError) as caught:
        prepare(material(tmp_path, 12, given={"pose": short}))
    assert caught.value.field == "pose_video" and "11 of 12 frames" in caught.value.text


def test_a_given_clip_of_another_size_is_no_silent_misfit(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="64x64 where 512x512 is needed"):
        prepare(material(tmp_path, 5, given={"face": plain(0, (64, 64))}))


# ---------------------------------------------------------------------- memory

LONG = """
import resource, sys
from pathlib import Path
from common.driving.prepare import prepare
from tests.common.driving.stand_in import frame, material

size, count = (384, 224), int(sys.argv[2])
frames = lambda numbers: (frame(number, size) for number in numbers)
driven = prepare(material(Path(sys.argv[1]), count, replace=True, frames=frames, width=size[0], height=size[1]))
for number in range(0, count, 77):
    driven.frames("background", [number])
driven.clip("pose")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_clip_of_twenty_seconds_takes_no_more_memory_than_one_of_three(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        command = [sys.executable, "-c", LONG, str(tmp_path / str(count)), str(count)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # 600 frames of 384x224 are 155 MB, and those of a chunk 10 MB. Linux counts in kilobytes, macOS in bytes.
    assert peak(600) - peak(90) < 40e6 / (1 if sys.platform == "darwin" else 1024)
