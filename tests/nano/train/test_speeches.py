"""What S2V is learned from is what its pipeline would be given, and pulses with what is heard."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from common.runtime.pipelines.s2v import audio
from common.speech import NANO_CLIPS, SAMPLE_RATE
from nano.judge.measure import look
from nano.train.sounds import loudness, random_sounds
from nano.train.speeches import GROWTH, pulsing, speech, still_scenes


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    random.seed(0)


@pytest.fixture(scope="module")
def ears():
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

    from nano.sums import WEIGHTS

    encoder = Wav2Vec2Model.from_pretrained(WEIGHTS / "wav2vec2", dtype=torch.float32).eval()
    return encoder, Wav2Vec2FeatureExtractor.from_pretrained(WEIGHTS / "wav2vec2-processor")


@pytest.mark.parametrize("seconds", [0.5, 1.37, 2.0])
def test_sounds_are_heard_as_the_pipeline_hears_them(ears, seconds):
    from nano.train.hearing import hear

    sounds = random_sounds(3, int(seconds * SAMPLE_RATE))
    frames = NANO_CLIPS.lasting(sounds.shape[1])
    heard, loud = hear(ears[0], sounds, frames)
    for sound, mine in zip(sounds, heard, strict=True):
        theirs = audio.embed(sound.numpy(), *ears, NANO_CLIPS)
        assert mine.shape == theirs.shape and torch.allclose(mine, theirs, atol=1e-4)
    there = loud[:, NANO_CLIPS.dropped :][:, :frames]
    assert torch.allclose(there[:, :-1], loudness(sounds)[:, : frames - 1], atol=1e-5)


def test_loudness_is_that_of_the_moment():
    sound = torch.zeros(1, SAMPLE_RATE)
    sound[:, 8000:] = 0.1
    loud = loudness(sound)[0]
    assert (loud[:6] == loud[0]).all() and loud[0] < 1e-3
    assert 0.4 < loud[10] < 0.6 and loud[7] < loud[8] < loud[9]
    assert (loudness(4 * sound)[0, 10:14] == 1).all()


def test_the_encoder_hears_how_loud_it_is(ears):
    """A line through what it says of one half of the moments tells the loudness of the other half."""
    sounds = random_sounds(24, SAMPLE_RATE + audio.WINDOW)
    with torch.no_grad():
        heard = ears[0](sounds).last_hidden_state.flatten(0, 1)
    loud = loudness(sounds, 320)[:, : len(heard) // 24].flatten()
    known = torch.cat([heard, torch.ones(len(heard), 1)], 1)
    half = len(heard) // 2
    line = torch.linalg.lstsq(known[:half], loud[:half, None]).solution
    told = (known[half:] @ line)[:, 0]
    assert np.corrcoef(told.numpy(), loud[half:].numpy())[0, 1] > 0.97


def test_a_shape_has_its_resting_size_in_silence_and_grows_with_loudness():
    scenes = still_scenes(4, 1.0, "cpu")
    loud = torch.tensor([[0.0, 0.5, 1.0]]).expand(4, 3)
    _, _, radius, _ = pulsing(scenes, loud)
    assert torch.equal(radius[:, 0], scenes.radius)
    assert torch.allclose(radius[:, 2], scenes.radius * (1 + GROWTH))


@pytest.mark.parametrize("later", [False, True])
def test_a_clip_goes_on_from_what_is_before_it(ears, later):
    shown = speech(ears[0], 6, 64, 96, "cpu", later=later)
    assert shown.audio.shape == (6, 3, 48, NANO_CLIPS.frames)
    assert shown.clip.shape == (6, 3, NANO_CLIPS.frames, 64, 96)
    assert shown.before.shape == (6, 3, NANO_CLIPS.motion if later else 1, 64, 96)
    assert (shown.clip[:, :, 0] - shown.before[:, :, -1]).abs().mean() < 0.1
    if not later:  # what is dropped is silent: it turns from the picture
        assert (shown.clip[:, :, 0] - shown.picture).abs().mean() < 0.02


@pytest.mark.parametrize("later", [False, True])
def test_poses_lead_the_shape_and_where_they_have_ended_it_stays(ears, later):
    shown = speech(ears[0], 24, 64, 64, "cpu", later=later, posed=True)
    assert shown.poses is not None and shown.poses.shape == shown.clip.shape
    frames = shown.poses.shape[2]
    there = shown.poses.flatten(3).amax(3).amax(1) > 0  # [n, frames]
    assert there.float().mean() > 0.8
    line = torch.linspace(-1, 1, 64)
    moved = []
    for cover, drawn, seen in zip(shown.cover[:, 0], shown.poses + 1, there, strict=True):
        figure = drawn.amax(0)
        for k in range(frames):
            if not seen[k]:
                assert not seen[k:].any()  # once ended, a pose video does not come back
                continue
            for axis in (0, 1):
                shape, at = cover[k].sum(axis), figure[k].sum(axis)
                assert abs((shape * line).sum() / shape.sum() - (at * line).sum() / at.sum()) < 0.2
        where = [(frame.sum(0) * line).sum() / frame.sum() for frame in cover]
        moved.append(abs(where[-1] - where[0]))
        if seen.all() or not seen.any():
            continue
        ended = int(seen.sum())
        assert max(abs(x - where[ended - 1]) for x in where[ended:]) < 0.06
    assert max(moved) > 0.4


def test_each_task_is_a_shelf_of_its_own(ears):
    """Joined by their shapes alone, those with a tail were once learned without it."""
    from nano.kinds import kind_named
    from nano.train.conditions import fill_shelves
    from nano.train.parts import new_vae

    shelves = fill_shelves(kind_named("s2v"), new_vae("vae-2.1"), ears[0], 4, "cpu", batch=1)
    found = {
        (frozenset({"motion", "poses"} & shelf.extra.keys()), shelf.latents.shape[-2:]) for shelf in shelves
    }
    assert len(found) == len(shelves) == 12


def test_what_pulses_can_be_measured():
    scenes = still_scenes(6, 1.0, "cpu")
    loud = loudness(random_sounds(6, SAMPLE_RATE))
    from nano.judge.cases import as_array
    from nano.train.world import render

    clips, _ = render(scenes, loud.shape[1], 128, 128, way=pulsing(scenes, loud))
    for clip, wanted in zip(clips, loud.numpy(), strict=True):
        if wanted.std() > 0.05:
            sizes = np.sqrt(look(as_array(clip)).area)
            assert np.corrcoef(sizes, wanted)[0, 1] > 0.95
