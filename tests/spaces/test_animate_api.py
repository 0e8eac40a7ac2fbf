"""Animate through the named API of its mounted Space: programs bring files of any make, and get words or a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from tests import studio
from tests.spaces import media_for_modes as media

EXAMPLES = Path(__file__).parents[2] / "common/examples"
CHARACTER, DRIVING = (str(EXAMPLES / name) for name in ("yellow-star.png", "red-circle.mp4"))
SHORT: dict[str, Any] = {"image": handle_file(CHARACTER), "num_inference_steps": 1, "seed": 1}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory):
    with studio.running(tmp_path_factory.mktemp("studio"), "animate") as url:
        yield Client(f"{url}/animate/", verbose=False, token=False, ssl_verify=False)


def path_of(file: Any) -> str:
    return file if isinstance(file, str) else file["path"]


def driving(
    path: Path, *, frames: int = 12, size: tuple[int, int] = (128, 128), times: list[int] | None = None
) -> str:
    """A red disc that goes right, in milliseconds that need not be even."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=1000, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        y, x = np.mgrid[: size[1], : size[0]]
        for n in range(frames):
            inside = (x - size[0] * (0.3 + 0.4 * n / frames)) ** 2 + (y - size[1] / 2) ** 2 < (0.16 * min(size)) ** 2
            picture = np.where(inside[..., None], (210, 40, 40), (20, 20, 60)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = times[n] if times else n * 40
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return str(path)


def test_prepare_shows_what_the_model_is_given_and_takes_it_back(client, tmp_path) -> None:
    clip = handle_file(driving(tmp_path / "a.mp4"))
    asked = {"image": SHORT["image"], "video": clip, "animate_mode": "replace"}
    *videos, notices, event = client.predict(**asked, api_name="/prepare")
    assert event is None and isinstance(notices, list)
    pose, face, background, mask = (media.read(path_of(v)) for v in videos)
    assert pose.shape == background.shape == mask.shape == (14, 128, 128, 3), "12 frames of 40 ms at 30 fps"
    assert face.shape == (14, 512, 512, 3)
    white = mask[0, ..., 0] > 128
    assert 0.05 < white.mean() < 0.5 and background[0][white].mean() < 8
    names = ("pose_video", "face_video", "background_video", "mask_video")
    own = {name: handle_file(path_of(v)) for name, v in zip(names, videos, strict=True)}
    video, event = client.predict(**SHORT, **own, animate_mode="replace", api_name="/generate")
    assert event["type"] == "done" and len(media.read(path_of(video))) == 14, "no driving video is needed then"
    assert {p["role"] for p in event["lineage"]["parents"]} == {"image", *names}


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("wide", {"size": (256, 128)}),
        ("tall", {"size": (96, 224)}),
        ("uneven", {"times": [0, 30, 40, 160, 170, 210, 300, 310, 330, 400, 420, 460]}),
        ("slow", {"frames": 5, "times": [0, 200, 400, 600, 800]}),
    ],
)
def test_driving_videos_of_other_tools(client, tmp_path, name, how) -> None:
    video, event = client.predict(
        **SHORT, video=handle_file(driving(tmp_path / f"{name}.mp4", **how)), api_name="/generate"
    )
    plan = event["plan"]
    assert media.read(path_of(video)).shape == (plan["num_frames"], plan["height"], plan["width"], 3)
    cut = [text for text in plan["notices"] if "is lost" in text]
    assert bool(cut) == (name in ("wide", "tall"))


def test_a_transparent_character_lies_on_white(client, tmp_path) -> None:
    picture = Image.new("RGBA", (90, 140), (0, 0, 0, 0))
    picture.paste((250, 220, 30, 255), (20, 40, 70, 100))
    picture.save(tmp_path / "cut.png")
    clip = handle_file(driving(tmp_path / "b.mp4"))
    asked = {**SHORT, "image": handle_file(str(tmp_path / "cut.png")), "video": clip}
    told = [event for _, event in client.submit(**asked, api_name="/generate")]
    assert any("transparent" in event.get("text", "") for event in told) and told[-1]["type"] == "done"


def test_what_cannot_be_done_is_said_with_the_way_out(client, tmp_path) -> None:
    def refused(**values: Any) -> str:
        with pytest.raises(AppError) as error:
            client.predict(**{**SHORT, **values}, api_name="/generate")
        return str(error.value)

    clip = handle_file(driving(tmp_path / "c.mp4"))
    one = handle_file(driving(tmp_path / "one.mp4", frames=1))
    assert "video must have at least 2 frames" in refused(video=one)
    assert "must be at least 6" in refused(video=clip, num_frames=5, prev_segment_conditioning_frames=5)
    assert "give a driving video" in refused()
    assert "face_video as well" in refused(pose_video=clip)
    assert "must not exceed what video has" in refused(video=clip, num_frames=300)
    assert "checkpoint must be one that animate runs" in refused(video=clip, checkpoint="wan2.2-animate-2-14b")
    short = handle_file(driving(tmp_path / "short.mp4", frames=6))
    told = refused(video=clip, pose_video=short)
    assert "pose_video must have as many frames as the result" in told and "got 7, try num_frames 7" in told
    photo = media.clip(tmp_path / "noise.mp4")["path"]
    noise = np.random.default_rng(0).integers(0, 255, (6, 128, 128, 3), np.uint8)
    with av.open(photo, "w") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width = stream.height = 128
        stream.pix_fmt = "yuv420p"
        for picture in noise:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    assert "must show one of nano's shapes" in refused(video=handle_file(photo))
    assert "video must be a clip, and is a picture" in refused(video=SHORT["image"])
    assert "mask_video must be a clip, and is a picture" in refused(video=clip, mask_video=SHORT["image"])
    assert "is not a readable" in refused(video=handle_file(str(EXAMPLES.parent / "catalog.py")))
