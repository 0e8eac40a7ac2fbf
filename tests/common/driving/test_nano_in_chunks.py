"""The tracker goes on from chunk to chunk as if it had seen the clip whole, also where the shape comes late."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from common.annotate.frames import Frame, Frames, array, unchecked
from common.driving import kept, sightings
from common.driving.nano import Nano, Sighting
from common.driving.prepare import prepare
from common.errors import InputError
from nano.judge.cases import as_array, pil
from nano.outlines import TURNS
from nano.train.world import STILL, Scenes, render
from nano.words import SHAPES
from tests.common.driving.stand_in import Stopped, Watching, material

CHUNK = 20
WIDTH, HEIGHT = 144, 96
OUT = 2.1  # half-heights from the centre: beyond the right edge, which is at 1.5
EMPTY = Image.new("RGB", (WIDTH, HEIGHT), (225, 210, 180))


def moved(shape: str, x: Sequence[float] | float, speed: float = 0.0, frames: int = 50) -> Frames:
    """A shape at x (half-heights from the centre) that turns by `speed` radians a frame."""

    def whole(value: int) -> torch.Tensor:
        return torch.tensor([value])

    scenes = Scenes(
        whole(0), whole(SHAPES.index(shape)), whole(STILL), whole(1), whole(1),
        torch.zeros(1), torch.zeros(1), torch.zeros(1),
    )  # fmt: skip
    ways = (np.broadcast_to(x, frames), np.zeros(frames), np.full(frames, 0.45), speed * np.arange(frames))
    way = tuple(torch.tensor(value, dtype=torch.float32)[None] for value in ways)
    clip, _ = render(scenes, frames, HEIGHT, WIDTH, way=way)  # pyright: ignore[reportArgumentType]
    return [pil(frame) for frame in as_array(clip[0])]


def path(*points: tuple[int, float], frames: int = 50) -> Sequence[float]:
    """Straight from (frame, x) to (frame, x)."""
    return np.interp(np.arange(frames), [at for at, _ in points], [x for _, x in points]).tolist()


def in_chunks(frames: Frames) -> list[Sighting | None]:
    """As the performer asks for them."""
    seen: list[Sighting | None] = []
    for start in range(0, len(frames), CHUNK):
        after = next((one for one in reversed(seen) if one is not None), None)
        seen += Nano().see(frames[start : start + CHUNK], unchecked, after)
    return seen


def same(one: Sequence[Sighting | None], other: Sequence[Sighting | None]) -> None:
    """Both see a shape in the same frames, to two pixels of what is looked at, and no turn apart."""
    assert [a is not None for a in one] == [b is not None for b in other]
    apart = np.abs(places(one) - places(other))
    assert np.nanmax(apart[:, :3]) < 3 and np.nanmax(apart[:, 3]) < 0.4


def places(seen: Sequence[Sighting | None]) -> np.ndarray:
    return np.array([[math.nan] * 4 if one is None else one[:4] for one in seen])


@pytest.mark.parametrize(("shape", "speed"), [("square", 0.2), ("triangle", -0.15), ("star", 0.12)])
def test_a_turn_goes_on_over_the_chunks(shape: str, speed: float) -> None:
    frames = moved(shape, 0.0, speed)
    parts = in_chunks(frames)
    same(parts, Nano().see(frames, unchecked))
    assert abs(speed) * len(frames) > 3 * TURNS[SHAPES.index(shape)]
    assert np.abs(places(parts)[:, 3] - speed * np.arange(len(frames))).max() < 0.15


@pytest.mark.parametrize("shape", ["square", "star"])
@pytest.mark.parametrize(
    "way",
    [
        path((0, 0.0), (10, 0.0), (19, OUT), (24, OUT), (36, 0.5)),  # away over the border
        path((0, 0.0), (8, 0.0), (17, OUT), (41, OUT), (48, 0.5)),  # for a whole chunk and more
        path((0, 0.0), (12, 0.0), (20, 1.75)),  # then no more than a piece of it is seen
    ],
)
def test_the_shape_stays_the_same_where_it_leaves(shape: str, way: Sequence[float]) -> None:
    frames = moved(shape, way, 0.05)
    parts = in_chunks(frames)
    same(parts, Nano().see(frames, unchecked))
    assert {one.shape for one in parts if one is not None} == {SHAPES.index(shape)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("begins", [5, 17, 41])
def test_a_shape_may_come_late(shape: str, begins: int) -> None:
    frames = moved(shape, path((begins, OUT), (begins + 8, 0.2), frames=60), 0.05, frames=60)
    whole, parts = Nano().see(frames, unchecked), in_chunks(frames)
    assert parts[:begins] == [None] * begins
    # What it is, only the chunk tells in which it is seen whole.
    known = slice((begins // CHUNK + 1) * CHUNK if begins % CHUNK > 11 else begins + 2, None)
    assert None not in parts[known] and {one.shape for one in parts[known] if one} == {SHAPES.index(shape)}
    apart = places(parts)[known] - places(whole)[known]
    if turn := TURNS[SHAPES.index(shape)]:  # which of those that look the same was told by a piece
        apart[:, 3] -= turn * round(apart[-1, 3] / turn)
    assert np.abs(apart[:, :3]).max() < 3 and np.abs(apart[:, 3]).max() < 0.4


def somebody(x: int, y: int) -> Frame:
    """A head and a body, no shape of nano's."""
    frame = EMPTY.copy()
    draw = ImageDraw.Draw(frame)
    draw.ellipse((x - 9, y - 38, x + 9, y - 16), (90, 40, 30))
    draw.rectangle((x - 4, y - 20, x + 4, y), (90, 40, 30))
    draw.rectangle((x - 30, y - 4, x + 30, y + 6), (30, 40, 120))
    draw.rectangle((x - 8, y + 6, x + 8, y + 40), (30, 40, 120))
    return frame


def test_who_comes_late_and_is_no_shape_is_refused() -> None:
    assert Nano().see([EMPTY] * CHUNK, unchecked) == [None] * CHUNK
    cut = [somebody(70, 75)] * CHUNK
    for late in ([somebody(70, 50)] * CHUNK, [EMPTY] * 5 + [somebody(70, 50)] * 5, cut):
        with pytest.raises(InputError, match="must show one of nano's shapes"):
            Nano().see(late, unchecked)
    entering = [somebody(WIDTH + 40 - 4 * i, 50) for i in range(CHUNK)]
    with pytest.raises(InputError, match="must show one of nano's shapes"):
        in_chunks([*[EMPTY] * 10, *entering])


# ---------------------------------------------------------------------- prepared


@pytest.fixture
def chunks_of_twenty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "CHUNK", CHUNK)


def read(frames: Frames) -> Callable[[Sequence[int]], Iterator[Frame]]:
    return lambda numbers: (frames[number] for number in numbers)


def prepared(folder: Path, frames: Frames, **changed):
    values = {"maker": Nano(), "frames": read(frames), "width": WIDTH, "height": HEIGHT, "reference": EMPTY}
    return prepare(material(folder, len(frames), **(values | changed)))


def kept_in(folder: Path) -> list[Sighting | None]:
    files = sorted(folder.glob("seen-*"))
    return [one for file in files for one in sightings.read(file, Sighting).sightings]


@pytest.mark.usefixtures("chunks_of_twenty")
def test_after_a_stop_it_goes_on_as_if_there_had_been_none(tmp_path: Path) -> None:
    way = path((0, OUT), (22, OUT), (30, 0.0), (42, 0.0), (50, OUT), (81, OUT), (88, 0.0), frames=90)
    frames = moved("star", way, 0.12, frames=90)
    for at in (15, 25, 45, 65):
        with pytest.raises(Stopped):
            prepared(tmp_path / "stopped", frames, check=Watching(at))
    for name in ("stopped", "whole"):
        prepared(tmp_path / name, frames)
    assert kept_in(tmp_path / "stopped") == kept_in(tmp_path / "whole")
    same(kept_in(tmp_path / "whole"), Nano().see(frames, unchecked))


@pytest.mark.usefixtures("chunks_of_twenty")
@pytest.mark.parametrize("mode", [{}, {"retarget": True}, {"replace": True}])
def test_a_clip_without_a_shape_is_refused_before_anything_is_drawn(tmp_path: Path, mode: dict) -> None:
    with pytest.raises(InputError) as caught:
        prepared(tmp_path, [EMPTY] * 45, **mode)
    assert caught.value.field == "video" and "45 frames" in caught.value.text
    assert {file.name.split("-")[0] for file in tmp_path.iterdir()} == {"seen"}


@pytest.mark.usefixtures("chunks_of_twenty")
@pytest.mark.parametrize("replace", [False, True])
def test_where_the_shape_comes_late_nothing_is_drawn_until_then(tmp_path: Path, replace: bool) -> None:
    frames = moved("circle", path((22, OUT), (30, 0.0)))
    driven = prepared(tmp_path, frames, replace=replace)
    early, late = driven.frames("pose", [10, 45])
    assert not array(early).any() and array(late).any()
    if replace:
        assert [array(mask).any() for mask in driven.frames("mask", [10, 45])] == [False, True]
        np.testing.assert_array_equal(array(driven.frames("background", [10])[0]), array(frames[10]))


@pytest.mark.usefixtures("chunks_of_twenty")
def test_two_shapes_in_the_characters_picture_are_not_the_driving_videos(tmp_path: Path) -> None:
    character = moved("circle", -0.8, frames=1)[0]
    character.paste((30, 200, 60), (100, 40, 130, 70))
    driven = prepared(tmp_path, moved("circle", 0.0, frames=5), retarget=True, reference=character)
    assert not driven.notices
