"""The reduced form of `python -m nano.judge.check`: a few clips on the CPU, of the kinds that the Spaces' own clips
(tests/spaces/test_meaning.py) say least of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nano
from nano.judge.cases import cases, load
from nano.judge.check import Tally, check, inpainted

RESULTS = Path(nano.__file__).parent / "judge" / "results"


def means(kind: str, count: int) -> dict[str, float]:
    report = check(kind, count, "cpu", batch=6, first_seed=2_000_000)
    return {name: value["mean"] for name, value in report["measures"].items()}


def full(kind: str) -> dict[str, float]:
    report = json.loads((RESULTS / f"{kind}.json").read_text())
    return {name: value["mean"] for name, value in report["measures"].items()}


@pytest.mark.parametrize("kind", nano.KINDS)
def test_every_kind_is_there_and_whole(kind):
    assert (nano.find(kind) / "model_index.json").is_file()
    assert not nano.kind_named(kind).lightning or nano.lora(kind)


def test_weights_fit_in_git():
    files = [path for path in (Path(nano.__file__).parent / "weights").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40_000_000
    assert max(path.stat().st_size for path in files) < 10_000_000


def test_first_and_last_frame_are_kept_and_the_track_is_continuous():
    got = means("flf2v", 2)
    assert got["quality/first-frame-psnr"] >= 22 and got["quality/last-frame-psnr"] >= 22
    assert got["quality/continuous"] == 1.0


@pytest.mark.slow
def test_an_inverted_vace_mask_is_caught():
    tally, pipe = Tally(), load("vace", "cpu")
    for case in cases(2, 2_000_000):
        inpainted(pipe, "vace", case, tally)
    got = {name: value["mean"] for name, value in tally.result().items()}
    assert got["inpaint/outside-psnr"] >= 26
    assert got["inverted-mask/outside-over-26dB"] < got["inpaint/outside-over-26dB"]


@pytest.mark.slow
def test_a_character_goes_the_driving_shapes_way():
    got = means("animate", 2)
    for name in ("animate", "replace", "joined", "joined-replace"):
        assert got[f"{name}/iou"] >= 0.6 and got[f"{name}/colour"] == 1.0
    assert got["replace/kept-psnr"] >= 26 and got["joined-replace/kept-psnr"] >= 26
    assert got["joined/second-iou"] >= 0.6 and got["joined/no-jump"] == 1.0


@pytest.mark.slow
def test_a_shape_pulses_with_its_own_sound_alone():
    """Dropped or swapped audio is seen: this is what must fail where the sound does not get through."""
    from nano.judge.speeches import deaf, follows, load_speaker, speak, speeches

    pipe = load_speaker("cpu")
    first, second = speeches(2, 2_000_010, seconds=1.0)
    clip = speak(pipe, first, num_inference_steps=12)
    assert follows(clip, first.loud) > 0.6
    swapped = speak(pipe, first, second.sound, num_inference_steps=12)
    with deaf(pipe):
        dropped = speak(pipe, first, num_inference_steps=12)
    assert max(follows(swapped, first.loud), follows(dropped, first.loud)) < follows(clip, first.loud) - 0.3


@pytest.mark.slow
def test_a_speech_is_what_the_picture_shows():
    got = means("s2v", 2)
    assert got["own/correlation"] >= 0.6 and got["own/colour"] >= 0.6
    assert got["other/correlation"] < got["own/correlation"] - 0.3
    assert got["silent/at-rest"] >= 0.6


SAYS_IT = {"background": 0.98, "colour": 0.95, "motion": 0.90, "shape": 0.85}
FROM_A_PICTURE = {"first-frame-over-24dB": 0.99, "first-frame-nearest": 0.99, "motion": 0.90}
TARGETS: dict[str, dict[str, float]] = {
    **{kind: {f"quality/{name}": least for name, least in SAYS_IT.items()} for kind in ("dense", "moe")},
    **{
        kind: {f"quality/{n}": least for n, least in FROM_A_PICTURE.items()}
        for kind in ("i2v-clip", "i2v-moe")
    },
    "ti2v": {
        **{f"quality/{name}": least for name, least in SAYS_IT.items()},
        **{f"image-quality/{name}": least for name, least in FROM_A_PICTURE.items()},
    },
    "flf2v": {
        "quality/first-frame-over-22dB": 0.99,
        "quality/last-frame-over-22dB": 0.99,
        "quality/continuous": 0.99,
    },
    "v2v": {"strength-0.8/colour": 0.95},
    "vace": {
        "inpaint/outside-over-26dB": 0.99,
        "inpaint/colour": 0.95,
        "inpaint/shape": 0.85,
        "edges/iou": 0.6,
        "edges/colour": 0.95,
        "extend/kept-psnr": 26,
        "extend/motion": 0.90,
        "outpaint/kept-psnr": 26,
        "outpaint/no-seam": 0.99,
        "reference/colour": 0.95,
        "reference/shape": 0.85,
        "half/kept-psnr": 26,
        "half/colour": 0.95,
        "half/shape": 0.85,
    },
    "animate": {
        "animate/iou": 0.6,
        "animate/identity": 0.90,
        "animate/motion": 0.90,
        "animate/background": 0.98,
        "replace/iou": 0.6,
        "replace/identity": 0.90,
        "replace/kept-psnr": 26,
        "replace/kept-over-26dB": 0.99,
        "joined/second-iou": 0.6,
        "joined/no-jump": 0.99,
        "joined/identity": 0.90,
        "joined-replace/second-iou": 0.6,
        "joined-replace/no-jump": 0.99,
        "joined-replace/kept-psnr": 26,
    },
    "s2v": {
        "own/correlation": 0.7,
        "own/correlation-over-0.7": 0.99,
        "wide/correlation": 0.7,
        "tall/correlation": 0.7,
        "other/own-is-nearer": 0.95,
        "deaf/own-is-nearer": 0.90,
        "own/colour": 0.90,
        "own/shape": 0.85,
        "own/background": 0.98,
        "joint/no-jump": 0.99,
        "silent/at-rest": 0.90,
    },
}


MISSED = {
    ("dense", "quality/motion"): 0.86,
    ("dense", "quality/shape"): 0.80,
    ("moe", "fast/motion"): 0.80,
    ("moe", "fast/shape"): 0.67,
    ("i2v-moe", "quality/motion"): 0.83,
    ("ti2v", "quality/motion"): 0.75,
    ("ti2v", "quality/shape"): 0.54,
    ("ti2v", "image-quality/motion"): 0.80,
    ("flf2v", "quality/last-frame-over-22dB"): 0.92,
    ("vace", "inpaint/shape"): 0.73,
    ("vace", "extend/motion"): 0.86,
    ("vace", "reference/colour"): 0.65,
    ("vace", "reference/shape"): 0.45,
    ("vace", "half/kept-psnr"): 25,
    ("vace", "half/shape"): 0.62,
}
"""What is not reached yet, with its figure: less is a failure, and so is an entry that is no longer needed."""


def judge(kind: str, name: str, least: float) -> None:
    reached, known = full(kind)[name], MISSED.get((kind, name))
    assert reached >= (least if known is None else known)
    if known is not None:
        assert reached < least, f"{kind} {name} is reached: take it off MISSED"
        pytest.xfail(f"{kind} {name}: {reached:.2f} of {least:.2f}")


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in TARGETS.items() for name in names]
)
def test_the_full_check_reaches_its_targets(kind, name):
    judge(kind, name, TARGETS[kind][name])


@pytest.mark.parametrize("name", SAYS_IT)
@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_fast_is_within_five_points_of_quality(kind, name):
    judge(kind, f"fast/{name}", full(kind)[f"quality/{name}"] - 0.05)


def test_v2v_keeps_less_of_the_track_with_more_strength():
    got = full("v2v")
    errors = [got[f"strength-{strength}/position-error"] for strength in (0.3, 0.6, 0.8)]
    assert errors == sorted(errors)


def test_an_inverted_mask_fails_the_full_check():
    assert full("vace")["inverted-mask/outside-over-26dB"] < 0.9


def test_a_pose_that_stands_still_is_followed_too():
    assert full("animate")["held-pose/iou"] < full("animate")["animate/iou"] - 0.2


@pytest.mark.parametrize(
    "wrong",
    ["high-for-both", "low-for-both", "experts-swapped", "guidance-at-high-only", "guidance-at-low-only"],
)
def test_wrongly_wired_moe_experts_are_worse(wrong):
    got = full("moe")
    assert sum(got[f"{wrong}/{n}"] for n in SAYS_IT) < sum(got[f"quality/{n}"] for n in SAYS_IT) - 0.05


@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_fast_without_its_lora_is_worse(kind):
    got = full(kind)
    with_lora = sum(got[f"fast/{name}"] for name in ("motion", "shape"))
    assert with_lora > sum(got[f"fast-without-lora/{name}"] for name in ("motion", "shape")) + 0.05


def test_a_shape_goes_where_poses_lead_it_and_without_them_it_does_not():
    got = full("s2v")
    assert got["posed/away-from-its-way"] < 0.05 < 0.2 < got["pose-dropped/away-from-its-way"]
    assert got["posed/correlation"] >= 0.7


def test_another_sound_a_late_one_and_none_fail_the_full_check():
    got = full("s2v")
    for name in ("other", "deaf"):
        assert got[f"{name}/correlation"] <= 0.2
    assert got["late/correlation"] < got["own/correlation"] - 0.15
