"""A mode's page and its named API, both from one Service: `build_space`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import gradio as gr
from gradio.events import api
from gradio.utils import get_upload_folder, is_in_or_equal

from common.contract import MediaHandle
from common.errors import InputError, MediaError, StudioError
from common.modes.base import Mode
from common.panels import PANELS
from common.runner import LocalRunner, Runner, explain
from common.service import Administered, Service
from common.theme import page_options

log = logging.getLogger(__name__)

GPU_QUEUE = {"concurrency_limit": 1, "concurrency_id": "generate"}
"""The page and the API wait in one line: a Space has one GPU and one resident pipeline."""


class SpaceBlocks(gr.Blocks):
    """Blocks that launch with the Studio's look and as an MCP server; a mount passes both itself."""

    def launch(self, *args: Any, **options: Any) -> Any:
        mcp = find_spec("mcp") is not None
        return super().launch(*args, **{**page_options(), "mcp_server": mcp, **options})


def build_space(service: Service) -> gr.Blocks:
    """The app of a mode Space: panel, `/generate`, `/plan`, `/manifest`, and what only some have.

    `/prepare` where the mode makes control media, `/admin` where the Space allows it (WAN_ADMIN=1).
    """
    runner = LocalRunner(service)
    with SpaceBlocks(title=f"Wan Studio · {service.mode.title}", fill_width=True) as blocks:
        PANELS[service.mode.key](runner, service.manifest(), queue=GPU_QUEUE).draw()
        add_api(runner)
        if isinstance(service, Administered) and service.admin:
            add_admin(service)
    return blocks


def add_api(runner: Runner) -> None:
    """The contract's endpoints, inside a Blocks context. Parameters come from the mode's request type."""
    mode = runner.mode

    async def generate(*args: Any) -> AsyncGenerator[tuple[dict[str, Any] | None, dict[str, Any]], None]:
        values = _named(mode, args)
        with _as_gradio_errors():
            _own_files_only(mode, values)
            async with aclosing(runner.stream(values)) as updates:
                async for video, event in updates:
                    yield video and video.model_dump(mode="json"), event.model_dump(mode="json")

    async def plan(*args: Any) -> dict[str, Any]:
        with _as_gradio_errors():
            return (await runner.plan(_named(mode, args))).model_dump(mode="json")

    async def manifest() -> dict[str, Any]:
        return (await runner.manifest()).model_dump(mode="json")

    async def prepare(*args: Any) -> tuple[Any, ...]:
        values = _named(mode, args)
        with _as_gradio_errors():
            _own_files_only(mode, values)
            made = (await runner.prepare(values)).model_dump(mode="json")
        return made["video"], made["mask"], made["reference_images"], made["notices"]

    video_and_event = tuple[gr.FileData | None, dict]
    api(
        _typed(generate, mode, video_and_event, f"{mode.about} Yields progress; the last has the video."),
        api_name="generate",
        **GPU_QUEUE,
    )
    api(
        _typed(plan, mode, dict, "What a request would do and ask of the GPU, without doing it."),
        api_name="plan",
        queue=False,
    )
    if mode.prepares:
        control = tuple[gr.FileData, gr.FileData, list[gr.FileData], list[str]]
        about = "Control video, mask, references and notices, as the model would be given them."
        api(_typed(prepare, mode, control, about), api_name="prepare", **GPU_QUEUE)
    manifest.__annotations__["return"] = dict
    manifest.__doc__ = "What this Space is: checkpoints, weights, backend, versions, fields."
    api(manifest, api_name="manifest", queue=False)


def add_admin(service: Administered) -> None:
    """`/admin`, for a Space whose callers may free its memory and disk."""
    actions: dict[str, Callable[[], int | None]] = {
        "unload": service.unload,
        "clear_cache": service.clear_cache,
    }

    def admin(action: str) -> dict:
        """Frees memory or disk of this Space.

        Parameters:
            action: `unload` lets the loaded models go, `clear_cache` deletes the videos made here
        """
        with _as_gradio_errors():
            if action not in actions:
                raise InputError("action", "must be " + " or ".join(actions), got=repr(action))
            return {"action": action, "freed_bytes": actions[action]() or 0}

    api(admin, api_name="admin", queue=False)


def _named(mode: Mode, args: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(mode.request_type.model_fields, args, strict=True))


def _typed(function: Callable[..., Any], mode: Mode, returns: Any, about: str) -> Callable[..., Any]:
    """Gives `function(*args)` the signature, types and docstring of a mode's request.

    Gradio reads all three: for named parameters and defaults, for the JSON schema and for the MCP tool.
    """
    parameters: list[inspect.Parameter] = []
    lines = [about, "", "Parameters:"]
    for name, field in mode.request_type.model_fields.items():
        default = inspect.Parameter.empty if field.is_required() else field.default
        annotation = _wire_type(field.annotation)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=annotation))
        lines.append(f"    {name}: {field.description or name}")
    function.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": returns}
    function.__doc__ = "\n".join(lines)
    return function


def _wire_type(annotation: Any) -> Any:
    """A request field's type as Gradio should announce it: a handle is a file, so that clients upload it."""
    if annotation is MediaHandle:
        return gr.FileData
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return Union[tuple(_wire_type(a) for a in get_args(annotation))]  # noqa: UP007
    if origin is list:
        return list[_wire_type(get_args(annotation)[0])]
    return annotation


def _own_files_only(mode: Mode, values: dict[str, Any]) -> None:
    """Refuses a handle to anything but an upload.

    Gradio checks only dictionaries that call themselves FileData; without `meta` a handle would pass it, and
    name any file of this machine.
    """
    for slot in mode.slots:
        value = values.get(slot.name)
        for handle in value if isinstance(value, list) else [value]:
            path = handle.get("path") if isinstance(handle, dict) else None
            if isinstance(path, str) and not is_in_or_equal(Path(path).resolve(), get_upload_folder()):
                raise MediaError(slot.name, "must be an uploaded file", hint="use handle_file(…)")


class _as_gradio_errors:
    """Turns what a job raises into `gr.Error` with title and text; clients raise it in turn."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, Exception):
            return
        if not isinstance(error, StudioError | gr.Error):
            log.exception("a job failed", exc_info=error)
        known = explain(error)
        raise gr.Error(known.text, title=known.title, print_exception=False) from error
