"""FLF2V, V2V and VACE through the named API of their mounted Spaces, with every sub-mode without models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from common.modes.submodes import SUBMODES
from tests import studio
from tests.spaces import media_for_modes as media

SHORT = {"prompt": "a red circle moving right on a black background", "num_inference_steps": 1, "seed": 1}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory):
    with studio.running(tmp_path_factory.mktemp("studio"), "flf2v", "v2v", "vace") as url:
        yield url


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("media")
    picture = media.picture(folder / "a.png")["path"]
    clip = media.clip(folder / "c.mp4")["path"]
    return {
        "video": handle_file(clip), "last_video": handle_file(clip),
        "mask": handle_file(media.mask(folder / "m.png")["path"]),
        "image": handle_file(picture),
        "middle_image": handle_file(picture),
        "last_image": handle_file(media.picture(folder / "b.png", 40)["path"]),
        "reference_images": [handle_file(picture)],
        "bbox": [0.1, 0.1, 0.5, 0.5], "bbox_to": [0.4, 0.4, 0.9, 0.9],
    }  # fmt: skip


def client(address: str, mode: str) -> Client:
    return Client(f"{address}/{mode}/", verbose=False, token=False, ssl_verify=False)


def generate(address: str, mode: str, **values: Any) -> tuple[Path, dict[str, Any]]:
    video, event = client(address, mode).predict(**{**SHORT, **values}, api_name="/generate")
    assert event["type"] == "done"
    return Path(video if isinstance(video, str) else video["path"]), event


def test_flf2v(address, files):
    path, event = generate(
        address, "flf2v", image=files["image"], last_image=files["last_image"], num_frames=5
    )
    assert len(media.read(path)) == 5 and event["plan"]["mode"] == "flf2v"


def test_v2v_is_as_long_as_its_clip(address, files):
    path, event = generate(address, "v2v", video=files["video"], strength=1.0)
    assert len(media.read(path)) == 5 and event["plan"]["strength"] == 1.0


def test_vace_without_submode_takes_the_video_as_given_and_inpaints_with_a_mask(address, files):
    generate(address, "vace", video=files["video"])
    _, event = generate(address, "vace", video=files["video"], mask=files["mask"])
    assert {p["role"] for p in event["lineage"]["parents"]} == {"video", "mask"}


def test_prepare_gives_control_and_mask(address, files):
    video, mask, references, notices, event = client(address, "vace").predict(
        prompt="x", submode="outpainting", video=files["video"], reference_images=files["reference_images"],
        api_name="/prepare",
    )  # fmt: skip
    control, white = (media.read(f if isinstance(f, str) else f["path"]) for f in (video, mask))
    # 128x128 grows by a quarter on the left and right: 192x128 in 128x128 is 85 wide and centred.
    assert white[0, 64, 5].min() > 250 and white[0, 64, 64].max() < 5 and white[0, 5, 64].min() > 250
    assert abs(int(control[0, 5, 5].mean()) - 128) <= 3
    assert len(references) == 1 and isinstance(notices, list) and event is None


def test_what_was_prepared_can_be_given_back_as_it_is(address, files):
    video, mask, *_ = client(address, "vace").predict(
        prompt="x", submode="inpainting_mask", video=files["video"], mask=files["mask"], api_name="/prepare"
    )
    own = {
        n: handle_file(f if isinstance(f, str) else f["path"]) for n, f in (("video", video), ("mask", mask))
    }
    generate(address, "vace", submode="plain", **own)


@pytest.mark.parametrize(
    ("mode", "values", "text"),
    [
        ("flf2v", {"image": "image"}, "last_image is required; give end frame"),
        ("v2v", {"video": "video", "strength": 0.05}, "strength x num_inference_steps must be at least 1"),
        ("vace", {"submode": "gray"}, "video is required for gray; give a source clip"),
        ("vace", {"submode": "depth", "video": "video"}, "is not on this machine"),
        ("vace", {"reference_images": "four"}, "reference_images takes at most 3 pictures; got 4"),
    ],
)
def test_bad_input_is_an_error_with_its_text(address, files, mode, values, text):
    known = {**files, "four": files["reference_images"] * 4}
    values = {k: known[v] if isinstance(v, str) and v in known else v for k, v in values.items()}
    with pytest.raises(AppError) as error:
        client(address, mode).predict(**{**SHORT, **values}, api_name="/generate")
    assert text in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("row", [s for s in SUBMODES.values() if not s.models()], ids=lambda s: s.key)
def test_every_submode_without_models(address, files, row):
    source = row.source(None)
    given = {name: files[name] for name in (*row.needs, *(source.needs if source else ()))}
    path, event = generate(address, "vace", submode=row.key, num_frames=5, **given)
    assert len(media.read(path)) == 5
    assert event["lineage"]["request"]["submode"] == row.key


@pytest.mark.slow
@pytest.mark.parametrize("source", ["mask", "bbox"])
def test_swap_and_track_by_other_mask_sources(address, files, source):
    given = {name: files[name] for name in ("video", "reference_images", source)}
    generate(address, "vace", submode="swap_anything", mask_source=source, num_frames=5, **given)
    given = {"video": files["video"], "mask": files["mask"]}
    generate(address, "vace", submode="layout_track", mask_source="mask", num_frames=5, **given)
