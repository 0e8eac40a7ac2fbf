"""S2V's panel: the sound is measured here, says how long the video will be, and is the job's own to open."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from common.catalog import CHECKPOINTS
from common.contract import MediaHandle, Stage, Step
from common.errors import Cancelled
from common.modes.s2v import MODE
from common.panels import widgets
from common.speech import CLIPS, NANO_CLIPS
from tests.common.media import sound_files
from tests.common.panels.test_panels import JOB, drawn, page

PICTURE, SOUND = MediaHandle(path="/cache/a/face.png"), MediaHandle(path="/cache/b/speech.wav")
VISITOR = SimpleNamespace(headers={}, session_hash="somebody")
MOST = CHECKPOINTS[MODE.checkpoints[0]].seconds


def figures(seconds: float, sound: MediaHandle = SOUND) -> MediaHandle:
    """What the page holds once a sound was measured."""
    return MediaHandle(path=sound.path, seconds=seconds)


def filled(panel: Any, **changes: Any) -> tuple[Any, ...]:
    return page(panel, **{"image_picture": PICTURE, "audio": SOUND, "prompt": "a", **changes})


def lasts(panel: Any, seconds: float, most: int | None = None, sound: MediaHandle = SOUND) -> str:
    return asyncio.run(panel._measured(sound, figures(seconds), most, MODE.checkpoints[0]))


# ------------------------------------------------------------------ measuring


def heard(path: Path) -> tuple[Any, str]:
    handle = MediaHandle(path=str(path), orig_name=path.name)
    return asyncio.run(widgets.measured_sound(handle, "audio", "Driving audio"))


@pytest.mark.parametrize(
    ("name", "codec", "rate", "form"),
    [("a.wav", "pcm_s16le", 44_100, "s16"), ("a.webm", "libopus", 48_000, "flt")],
    ids=["uploaded", "recorded"],
)
def test_a_sound_is_measured(tmp_path: Path, name: str, codec: str, rate: int, form: str) -> None:
    path = sound_files.write(tmp_path / name, codec, rate, form)
    seen, wrong = heard(path)
    assert seen["clip"] == str(path) and wrong == ""
    assert seen["seconds"] == pytest.approx(sound_files.SECONDS, abs=0.03)


def test_the_examples_sound_is_two_seconds_of_speech() -> None:
    path = Path(widgets.__file__).parents[1] / "examples" / MODE.nano_examples[0].values["audio"]
    assert heard(path)[0]["seconds"] == pytest.approx(2, abs=0.1)
    assert path.stat().st_size <= 30_000


def test_what_is_no_sound_is_told_in_one_line_of_the_pages_words(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    path = (tmp_path / "a.png").rename(tmp_path / "<b>photo.wav")
    seen, wrong = heard(path)
    assert seen is None
    assert wrong == (
        '<p class="notice" role="alert">Driving audio is not a readable sound: '
        "&#x27;&lt;b&gt;photo.wav&#x27;; export it as WAV or MP3</p>"
    )
    assert "Driving audio has no file" in heard(tmp_path / "gone.wav")[1]


def test_a_sound_that_is_taken_away_leaves_nothing_behind() -> None:
    assert asyncio.run(widgets.measured_sound(None, "audio", "Driving audio")) == (None, "")
    panel = drawn("s2v")
    assert asyncio.run(panel._measured(None, figures(2), None, MODE.checkpoints[0])) == ""


# ------------------------------------------------------------------ how long it will be


def test_the_duration_follows_the_sound() -> None:
    panel = drawn("s2v", weights="wan")
    assert lasts(panel, 12.4) == "12.4 s, driven by the audio: 199 frames in 3 segments"
    assert lasts(panel, 2, most=0) == "2.0 s, driven by the audio: 32 frames in 1 segment"
    assert lasts(panel, 12.4, most=2) == "9.8 s of the audio's 12.4 s: 157 frames in 2 segments"
    assert lasts(panel, 2, most=2) == "2.0 s, driven by the audio: 32 frames in 1 segment"


def test_wan_nanos_segments_are_shorter() -> None:
    assert NANO_CLIPS.count(64) > CLIPS.count(64) == 1
    said = f"4.0 s, driven by the audio: 64 frames in {NANO_CLIPS.count(64)} segments"
    assert lasts(drawn("s2v"), 4) == said


def test_figures_of_another_sound_say_nothing_of_this_one() -> None:
    panel = drawn("s2v", weights="wan")
    assert lasts(panel, 12.4, sound=MediaHandle(path="/cache/c/other.wav")) == ""


def test_a_rule_that_is_broken_is_for_the_label_to_tell() -> None:
    panel = drawn("s2v", weights="wan")
    assert lasts(panel, MOST + 1) == f"{MOST + 1:.1f} s"
    label = asyncio.run(panel._relabel(*filled(panel, audio_seen=figures(MOST + 1))))
    assert f"Driving audio must last at most {MOST:g} s" in label and "num_clip" not in label
    assert "Segments at most must be between 1 and" in asyncio.run(
        panel._relabel(*filled(panel, audio_seen=figures(5), num_clip=-1))
    )


def test_the_label_knows_the_length_and_the_job_measures_for_itself() -> None:
    panel = drawn("s2v", weights="wan")
    raw = filled(panel, audio_seen=figures(12.4))
    assert "12.4 s · 30 steps × 3 segments" in asyncio.run(panel._relabel(*raw))
    assert panel.values(raw)["audio"] == SOUND
    unsaid = {"num_frames", "num_clip"}
    assert not unsaid & panel.values(raw).keys(), "the sound decides"
    assert panel.values(filled(panel, num_clip=2))["num_clip"] == 2


def test_what_is_still_needed_is_named() -> None:
    label = asyncio.run((panel := drawn("s2v"))._relabel(*page(panel)))
    assert "Still needed: scene / style prompt, reference character, driving audio" in label


def test_what_is_said_is_said_once() -> None:
    assert drawn("s2v").video.loop is False and drawn("animate").video.loop is True


# ------------------------------------------------------------------ Quality only


def test_quality_is_told_once_by_the_banner() -> None:
    panel = drawn("s2v", weights="wan")
    raw = filled(panel, audio_seen=figures(2), preset="fast")
    assert "Lightning" not in asyncio.run(panel._relabel(*raw))
    told = asyncio.run(panel._told(raw))
    assert any("Lightning unavailable" in text for text in told), "nor under the video"


def test_there_is_nothing_to_choose_of_preset_and_length() -> None:
    parts = drawn("s2v").inputs.components
    assert not any(parts[name].visible for name in ("preset", "duration", "num_frames"))


# ------------------------------------------------------------------ segments


def test_an_unfinished_speech_goes_on_and_another_one_does_not() -> None:
    script = [
        (None, Step(index=2, total=6, segment=1, segments=3)),
        (None, Stage(name="load", text="Loading")),
        (None, Step(index=3, total=6, segment=2, segments=3)),
        Cancelled(),
    ]
    panel = drawn("s2v", script=script)

    def run(**changes: Any) -> list[list[Any]]:
        async def go() -> list[list[Any]]:
            raw = filled(panel, **changes)
            return [update async for update in panel._generate(VISITOR, JOB, "", False, *raw)]

        return asyncio.run(go())

    cards = [update[2] for update in run()]
    assert "Segment 2 of 3 · step 3 of 6" in cards[2]
    assert "1 of 3 segments is kept; Generate again goes on from there." in cards[-1]
    run(audio_seen=figures(12.4))
    run(audio=MediaHandle(path="/cache/c/other.wav"))
    first, second, other = (asked["seed"] for asked in panel.runner.asked)
    assert first == second != other
