"""The rendered world is what its captions say, and the measurement reads it back."""

from __future__ import annotations

import pytest
import torch

from nano.judge.cases import as_array, cases
from nano.judge.measure import look, psnr
from nano.train.texts import LENGTH, tokens
from nano.train.world import combinations, random_scenes, render
from nano.words import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, caption


@pytest.fixture(autouse=True)
def _one_thread():
    torch.manual_seed(0)


def test_measurement_reads_rendered_clips_without_error():
    wrong = []
    for case in cases(16, 7_000):
        seen = look(case.clip)
        wrong += [(case.prompt, n) for n, word in case.wanted.items() if getattr(seen, n) != word]
    assert not wrong


def test_held_out_combinations_are_apart_from_the_trained_ones():
    held = {tuple(row) for row in combinations(held_out=True).tolist()}
    kept = {tuple(row) for row in combinations(held_out=False).tolist()}
    assert len(held) > 80 and not held & kept
    for column, words in enumerate((COLOURS, SHAPES, MOTIONS, BACKGROUNDS)):
        assert {row[column] for row in kept} == set(range(len(words)))


def test_captions_are_tokenised_like_the_real_tokenizer():
    from transformers import PreTrainedTokenizerFast

    import nano

    tokenizer = PreTrainedTokenizerFast.from_pretrained(nano.find("dense") / "tokenizer")
    scenes = random_scenes(50)
    ids, _ = tokens(scenes, plain=True)
    for index in range(50):
        words = (scenes.colour, scenes.shape, scenes.motion, scenes.background, scenes.size)
        text = caption(*(int(word[index]) for word in words))
        assert tokenizer(text, padding="max_length", max_length=LENGTH).input_ids == ids[index].tolist()


def test_every_wording_ends_once_and_keeps_what_it_tells():
    scenes = random_scenes(400)
    ids, told = tokens(scenes, blank=0.2)
    assert ids.shape == (400, LENGTH) and ((ids == 1).sum(1) == 1).all()
    assert (told[:, 0] == -1).any() and ((told[:, 0] == scenes.colour) | (told[:, 0] == -1)).all()


@pytest.mark.parametrize(("height", "width"), [(128, 128), (128, 192), (192, 128)])
def test_shapes_stay_in_the_picture(height, width):
    _, cover = render(random_scenes(40, width / height), 5, height, width)
    assert ((cover > 0.5).sum((1, 3, 4)) > 20).all()


def test_vaes_give_clips_back():
    from nano.judge.cases import load

    case = cases(1, 9_000)[0]
    for kind, least in (("dense", 33.0), ("ti2v", 30.0)):
        vae = load(kind, "cpu").vae
        clip = torch.from_numpy(case.clip).permute(3, 0, 1, 2)[None].float() * 2 - 1
        with torch.no_grad():
            made = vae.decode(vae.encode(clip).latent_dist.mean).sample
        assert psnr(as_array(made[0]), case.clip) > least
