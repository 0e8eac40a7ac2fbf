"""Every sub-mode that needs no downloaded model makes a control of exactly the asked size and length."""

import numpy as np
import pytest
from PIL import Image

from common.contract import MediaHandle
from common.control.makers import MAKERS, Material, make
from common.errors import Cancelled, InputError, StudioError, WeightsError
from common.modes.submodes import FAMILIES, SUBMODES, family
from common.modes.vace import MODE, Request

W, H, N = 64, 48, 9


def clip(count: int = N, size: tuple[int, int] = (80, 60)) -> list[Image.Image]:
    """A white square that moves right on black."""
    made = [Image.new("RGB", size) for _ in range(count)]
    for i, frame in enumerate(made):
        frame.paste((255, 255, 255), (10 + 3 * i, 20, 30 + 3 * i, 40))
    return made


def mask(size: tuple[int, int] = (80, 60)) -> Image.Image:
    drawn = Image.new("RGB", size)
    drawn.paste((255, 255, 255), (0, 0, size[0] // 2, size[1]))
    return drawn


def material(submode: str, **fields) -> Material:
    row = SUBMODES[submode]
    values = {
        "prompt": "x",
        "submode": submode,
        "bbox": [0.1, 0.1, 0.5, 0.5],
        "bbox_to": [0.4, 0.4, 0.8, 0.8],
    }
    request = MODE.parse(values | fields)
    assert isinstance(request, Request)
    return Material(
        request, row, W, H, N, video=clip(), last_video=clip(), mask=[mask()],
        references=[Image.new("RGB", (20, 40), (255, 0, 0))], image=clip()[0], last_image=clip()[-1],
        middle_image=clip()[1],
    )  # fmt: skip


WITHOUT_MODELS = [s for s in SUBMODES.values() if not s.models()]


@pytest.mark.parametrize("submode", WITHOUT_MODELS, ids=lambda s: s.key)
def test_submode_without_models(submode) -> None:
    made = make(material(submode.key))
    assert len(made.video) == len(made.mask) == N
    assert {p.size for p in [*made.video, *made.mask, *made.references]} == {(W, H)}
    assert {v for m in made.mask for v in np.unique(np.asarray(m))} <= {0, 255}  # hard masks only
    assert any(np.asarray(m).max() == 255 for m in made.mask)  # something is left to make


@pytest.mark.parametrize("submode", [s for s in SUBMODES.values() if s.models()], ids=lambda s: s.key)
def test_submode_with_models_says_what_is_missing(submode, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("WAN_ANNOTATORS", raising=False)
    with pytest.raises(StudioError) as error:
        make(material(submode.key, label="dog", caption="the dog"))
    text = str(error.value)
    assert ("is not on this machine" in text and "--weights wan" in text) or "pip install" in text
    assert "sub-mode `plain`" in text
    if isinstance(error.value, WeightsError):
        assert "MB" in text


@pytest.mark.parametrize("submode", ["gray", "scribble", "flow", "inpainting_mask", "framerefext"])
def test_a_stopped_job_stops_between_two_frames(submode: str) -> None:
    looks: list[int] = []

    def check(done: int = 0, total: int = 0) -> None:
        looks.append(1)
        if len(looks) == 3:
            raise Cancelled()

    m = material(submode)
    m.check = check
    with pytest.raises(Cancelled):
        make(m)
    assert len(looks) == 3


def test_a_mask_is_held_against_the_video_as_both_were_given() -> None:
    # Both were scaled down to cover 64x48, the mask to exactly that: it still has another shape than the video.
    m = material("inpainting_mask")
    mask_given = MediaHandle(path="m.png", width=640, height=480)
    m.request = m.request.model_copy(
        update={"video": MediaHandle(path="v.mp4", width=480, height=640), "mask": mask_given}
    )
    m.video, m.mask = clip(size=(64, 86)), [mask((64, 48))]
    with pytest.raises(InputError, match="mask must have the shape of the video; got 640x480 for 480x640"):
        make(m)
    # One that was drawn for the output is taken as it is, whatever the video.
    drawn = mask_given.model_copy(update={"width": W, "height": H})
    m.request = m.request.model_copy(update={"mask": drawn})
    hole = np.asarray(make(m).mask[0])[..., 0]
    assert (hole[:, : W // 2] == 255).all() and (hole[:, W // 2 :] == 0).all()


def test_every_maker_is_used_and_every_family_filled() -> None:
    assert {s.maker for s in SUBMODES.values()} == set(MAKERS)
    assert all(family(name) for name in FAMILIES)


def test_inpainting_fills_gray_and_keeps_the_rest() -> None:
    made = make(material("inpainting_mask"))
    video, hole = np.asarray(made.video[0]), np.asarray(made.mask[0])
    assert (video[:, : W // 2] == 128).all() and (hole[:, : W // 2] == 255).all()
    assert (hole[:, W // 2 :] == 0).all()
    assert not (video[:, W // 2 :] == 128).all()


def test_padding_is_made_anew_and_cropping_is_not() -> None:
    # 80x60 is 4:3 like 64x48; a 60x60 source in 64x48 is padded by 8 columns on either side.
    m = material("inpainting_bbox", fit="pad")
    m.video = clip(size=(60, 60))
    hole = np.asarray(make(m).mask[0])[..., 0]
    assert (hole[:, :8] == 255).all() and (hole[:, 56:] == 255).all() and hole[47, 30] == 0


def test_clips_are_kept_at_the_right_end() -> None:
    first = make(material("firstclip", keep_frames=3))
    assert [np.asarray(m).max() for m in first.mask] == [0] * 3 + [255] * 6
    last = make(material("lastclip", keep_frames=3))
    assert [np.asarray(m).max() for m in last.mask] == [255] * 6 + [0] * 3
    # A continued clip ends where the new one goes on: its last frame is the last that is kept.
    source = clip()
    assert np.array_equal(
        np.asarray(first.video[2]), np.asarray(source[-1].resize((W, H), Image.Resampling.LANCZOS))
    )


def test_control_keeps_nothing_of_the_source_pixels() -> None:
    made = make(material("gray"))
    assert all(np.asarray(m).min() == 255 for m in made.mask)


def test_move_anything_starts_with_the_picture_and_goes_on_as_a_layout() -> None:
    made = make(material("move_anything"))
    assert np.asarray(made.mask[0]).max() == 0 and np.asarray(made.mask[1]).min() == 255
    assert np.array_equal(
        np.asarray(made.video[0]), np.asarray(clip()[0].resize((W, H), Image.Resampling.LANCZOS))
    )
    assert set(np.unique(np.asarray(made.video[4]))) == {0, 255}


def test_expand_anything_grows_the_first_frame_only() -> None:
    made = make(material("expand_anything"))
    assert [np.asarray(m).min() for m in made.mask] == [0] + [255] * 8


def test_references_only_is_all_gray_and_all_white() -> None:
    made = make(material("reference_anything"))
    assert {v for f in made.video for v in np.unique(np.asarray(f))} == {128}
    assert made.references[0].getpixel((0, 0)) == (255, 255, 255)
    assert made.references[0].getpixel((W // 2, H // 2)) == (255, 0, 0)


def test_a_mask_of_another_shape_is_refused() -> None:
    m = material("inpainting_mask")
    m.mask = [mask((60, 60))]
    with pytest.raises(InputError, match="mask must have the shape of the video; got 60x60 for 80x60"):
        make(m)


def test_a_mask_without_white_is_refused() -> None:
    m = material("inpainting_mask")
    m.mask = [Image.new("RGB", (80, 60))]
    with pytest.raises(InputError, match="mask has no white"):
        make(m)


def test_a_clip_that_is_too_short_names_the_length_that_fits() -> None:
    m = material("gray")
    m.video = clip(7)
    with pytest.raises(InputError, match="num_frames must not exceed the 7 frames of video; got 9, try 5"):
        make(m)


def test_a_control_of_another_size_or_length_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from common.annotate.frames import Control
    from common.control import makers

    for video, said in (
        (clip(N, (80, 60)), "9 video frames of 80x60"),
        (clip(N - 1, (W, H)), "8 video frames of"),
    ):
        wrong = Control(video, [Image.new("L", (W, H))] * N, [])
        monkeypatch.setattr(makers, "MAKERS", {SUBMODES["plain"].maker: lambda _, wrong=wrong: wrong})
        with pytest.raises(StudioError, match=f"{said}.* where 9 of 64x48 are needed") as told:
            make(material("plain"))
        assert told.value.title == "The control does not fit"
