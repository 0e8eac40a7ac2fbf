"""Sound as S2V's transformer is given it: when each frame is, and what of wav2vec2 it hears."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2ForCTC

from common.runtime.pipelines.s2v import audio
from common.speech import CLIPS, SAMPLE_RATE, ClipLaw
from tests.common.runtime.pipelines.s2v import tiny_parts


class Ears:
    """Hears the mean of the 400 samples every 320 from, as wav2vec2 listens; a second layer hears its negative."""

    device, dtype = torch.device("cpu"), torch.float32

    def base_model(self, values: torch.Tensor, output_hidden_states: bool) -> Any:
        assert output_hidden_states
        heard = values.unfold(1, 400, 320).mean(-1)[..., None]
        return SimpleNamespace(
            hidden_states=(heard, heard.new_full(heard.shape, 9)), last_hidden_state=-heard
        )


def as_it_is(samples: np.ndarray, sampling_rate: int, return_tensors: str) -> Any:
    assert (sampling_rate, return_tensors) == (SAMPLE_RATE, "pt")
    return SimpleNamespace(input_values=torch.from_numpy(samples)[None])


def clock(seconds: float) -> np.ndarray:
    """A sound whose every sample is its own moment, in seconds."""
    return np.arange(round(seconds * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE


def speech(seconds: float) -> np.ndarray:
    moments = clock(seconds)
    return (np.sin(moments * 900) * np.sin(moments * 17)).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.2, 1.0, 4.9, 5.0, 5.1, 9.99, 10.0, 27.3])
@pytest.mark.parametrize("law", [CLIPS, ClipLaw(frames=16)])
def test_a_frame_hears_its_own_moment(seconds: float, law: ClipLaw) -> None:
    embeds = audio.embed(clock(seconds), Ears(), as_it_is, law)
    frames = law.lasting(round(seconds * SAMPLE_RATE))
    assert embeds.shape == (law.count(frames), 2, 1, law.frames)
    heard = embeds[:, 0, 0].flatten()[law.dropped :]  # what the video shows
    own = torch.arange(frames) / law.fps
    assert (heard[:frames] - own)[:-1].abs().max() < 1 / law.fps
    assert heard[frames + 1 :].abs().max() == 0 if len(heard) > frames + 1 else True


def test_what_is_dropped_hears_silence() -> None:
    loud = np.ones(SAMPLE_RATE, np.float32)
    heard = audio.embed(loud, Ears(), as_it_is)[0, 0, 0]
    assert heard[:3].abs().max() < 0.3  # the third ends as the sound begins
    assert heard[3:19].min() > 0.7
    assert torch.equal(audio.embed(loud, Ears(), as_it_is)[0, 1, 0], -heard)  # the last state, and no other


def test_frames_are_taken_of_thirty_a_second_as_in_wan() -> None:
    """These numbers are what get_audio_embed_bucket_fps took of 27 moments that were numbered."""
    states = torch.arange(45.0)[:, None]  # 45 at 50 a second are 27 at 30
    found = audio._by_frame(states, 1, ClipLaw(frames=16))[0, 0]
    told = [0, 2, 4, 6, 8, 9, 11, 13, 15, 17, 19, 21, 22, 24, 26]
    expected = torch.tensor([*told, 0]) * 44 / 26  # the 16th, at 28, lies after the end
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("stable", [True, False])
def test_layers_are_those_that_older_transformers_gave(stable: bool) -> None:
    encoder, processor = tiny_parts.ears(stable=stable)
    embeds = audio.embed(speech(1.0), encoder, processor)
    assert embeds.shape == (1, 25, tiny_parts.AUDIO_DIM, 80)
    model: Any = encoder.base_model
    padded = np.pad(speech(1.0), (3000, 400))
    with torch.no_grad():
        values = processor(padded, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_values
        states, _ = model.feature_projection(model.feature_extractor(values).transpose(1, 2))
        states = states + model.encoder.pos_conv_embed(states)
        layers = [states if stable else model.encoder.layer_norm(states)]
        for layer in model.encoder.layers:
            layers.append(layer(layers[-1]))
        if stable:
            layers[-1] = model.encoder.layer_norm(layers[-1])
    expected = torch.stack([audio._by_frame(each[0], 1, CLIPS) for each in layers], 1)
    torch.testing.assert_close(embeds, expected)


def test_a_model_with_a_head_hears_the_same() -> None:
    encoder, processor = tiny_parts.ears()
    headed = Wav2Vec2ForCTC(encoder.config).eval()
    headed.wav2vec2.load_state_dict(encoder.state_dict())
    sound = speech(0.5)
    assert torch.equal(audio.embed(sound, headed, processor), audio.embed(sound, encoder, processor))


@pytest.mark.parametrize("sound", [np.zeros(16_000, np.float32), speech(0.2), np.zeros(1, np.float32)])
def test_silence_and_a_short_sound_are_heard(sound: np.ndarray) -> None:
    embeds = audio.embed(sound, *tiny_parts.ears())
    assert embeds.shape == (1, 25, tiny_parts.AUDIO_DIM, 80)
    assert torch.isfinite(embeds).all()


def test_a_video_may_be_longer_or_shorter_than_its_sound() -> None:
    whole = audio.embed(clock(5.0), Ears(), as_it_is)
    assert torch.equal(audio.embed(clock(5.0), Ears(), as_it_is, frames=77), whole[:1])
    longer = audio.embed(clock(5.0), Ears(), as_it_is, frames=200)
    assert torch.equal(longer[:2], whole) and not longer[2].any()


@pytest.mark.parametrize(
    ("sound", "told"),
    [
        (np.zeros(0, np.float32), "mono"),
        (np.zeros((2, 100), np.float32), "mono"),
        (np.zeros(audio.MAX_SECONDS * SAMPLE_RATE + 1, np.float32), "longer"),
    ],
)
def test_what_cannot_be_heard_is_refused(sound: np.ndarray, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        audio.embed(sound, Ears(), as_it_is)
