"""Sounds: any format is read to its true length with its first moment first; all else is refused in words."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from common.budgets import BUDGETS
from common.errors import Cancelled, MediaError
from common.media import sound, watch
from common.media.sound import SILENCE, loudness
from common.media.watch import Watch
from common.runtime.job import Job
from tests.common.media.sound_files import CLICKS, SECONDS, TONE, clicks, clip, opened, values, wav, write

FORMATS = {
    # name: codec, rate, format, layout; then what the file itself adds: seconds to the length, seconds before t=0
    "s16.wav": ("pcm_s16le", 16_000, "s16", "mono", 0, 0),
    "s24.wav": ("pcm_s24le", 44_100, "s32", "stereo", 0, 0),
    "f32.wav": ("pcm_f32le", 16_000, "flt", "mono", 0, 0),
    "u8.wav": ("pcm_u8", 8_000, "u8", "mono", 0, 0),
    "high.wav": ("pcm_s32le", 192_000, "s32", "stereo", 0, 0),
    "7.1.wav": ("pcm_s16le", 48_000, "s16", "7.1", 0, 0),
    "7.1.flac": ("flac", 48_000, "s16", "7.1", 0, 0),
    "x.flac": ("flac", 44_100, "s16", "stereo", 0, 0),
    "x.aiff": ("pcm_s16be", 44_100, "s16", "stereo", 0, 0),
    "x.mp3": ("libmp3lame", 44_100, "fltp", "stereo", 0, 0),
    "vbr.mp3": ("libmp3lame", 48_000, "fltp", "mono", 0, 0),
    "x.m4a": ("aac", 44_100, "fltp", "stereo", 0, 0),
    "x.mp4": ("aac", 48_000, "fltp", "mono", 0, 0),
    "5.1.m4a": ("aac", 48_000, "fltp", "5.1", 0, 0),
    "alac.m4a": ("alac", 44_100, "s16p", "stereo", 0, 0),
    "x.ogg": ("libopus", 48_000, "flt", "stereo", 0, 0),
    "x.opus": ("libopus", 48_000, "flt", "mono", 0, 0),
    "x.webm": ("libopus", 48_000, "flt", "mono", 0, 0),
    "mp3.mkv": ("libmp3lame", 44_100, "fltp", "stereo", 0, 0),
    "aac.mkv": (
        "aac",
        44_100,
        "fltp",
        "stereo",
        0.020,
        0,
    ),  # where the last packet ends is not written anywhere
    "vorbis.ogg": ("vorbis", 44_100, "fltp", "stereo", 0.0013, 0),
    # Those below have no place for how much the encoder put before the first sample: 1024 of AAC, 1105 of MP3.
    "x.aac": ("aac", 44_100, "fltp", "stereo", 0.0434, 0.0232),
    "x.ts": ("aac", 44_100, "fltp", "stereo", 0.0434, 0.0232),
    "plain.mp3": ("libmp3lame", 44_100, "fltp", "stereo", 0.0376, 0.0251),
}
OPTIONS = {"vbr.mp3": {"q": "2"}, "5.1.m4a": {"b": "384000"}, "vorbis.ogg": {"strict": "experimental"}}
CONTAINER = {"plain.mp3": {"write_xing": "0"}}


@pytest.mark.parametrize("name", FORMATS)
def test_any_format_has_its_true_length_and_beginning(tmp_path: Path, name: str) -> None:
    codec, rate, form, layout, longer, later = FORMATS[name]
    path = write(
        tmp_path / name, codec, rate, form, layout,
        options=OPTIONS.get(name, {}), container=CONTAINER.get(name, {}),
    )  # fmt: skip
    found = opened(path)
    assert (found.rate, found.channels) == (rate, av.AudioLayout(layout).nb_channels)
    assert found.seconds == pytest.approx(SECONDS + longer, abs=2e-4)
    speech, heard = found.speech(), found.heard()
    assert speech.dtype == heard.values.dtype == np.float32
    assert speech.shape == (round(found.seconds * 16_000),)
    assert heard.values.shape == (1 if layout == "mono" else 2, round(found.seconds * 48_000))
    assert heard.rate == 48_000
    wanted = [moment + later for moment in CLICKS]
    assert clicks(speech, 16_000) == pytest.approx(wanted, abs=1e-3)
    assert clicks(heard.values, 48_000) == pytest.approx(wanted, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(speech[16_000 * 3 // 2 : 16_000 * 19 // 10]))
    assert spectrum.argmax() * 2.5 == pytest.approx(TONE, abs=2.5)


# ---------------------------------------------------------------------- channels and levels


def channel(number: int, count: int, level: float = 0.8) -> np.ndarray:
    """A tone in one of several channels."""
    samples = np.zeros((count, 24_000), np.float32)
    samples[number] = level * np.sin(2 * np.pi * TONE * np.arange(24_000) / 48_000)
    return samples


def test_mono_is_the_mean_of_a_stereo_and_no_louder(tmp_path: Path) -> None:
    both = opened(wav(tmp_path / "both.wav", channel(0, 2) + channel(1, 2), 48_000))
    left = opened(wav(tmp_path / "left.wav", channel(0, 2), 48_000))
    assert both.loudest == pytest.approx(0.8, abs=0.01)
    assert left.loudest == pytest.approx(0.4, abs=0.01)
    assert np.abs(left.speech()).max() == pytest.approx(0.4, abs=0.01)
    heard = np.abs(left.heard().values).max(1)
    assert heard[0] == pytest.approx(0.8, abs=0.01) and heard[1] < 1e-4


@pytest.mark.parametrize("layout", ["5.1", "7.1"])
def test_many_channels_are_mixed_within_full_scale_and_the_voice_of_the_middle_is_there(
    tmp_path: Path, layout: str
) -> None:
    count = av.AudioLayout(layout).nb_channels
    loud = write(
        tmp_path / "loud.wav",
        "pcm_s16le",
        48_000,
        "s16",
        layout,
        sum(channel(i, count) for i in range(count)),
    )
    mixed = np.abs(opened(loud).heard().values)
    assert mixed.max() == pytest.approx(0.8, abs=0.02)
    middle = opened(write(tmp_path / "middle.wav", "pcm_s16le", 48_000, "s16", layout, channel(2, count)))
    left, right = np.abs(middle.heard().values).max(1)
    assert left == pytest.approx(right) and left > 0.1
    assert middle.loudest > 0.1


def test_channels_that_nobody_named_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError) as error:
        opened(wav(tmp_path / "x.wav", np.ones((11, 900), np.int16), 16_000))
    assert str(error.value) == (
        "audio must have channels in a usual layout, such as mono, stereo or 5.1; got 11 channels, "
        "export it as stereo"
    )


def test_what_is_beyond_full_scale_is_cut_off_and_what_is_no_number_is_silence(tmp_path: Path) -> None:
    samples = values(16_000, clicks=[])
    samples[0, 8_000], samples[0, 16_000], samples[0, 24_000:24_100] = np.nan, np.inf, 3
    found = opened(wav(tmp_path / "x.wav", samples, 16_000))
    for got, rate in ((found.speech(), 16_000), (found.heard().values[0], 48_000)):
        assert np.isfinite(got).all() and np.abs(got).max() <= 1
        assert got[round(1.503 * rate)] == pytest.approx(1, abs=0.01)
        calm = np.r_[
            0 : int(0.49 * rate), int(0.51 * rate) : int(0.99 * rate), int(1.01 * rate) : int(1.49 * rate)
        ]
        tone = 0.2 * np.sin(2 * np.pi * TONE * np.arange(len(got)) / rate)
        assert np.abs(got[calm] - tone[calm])[50:].max() < 0.01, "it stays where it is"


@pytest.mark.parametrize(("level", "offset"), [(0, 0), (0, 0.5), (5e-4, 0)])
def test_silence_is_known_as_such_with_an_offset_too(tmp_path: Path, level: float, offset: float) -> None:
    samples = (channel(0, 1, level) + offset).astype(np.float32)
    found = opened(wav(tmp_path / "x.wav", samples, 48_000))
    assert found.loudest < SILENCE
    assert loudness(found.speech(), 16_000, 16)[1:-1].max() < SILENCE


def test_what_is_hardly_heard_is_no_silence(tmp_path: Path) -> None:
    assert opened(wav(tmp_path / "x.wav", channel(0, 1, 2e-3), 48_000)).loudest > SILENCE


def test_loudness_is_the_rms_of_each_frame() -> None:
    rate = 16_000
    tone = np.sin(2 * np.pi * 400 * np.arange(rate) / rate).astype(np.float32)
    samples = np.concatenate([np.zeros(rate, np.float32), 0.5 * tone, tone[: rate // 2]])
    for fps in (16, 24, 25, 30):
        found = loudness(samples + 0.3, rate, fps)
        assert found.dtype == np.float32 and len(found) == np.ceil(2.5 * fps)
        assert np.abs(found[:fps]).max() < 1e-3
        assert found[fps : 2 * fps] == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
        assert found[2 * fps :] == pytest.approx(1 / np.sqrt(2), rel=0.05)
    assert loudness(np.zeros(0, np.float32), rate, 16).shape == (0,)
    assert loudness(tone[:1], rate, 16).shape == (1,)
    assert loudness(tone[:1001], rate, 16).shape == (2,)


# ---------------------------------------------------------------------- pieces


def test_a_piece_is_that_of_the_whole(tmp_path: Path) -> None:
    found = opened(write(tmp_path / "x.mp3", "libmp3lame"))
    speech, heard = found.speech(), found.heard()
    assert np.array_equal(found.speech(0.4, 0.2), speech[6_400:9_600])
    assert np.array_equal(found.heard(0.4, 0.2).values, heard.values[:, 19_200:28_800])
    assert np.array_equal(found.speech(1.9), speech[30_400:])
    assert found.speech(1.9, 5).shape == (1_600,)
    assert found.speech(7).shape == (0,)
    assert found.heard(7, 1).values.shape == (2, 0)


def test_a_fifth_of_a_second_is_a_sound_and_one_sample_too(tmp_path: Path) -> None:
    for seconds, codec in ((0.2, "libmp3lame"), (0.2, "aac"), (1 / 44_100, "pcm_s16le")):
        path = tmp_path / {"libmp3lame": "a.mp3", "aac": "a.m4a", "pcm_s16le": "a.wav"}[codec]
        form = "s16" if codec == "pcm_s16le" else "fltp"
        found = opened(write(path, codec, 44_100, form, "mono", values(44_100, 1, seconds, [])))
        assert found.seconds == pytest.approx(seconds, abs=1e-3)
        assert found.speech().shape == (round(found.seconds * 16_000),)


def test_measuring_and_a_piece_take_little_memory(tmp_path: Path) -> None:
    path = wav(tmp_path / "x.wav", np.zeros((2, 44_100 * 120), np.int16), 44_100)
    tracemalloc.start()
    found = opened(path)
    found.heard(110, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.seconds == 120
    assert peak < 5e6  # the whole is 46 MB at 48 kHz


# ---------------------------------------------------------------------- containers


def test_the_sound_of_a_clip_begins_with_its_first_picture(tmp_path: Path) -> None:
    one = values(48_000, 1, 1.5)
    for name in ("x.mp4", "x.mkv", "x.webm", "x.ts"):
        found = opened(clip(tmp_path / name, {0.5: one}))
        assert found.seconds == pytest.approx(2.0, abs=0.025), name
        moments = [c + 0.5 for c in CLICKS]
        assert clicks(found.speech(), 16_000, moments) == pytest.approx(moments, abs=2e-3), name
        assert np.abs(found.speech(0, 0.45)).max() < 1e-3


def test_what_a_container_leaves_out_is_silence(tmp_path: Path) -> None:
    one = values(48_000, 1, 0.96, [0.48])  # whole packets
    for name in ("x.mkv", "x.webm"):
        found = opened(clip(tmp_path / name, {0: one, 2: one}))
        assert found.seconds == pytest.approx(2.96, abs=0.05), name
        assert clicks(found.speech(), 16_000, [0.48, 2.48]) == pytest.approx([0.48, 2.48], abs=0.01), name
        assert np.abs(found.speech(1.2, 0.7)).max() < 1e-3


def test_a_cover_is_no_picture_track(tmp_path: Path) -> None:
    plain = write(tmp_path / "x.mp3", "libmp3lame")
    cover, both = tmp_path / "c.png", tmp_path / "both.mp3"
    Image.new("RGB", (300, 300), "red").save(cover)
    with av.open(str(plain)) as source, av.open(str(cover)) as picture, av.open(str(both), "w") as out:
        track = out.add_stream_from_template(source.streams.audio[0])
        shown = out.add_stream_from_template(picture.streams.video[0])
        shown.disposition = av.stream.Disposition.attached_pic
        for packet in [*picture.demux(), *source.demux()]:
            if packet.size:
                packet.stream = track if packet.stream.type == "audio" else shown
                out.mux(packet)
    with av.open(str(both)) as container:
        assert container.streams.video[0].disposition & av.stream.Disposition.attached_pic
    found = opened(both)
    assert clicks(found.speech(), 16_000) == pytest.approx(CLICKS, abs=0.026)
    assert found.seconds == pytest.approx(SECONDS, abs=0.04)


def test_a_file_that_goes_on_in_another_form_is_read_on(tmp_path: Path) -> None:
    bare = {"write_xing": "0", "id3v2_version": "0"}
    one = write(tmp_path / "a.mp3", "libmp3lame", 44_100, container=bare)
    two = write(tmp_path / "b.mp3", "libmp3lame", 48_000, layout="mono", container=bare)
    both = tmp_path / "both.mp3"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    found = opened(both)
    assert (found.rate, found.channels) == (44_100, 2)
    assert found.seconds == pytest.approx(opened(one).seconds + opened(two).seconds, abs=0.06)
    assert found.heard().values.shape[0] == 2
    second = opened(one).seconds + CLICKS[0] + 0.025
    assert clicks(found.speech(), 16_000, [second]) == pytest.approx([second], abs=0.03)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 4_000_000])
def test_a_wav_whose_header_lies_is_as_long_as_it_is(tmp_path: Path, size: int) -> None:
    path = wav(tmp_path / "x.wav", (values(16_000) * 32_767).astype(np.int16), 16_000, size)
    found = opened(path)
    assert found.seconds == SECONDS
    assert clicks(found.speech(), 16_000) == list(CLICKS)


@pytest.mark.parametrize("name", ["x.wav", "x.mp3", "x.ogg"])
def test_of_what_is_cut_where_no_header_knows_there_is_what_is_there(tmp_path: Path, name: str) -> None:
    codec, form = {
        "x.wav": ("pcm_s16le", "s16"),
        "x.mp3": ("libmp3lame", "fltp"),
        "x.ogg": ("libopus", "flt"),
    }[name]
    path = write(tmp_path / name, codec, 48_000, form)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = opened(path)
    assert found.seconds == pytest.approx(1, abs=0.1)
    assert clicks(found.speech(), 16_000, [0.5]) == pytest.approx([0.5], abs=1e-3)


# ---------------------------------------------------------------------- refused


def cut_flac(path: Path) -> Path:
    write(path, "flac", 44_100, "s16")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def cut_m4a(path: Path) -> Path:
    write(path, "aac", container={"movflags": "+faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    return path


def indexless_m4a(path: Path) -> Path:
    write(path, "aac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def spoilt_flac(path: Path) -> Path:
    write(path, "flac", 44_100, "s16")
    raw = bytearray(path.read_bytes())
    for at in range(9_000, len(raw), 1_000):
        raw[at] ^= 0xFF
    path.write_bytes(raw)
    return path


def text(path: Path) -> Path:
    path.write_text("these words are no sound\n" * 400)
    return path


def picture(path: Path) -> Path:
    Image.effect_noise((64, 64), 90).save(path, "PNG")
    return path


def moving_picture(path: Path) -> Path:
    Image.effect_noise((64, 64), 90).save(path, "GIF")
    return path


def playlist(path: Path) -> Path:
    real = write(path.with_name("real.wav"), "pcm_s16le", form="s16")
    path.write_text(f"ffconcat version 1.0\nfile '{real.name}'\n")
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def silent_clip(path: Path) -> Path:
    return clip(path, {})


def header_alone(path: Path) -> Path:
    return wav(path, np.zeros((1, 0), np.int16), 16_000)


def slow(path: Path) -> Path:
    return wav(path, np.zeros((1, 99), np.int16), 1)


def endless_rate(path: Path) -> Path:
    return wav(path, np.zeros((1, 99), np.int16), 2**31 - 1)


REFUSED = [
    (text, "x.wav", "audio is not a readable sound: 'x.wav'; export it as WAV or MP3"),
    (text, "x.mp3", "audio is not a readable sound: 'x.mp3'; export it as WAV or MP3"),
    (picture, "x.wav", "audio is not a readable sound: 'x.wav'; export it as WAV or MP3"),
    (moving_picture, "x.wav", "audio has no sound; give a sound, or a clip with one"),
    (silent_clip, "x.mp4", "audio has no sound; give a sound, or a clip with one"),
    (playlist, "x.wav", "audio is not a readable sound: 'x.wav'; export it as WAV or MP3"),
    (empty, "x.mp3", "audio is not a readable sound: 'x.mp3'; export it as WAV or MP3"),
    (header_alone, "x.wav", "audio is not a readable sound: 'x.wav'; export it as WAV or MP3"),
    (indexless_m4a, "x.m4a", "audio is not a readable sound: 'x.m4a'; export it as WAV or MP3"),
    (cut_flac, "x.flac", "audio is damaged or cut short: 'x.flac', of its 2.0 s "),
    (cut_m4a, "x.m4a", "audio is damaged or cut short: 'x.m4a', of its 2.0 s "),
    (spoilt_flac, "x.flac", "audio is damaged or cut short: 'x.flac', "),
    (slow, "x.wav", "audio must have 1000 to 768000 samples a second; got 1, export it with 48000"),
    (endless_rate, "x.wav", "audio must have 1000 to 768000 samples a second; got 2147483647, export it with 48000"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "name", "words"), REFUSED, ids=[f"{m.__name__}-{n}" for m, n, _ in REFUSED])
def test_what_is_no_sound_is_refused_in_words(tmp_path: Path, make, name: str, words: str) -> None:
    with pytest.raises(MediaError) as error:
        opened(make(tmp_path / name))
    assert str(error.value).startswith(words)
    assert error.value.field == "audio" and error.value.hint


def limited(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    changed = dataclasses.replace(BUDGETS, **limits)
    for module in (sound, watch):
        monkeypatch.setattr(module, "BUDGETS", changed)


def test_a_sound_that_is_too_long_is_refused_as_far_as_it_was_read(tmp_path: Path, monkeypatch) -> None:
    limited(monkeypatch, sound_seconds=60)
    path = wav(tmp_path / "x.wav", np.zeros((1, 8_000 * 90), np.int16), 8_000)
    with pytest.raises(MediaError) as error:
        opened(path)
    assert str(error.value) == "audio must be at most 60 s long; got 90 s, cut it shorter"


def test_ten_minutes_are_allowed_and_not_a_second_more(tmp_path: Path) -> None:
    silence = np.zeros((1, 1_000 * 601), np.int16)
    assert (
        opened(wav(tmp_path / "x.wav", silence[:, :600_000], 1_000)).seconds == BUDGETS.sound_seconds == 600
    )
    with pytest.raises(MediaError, match="audio must be at most 600 s long; got 601 s, cut it shorter"):
        opened(wav(tmp_path / "x.wav", silence, 1_000))


def test_a_hole_of_hours_is_too_long_and_takes_no_memory(tmp_path: Path) -> None:
    one = values(48_000, 1, 0.96, [])
    with pytest.raises(MediaError, match="audio must be at most 600 s long"):
        opened(clip(tmp_path / "x.mkv", {0: one, 36_000: one}))


def test_a_stop_is_seen_while_a_sound_is_decoded(tmp_path: Path) -> None:
    job = Job()
    seen: list[int] = []

    def check() -> None:
        seen.append(1)
        if len(seen) == 20:
            job.stop.set()
        job.check()

    with pytest.raises(Cancelled):
        opened(write(tmp_path / "x.mp3", "libmp3lame"), Watch(check))
    assert len(seen) == 20


def test_the_time_of_decoding_is_charged_to_the_job(tmp_path: Path) -> None:
    spent = Watch()
    found = opened(write(tmp_path / "x.mp3", "libmp3lame"), spent)
    assert spent.left < BUDGETS.decode_seconds
    spent.left = 0
    with pytest.raises(MediaError, match="audio must be decoded within 60 s, with all media of the job"):
        found.speech()


@pytest.mark.parametrize("name", ["x.wav", "x.mp3", "x.m4a", "x.ogg", "x.webm", "x.flac", "x.mkv"])
def test_of_damaged_files_comes_a_sound_or_a_media_error(tmp_path: Path, name: str) -> None:
    codec, form = {
        ".wav": ("pcm_s16le", "s16"), ".mp3": ("libmp3lame", "fltp"), ".m4a": ("aac", "fltp"),
        ".ogg": ("libopus", "flt"), ".webm": ("libopus", "flt"), ".flac": ("flac", "s16"), ".mkv": ("aac", "fltp"),
    }[Path(name).suffix]  # fmt: skip
    path = write(tmp_path / name, codec, 48_000, form, samples=values(48_000, 2, 0.4, [0.2]))
    whole = path.read_bytes()
    dice = np.random.default_rng(len(whole))
    for turn in range(40):
        raw = bytearray(whole)
        if turn % 4 == 0:
            raw = raw[: dice.integers(1, len(raw))]
        heads = min(len(raw), 400) if turn % 2 else len(raw)  # half of them in the header
        for _ in range(turn % 8):
            raw[dice.integers(heads)] = dice.integers(256)
        path.write_bytes(raw)
        try:
            found = opened(path)
            got = found.speech()
        except MediaError:
            continue
        assert np.isfinite(got).all() and 0 <= found.loudest <= 1
        assert abs(len(got) / 16_000 - found.seconds) < 0.01, turn
