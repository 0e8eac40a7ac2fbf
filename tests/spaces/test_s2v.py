"""S2V through its engine, with Wan-Nano: as long as the sound and with it; what a stop leaves to go on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common import cache
from common.contract import MediaHandle, Notice, Stage, Step
from common.errors import MediaError
from common.media.sound import Sound
from common.media.watch import Watch
from common.speech import NANO_CLIPS
from tests.common.media import sound_files
from tests.spaces import media_for_modes as media

EXAMPLES = Path(__file__).parents[2] / "common/examples"
CIRCLE = {"path": str(EXAMPLES / "red-circle.png")}
LONG = 1.5
"""Seconds: 24 frames, two of Wan-Nano's clips of 16, of which the first lacks 3."""
FRAMES, FIRST = 24, NANO_CLIPS.frames - NANO_CLIPS.dropped


@pytest.fixture
def jobs(service, tmp_path):
    """`jobs(**values)`: the updates of a job, as they come."""
    sound = sound_files.write(tmp_path / "a.mp3", "libmp3lame", samples=sound_files.values(44_100, 2, LONG))

    def start(**values: Any):
        engine = service("s2v")
        asked = {
            "prompt": "a red circle on a black background", "image": CIRCLE, "audio": {"path": str(sound)},
            "num_inference_steps": 1, "seed": 7,
        }  # fmt: skip
        request = engine.mode.parse({**asked, **values})
        return engine.generate(request, engine.plan(request))

    return start


def finished(updates) -> tuple[np.ndarray, Path, list[Any]]:
    events = list(updates)
    path, done = events[-1]
    assert done.type == "done"
    return media.read(path), Path(path), [event for _, event in events]


def heard(path: Path) -> Sound:
    return Sound(path, "audio", path.name, Watch(lambda *_: None))


def test_it_is_as_long_as_the_sound_and_has_it(jobs) -> None:
    frames, path, events = finished(jobs())
    assert frames.shape == (FRAMES, 128, 128, 3)
    steps = [e for e in events if isinstance(e, Step)]
    assert [(s.index, s.total, s.segment, s.segments) for s in steps] == [(1, 2, 1, 2), (2, 2, 2, 2)]
    texts = [e.text for e in events if isinstance(e, Stage)]
    assert texts.index("Listening to the sound") < texts.index("Reading the prompt")
    sound, done = heard(path), events[-1]
    assert sound.channels == 2 and sound.rate == 48_000 and sound.seconds == pytest.approx(LONG, abs=0.03)
    values = sound.heard().values
    for click in sound_files.CLICKS:
        near = np.abs(values[0, round((click - 0.2) * 48_000) : round((click + 0.2) * 48_000)])
        assert abs(near.argmax() / 48_000 - 0.2) < 0.005, "the sound begins with the first frame"
    assert [(p.role, p.mode) for p in done.lineage.parents] == [("image", None), ("audio", None)]
    assert done.known(MediaHandle(path=str(path))).has_audio


def test_a_stopped_job_keeps_its_clips_and_goes_on_to_the_same_frames(jobs) -> None:
    asked = {"seed": 11, "num_inference_steps": 3}
    whole, *_ = finished(jobs(**asked))
    updates = jobs(**asked)
    for _, event in updates:
        if isinstance(event, Step) and event.segment == 2:
            (first,) = (cache.results() / "segments").rglob("*.npy")
            assert cache.held(first)
            updates.close()
            break
    frames, _, events = finished(jobs(**asked))
    assert [e.segment for e in events if isinstance(e, Step)] == [2, 2, 2], "the first is not made again"
    assert any("1 of 2 segments" in e.text for e in events if isinstance(e, Notice))
    np.testing.assert_array_equal(frames, whole)


def test_a_clip_goes_on_from_the_one_before(jobs) -> None:
    """The second clip of another first one is another, though its noise and its sound are the same."""
    one, *_ = finished(jobs(num_inference_steps=4))
    other, *_ = finished(jobs(num_inference_steps=4, image={"path": str(EXAMPLES / "yellow-star.png")}))
    assert np.abs(one[FIRST + 3 :].astype(int) - other[FIRST + 3 :]).mean() > 1
    jumps = np.abs(np.diff(one.astype(int), axis=0)).mean((1, 2, 3))
    assert jumps[FIRST - 1] < 3 * np.median(jumps) + 3, "no jump where a clip begins"


def test_the_beginning_of_a_sound(jobs) -> None:
    frames, path, events = finished(jobs(num_clip=1))
    assert len(frames) == FIRST and heard(path).seconds == pytest.approx(FIRST / 16, abs=0.03)
    assert any("the first 0.8 s are used" in e.text for e in events if isinstance(e, Notice))


def test_poses_may_end_before_the_sound(jobs, tmp_path) -> None:
    frames, _, events = finished(jobs(pose_video=media.clip(tmp_path / "p.mp4", frames=10)))
    assert len(frames) == FRAMES
    assert any("pose_video ends 0.9 s before" in e.text for e in events if isinstance(e, Notice))


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [
        ("a.wav", "pcm_s16le", 16_000, "mono"),
        ("a.ogg", "libopus", 48_000, "stereo"),
        ("a.flac", "flac", 44_100, "7.1"),
    ],
)
def test_sounds_of_any_make(jobs, tmp_path, name: str, codec: str, rate: int, layout: str) -> None:
    channels = {"mono": 1, "stereo": 2, "7.1": 8}[layout]
    form = {"pcm_s16le": "s16", "libopus": "flt", "flac": "s16"}[codec]
    path = sound_files.write(
        tmp_path / name, codec, rate, form, layout, samples=sound_files.values(rate, channels, 0.2, [])
    )
    frames, made, _ = finished(jobs(audio={"path": str(path)}))
    assert len(frames) == 4 and heard(made).channels == min(channels, 2)


def test_the_sound_of_a_clip_drives_too(jobs, tmp_path) -> None:
    path = sound_files.clip(tmp_path / "a.mp4", {0: sound_files.values(48_000, 1, 1.0, [0.5])})
    frames, *_ = finished(jobs(audio={"path": str(path)}))
    assert len(frames) == 16


def test_silence_is_told_of(jobs, tmp_path) -> None:
    path = sound_files.wav(tmp_path / "a.wav", np.zeros((1, 8_000), np.int16), 16_000)
    _, _, events = finished(jobs(audio={"path": str(path)}))
    assert any("audio is silent" in e.text for e in events if isinstance(e, Notice))


@pytest.mark.parametrize(
    ("content", "told"),
    [("mute", "audio has no sound; give a sound, or a clip with one"), ("png", "audio is not a readable sound"),
     ("empty", "audio is an empty file"), ("long", "audio must last at most 60 s")],
)  # fmt: skip
def test_what_is_no_sound_is_one_line_before_anything_is_loaded(jobs, tmp_path, content: str, told: str) -> None:
    path = tmp_path / "a.wav"
    if content == "mute":
        path = Path(media.clip(tmp_path / "a.mp4")["path"])
    elif content == "png":
        media.frame().save(path, "PNG")
    elif content == "empty":
        path.touch()
    else:
        sound_files.wav(path, np.zeros((1, 8_000 * 90), np.int16), 8_000)
    events: list[Any] = []
    with pytest.raises(MediaError, match=told):
        for _, event in jobs(audio={"path": str(path)}):
            events.append(event)
    assert not [e for e in events if isinstance(e, Stage) and e.name == "load"]
