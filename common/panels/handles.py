"""Image, video and sound components that carry a file by reference and never open, convert or re-encode it."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any, ClassVar

import gradio as gr
from gradio.component_meta import ComponentMeta
from gradio.data_classes import FileData, ImageData
from pydantic import ValidationError

from common.contract import MediaHandle


def as_handle(value: Any) -> MediaHandle | None:
    """A component's value (Gradio's FileData, a dictionary, a path) as a handle."""
    if value is None or isinstance(value, MediaHandle):
        return value
    if isinstance(value, FileData | ImageData):
        found = value.model_dump(exclude={"meta"})
        return MediaHandle.model_validate({**found, "mime": value.mime_type or ""})
    return MediaHandle.model_validate({"path": value} if isinstance(value, str) else value)


class NoStub(ComponentMeta):
    """Gradio's own metaclass writes a .pyi file beside the source of every component class."""

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> Any:
        return ABCMeta.__new__(cls, name, bases, attrs)


class _ByHandle:
    """Mixed in before a stock component, whose name it keeps: the page has no code for other names."""

    is_template = True

    data_model: type[FileData] | type[ImageData]

    def preprocess(self, payload: FileData | ImageData | None) -> MediaHandle | None:
        return as_handle(payload)

    def postprocess(self, value: Any) -> FileData | ImageData | None:
        if (handle := as_handle(value)) is None:
            return None
        return self.data_model(path=handle.path, url=handle.url, orig_name=handle.orig_name)

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        # The gate has fetched every URL but those of the federation's own results, and these stay where they are.
        if isinstance(url_or_file_path, str) and url_or_file_path.startswith(("http://", "https://")):
            return url_or_file_path
        return await super().async_move_resource_to_block_cache(url_or_file_path)  # type: ignore[misc]


class HandleVideo(_ByHandle, gr.Video, metaclass=NoStub):  # type: ignore[misc]
    """gr.Video without ffmpeg in either direction."""

    def get_block_name(self) -> str:
        return "video"

    get_block_class = get_block_name


class HandleImage(_ByHandle, gr.Image, metaclass=NoStub):  # type: ignore[misc]
    """gr.Image that hands on the uploaded file itself, metadata and all."""

    def get_block_name(self) -> str:
        return "image"

    get_block_class = get_block_name


class HandleAudio(_ByHandle, gr.Audio, metaclass=NoStub):  # type: ignore[misc]
    """gr.Audio that hands on the sound as it was uploaded or recorded."""

    def get_block_name(self) -> str:
        return "audio"

    get_block_class = get_block_name


class _Figures(gr.JSON, metaclass=NoStub):  # type: ignore[misc]
    """Figures of a file, with its path as `clip`.

    The path is a name to compare and no file to Gradio: it may lie with another Space. A handle with these figures
    is for words before Generate alone; a job measures the file itself.
    """

    is_template = True
    names: ClassVar[tuple[str, ...]]

    def preprocess(self, payload: Any) -> MediaHandle | None:
        if not isinstance(payload, dict):
            return None
        known = {name: payload.get(name) for name in self.names}
        try:
            return MediaHandle.model_validate({"path": payload.get("clip"), **known})
        except ValidationError:
            return None

    def get_block_name(self) -> str:
        return "json"

    get_block_class = get_block_name


class ClipFigures(_Figures):
    """What the browser says of a clip: `{clip, width, height, seconds}` of `common/clips.js`."""

    names = ("width", "height", "seconds")

    def preprocess(self, payload: Any) -> MediaHandle | None:
        seen = super().preprocess(payload)
        return seen if seen and seen.width and seen.height else None  # nobody opens the path to find out


class SoundFigures(_Figures):
    """What an app has measured of a sound: `{clip, seconds}`; browsers know no length of what they recorded."""

    names = ("seconds",)


def measured(handle: MediaHandle, figures: MediaHandle | None) -> MediaHandle:
    """The handle with what the browser saw, where that was this very clip."""
    # By folder (the hash of its content) and name: the gate may have made a link or a URL of ours its plain path.
    if figures is None or figures.path.split("/")[-2:] != handle.path.split("/")[-2:]:
        return handle
    return handle.model_copy(update={name: getattr(figures, name) for name in ClipFigures.names})
