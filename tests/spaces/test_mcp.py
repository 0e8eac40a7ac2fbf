"""A real MCP client makes a video in every mode, from a picture and a clip that it uploaded or holds itself."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from common.modes.all import MODES
from tests import studio
from tests.spaces import media_for_modes as material

pytestmark = pytest.mark.slow
SHORT = {"prompt": "a red square moving right", "num_frames": 5, "num_inference_steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with studio.running(tmp_path_factory.mktemp("studio"), *MODES) as url:
        yield url


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    made = {"picture": material.picture(folder / "a.png"), "last": material.picture(folder / "b.png", 16),
            "mask": material.mask(folder / "m.png"), "clip": material.clip(folder / "c.mp4")}  # fmt: skip
    return {name: Path(handle["path"]) for name, handle in made.items()}


def uploaded(address: str, mode: str, path: Path) -> str:
    """The URL under which the server serves a file of ours, as Gradio's own upload tool for agents gives it."""
    base = f"{address}/{mode}/gradio_api"
    with path.open("rb") as file:
        return f"{base}/file={httpx.post(f'{base}/upload', files={'files': (path.name, file)}).json()[0]}"


def held(path: Path, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


async def call(address: str, mode: str, tool: str, arguments: dict[str, Any], **headers: str) -> Any:
    async with (
        streamablehttp_client(f"{address}/{mode}/gradio_api/mcp/", headers=headers) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        tools = {found.name.rpartition("_")[2]: found.name for found in (await session.list_tools()).tools}
        return await session.call_tool(tools[tool], arguments)


def made(address: str, mode: str, tool: str = "generate", **arguments: Any) -> str:
    result = asyncio.run(asyncio.wait_for(call(address, mode, tool, {**SHORT, **arguments}), 240))
    text = " ".join(getattr(part, "text", "") for part in result.content)
    assert not result.isError, text
    return text


def video_in(text: str, address: str) -> bytes:
    """The video that an answer names."""
    url = re.search(r"https?://[^\s\"']+?\.mp4", text)
    assert url, text
    return httpx.get(url[0]).content


def test_text_to_video(address: str) -> None:
    assert video_in(made(address, "t2v"), address)[4:8] == b"ftyp"


@pytest.mark.parametrize("way", ["uploaded", "held", "clip"])
def test_image_to_video(address: str, files: dict[str, Path], way: str) -> None:
    image = {
        "uploaded": lambda: uploaded(address, "i2v", files["picture"]),
        "held": lambda: held(files["picture"]),
        "clip": lambda: uploaded(address, "i2v", files["clip"]),
    }[way]()
    assert video_in(made(address, "i2v", image=image, image_from="last"), address)[4:8] == b"ftyp"


def test_first_and_last_frame(address: str, files: dict[str, Path]) -> None:
    first, last = (uploaded(address, "flf2v", files[name]) for name in ("picture", "last"))
    assert video_in(made(address, "flf2v", image=first, last_image=last), address)[4:8] == b"ftyp"


def test_video_to_video(address: str, files: dict[str, Path]) -> None:
    video = uploaded(address, "v2v", files["clip"])
    assert video_in(made(address, "v2v", video=video), address)[4:8] == b"ftyp"


def test_vace_with_a_clip_and_a_mask(address: str, files: dict[str, Path]) -> None:
    video = uploaded(address, "vace", files["clip"])
    assert video_in(made(address, "vace", video=video, mask=held(files["mask"])), address)[4:8] == b"ftyp"


def test_vace_with_a_list_of_pictures(address: str, files: dict[str, Path]) -> None:
    pictures = [uploaded(address, "vace", files["picture"]), held(files["last"])]
    text = made(address, "vace", submode="reference_anything", reference_images=pictures)
    assert video_in(text, address)[4:8] == b"ftyp"


def test_vace_shows_the_control_it_would_use(address: str, files: dict[str, Path]) -> None:
    video = uploaded(address, "vace", files["clip"])
    assert ".mp4" in made(address, "vace", "prepare", submode="gray", video=video)


@pytest.mark.parametrize(
    "image", ["/etc/passwd", "http://127.0.0.1:9/x.png", "file:///etc/passwd", "http://127.0.0.1/gradio_api/file=/etc/passwd"]
)  # fmt: skip
def test_what_is_no_upload_is_refused(address: str, image: str) -> None:
    result = asyncio.run(asyncio.wait_for(call(address, "i2v", "generate", {**SHORT, "image": image}), 60))
    text = " ".join(getattr(part, "text", "") for part in result.content)
    assert "image must" in text and "root:" not in text
    assert result.isError


def test_one_callers_host_name_is_not_where_everybodys_calls_go(address: str) -> None:
    # A port that nobody listens on: were it believed, this call and all after it would go there.
    first = call(address, "t2v", "generate", SHORT, host="127.0.0.1:1")
    assert not asyncio.run(asyncio.wait_for(first, 120)).isError
    assert video_in(made(address, "t2v"), address)[4:8] == b"ftyp"
