"""A mode's page and its named API, both from one Service: `build_space`."""

from __future__ import annotations

import hmac
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from types import UnionType
from typing import Any, Union, get_args, get_origin

import gradio as gr
from gradio.events import api

from common.contract import Event, MediaHandle, Prepared
from common.errors import InputError, quoted
from common.modes.base import Mode
from common.page.blocks import StudioBlocks, as_gradio_errors
from common.page.gate import Gate
from common.page.intake import Intake
from common.page.theme import page_options
from common.panels.base import Panel
from common.panels.extending import GOES_ON, Extending
from common.run.local import LocalRunner
from common.run.runner import Runner, ending, explain, job_id
from common.run.service import Administered, Service

GPU_QUEUE = "generate"
"""The page and the API wait in one line, for what makes one video at a time, or a pool's few."""


def build_space(service: Service, panel: type[Panel]) -> gr.Blocks:
    """The app of a mode Space: its panel, `/generate`, `/plan`, `/manifest`, and what only some have.

    `/prepare` where the mode makes control media, `/admin` where the Space has a secret for it (WAN_ADMIN).
    """
    runner = LocalRunner(service)
    title = f"Wan Studio · {service.mode.title}"
    manifest = service.manifest()
    at_once = manifest.jobs.at_once if manifest.jobs else 1
    queue = {"concurrency_limit": at_once, "concurrency_id": GPU_QUEUE}
    intake = Intake(service.mode.title, GPU_QUEUE, lambda: service.manifest().jobs)
    with StudioBlocks(title=title, fill_width=True, look=page_options(), intake=intake) as blocks:
        line = {**queue, "show_progress": "minimal"}  # the place in the line, while it is not one's turn
        page = panel(runner, manifest, queue=line, rank=1)
        page.draw()
        if page.mode.key in GOES_ON:
            Extending({page.mode.key: page}).alone()
        add_api(runner, blocks.gate, queue, intake)
        if isinstance(service, Administered) and service.admin:
            add_admin(service, intake)
    return blocks


def add_api(runner: Runner, gate: Gate, queue: Mapping[str, Any], intake: Intake) -> None:
    """The contract's endpoints, inside a Blocks context. Parameters come from the mode's request type.

    `queue` is the line of what needs the GPU, in Gradio's words.
    """
    mode = runner.mode

    async def generate(*args: Any) -> AsyncGenerator[tuple[dict[str, Any] | None, dict[str, Any]], None]:
        *given, asked = args
        began = time.monotonic()
        with as_gradio_errors():
            job = job_id(asked)
            try:
                values = await _let_in(gate, mode, _named(mode, given))
                async with aclosing(runner.stream(values, job=job)) as updates:
                    async for video, event in updates:
                        yield video and video.model_dump(mode="json"), event.model_dump(mode="json")
            except Exception as error:  # a caller that cancels is gone: no event reaches it
                told = explain(error)
                last = ending(told, job).later(time.monotonic() - began)
                yield None, last.model_dump(mode="json")
                raise told from None

    async def plan(*args: Any) -> dict[str, Any]:
        with as_gradio_errors():
            return (await runner.plan(_named(mode, args))).model_dump(mode="json")

    async def manifest() -> dict[str, Any]:
        told = await runner.manifest()
        now = {"jobs": intake.jobs(told.jobs), "draining": intake.draining}
        return told.model_copy(update=now).model_dump(mode="json")

    async def prepare(*args: Any) -> AsyncGenerator[tuple[Any, ...], None]:
        with as_gradio_errors():
            try:
                values = await _let_in(gate, mode, _named(mode, args))
                async with aclosing(runner.prepare(values)) as items:
                    async for item in items:
                        yield _shown(mode, item)
            except Exception as error:
                told = explain(error)
                yield _shown(mode, ending(told, ""))
                raise told from None

    video_and_event = tuple[gr.FileData | None, dict]
    api(
        _typed(
            generate,
            mode,
            video_and_event,
            f"{mode.about} Yields progress; the last has the video.",
            job="The job's id, a UUID; a new one when empty",
        ),
        api_name="generate",
        **queue,
    )
    api(
        _typed(plan, mode, dict, "What a request would do and ask of the GPU, without doing it."),
        api_name="plan",
        queue=False,
    )
    if mode.prepared:
        fields = mode.prepared.model_fields
        kinds = [_wire_type(f.annotation, gr.FileData | None) for f in fields.values()]
        names = ", ".join(name.replace("_", " ") for name in fields)
        about = (
            f"{names.capitalize()}, as the model would be given them. Yields progress; the last has them all and no "
            "event."
        )
        api(_typed(prepare, mode, tuple[*kinds, dict | None], about), api_name="prepare", **queue)
    manifest.__annotations__["return"] = dict
    manifest.__doc__ = "What this Space is: checkpoints, weights, backend, versions, fields."
    api(manifest, api_name="manifest", queue=False)


def _shown(mode: Mode, item: Event | Prepared) -> tuple[Any, ...]:
    """An answer of `/prepare`."""
    if isinstance(item, Prepared):
        return (*item.model_dump(mode="json").values(), None)
    assert mode.prepared is not None
    nothing = ([] if get_origin(f.annotation) is list else None for f in mode.prepared.model_fields.values())
    return (*nothing, item.model_dump(mode="json"))


def add_admin(service: Administered, intake: Intake) -> None:
    """`/admin`, for callers who know this Space's secret: `client.predict(key, "unload", api_name="/admin")`.

    Undocumented, as Gradio calls it: no tool for agents, not in the page of the API, arguments by position.
    """
    actions: dict[str, Callable[[], int | None]] = {
        "unload": service.unload,
        "clear_cache": service.clear_cache,
        "clear_loras": service.clear_loras,
        "drain": intake.drain,
        "undrain": intake.undrain,
    }
    of_one: dict[str, Callable[[str], int | None]] = {
        "download": service.download,
        "download_again": partial(service.download, again=True),
        "cancel": service.cancel,
        "delete": service.delete,
    }

    def admin(key: str, action: str) -> dict:
        """Frees memory or disk of this Space, fetches a model before it is asked for, or lets it be updated.

        Parameters:
            key: the Space's WAN_ADMIN
            action: `unload` lets the loaded models go, `clear_cache` deletes the videos made here, `clear_loras` the
                LoRAs that were downloaded, `drain` has it finish its jobs and take no more, `undrain` take them
                again; `download`, `download_again`, `cancel` and `delete` are followed by a space and the key of a
                checkpoint
        """
        with as_gradio_errors():
            if not hmac.compare_digest(str(key).encode(errors="replace"), service.admin.encode()):
                raise InputError("key", "must be this Space's WAN_ADMIN")
            name, _, checkpoint = action.partition(" ") if isinstance(action, str) else ("", "", "")
            if name in of_one:
                freed = of_one[name](checkpoint)
            elif action in tuple(actions):  # a list cannot be looked up in a dictionary
                freed = actions[action]()
            else:
                raise InputError("action", "must be " + " or ".join([*actions, *of_one]), got=quoted(action))
            return {"action": action, "freed_bytes": freed or 0}

    api(admin, api_name="admin", queue=False, api_visibility="undocumented")


def _named(mode: Mode, args: Sequence[Any]) -> dict[str, Any]:
    """The arguments by name; a file may be given as text, its URL (MCP clients know no other way)."""
    values = dict(zip(mode.request_type.model_fields, args, strict=True))
    for slot in mode.slots:
        if (value := values.get(slot.name)) is not None:
            values[slot.name] = [_file(v) for v in value] if isinstance(value, list) else _file(value)
    return values


def _file(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


def _typed(
    function: Callable[..., Any], mode: Mode, returns: Any, about: str, **more: str
) -> Callable[..., Any]:
    """Gives `function(*args)` the signature, types and docstring of a mode's request, and of `more` texts.

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
    for name, text in more.items():
        parameters.append(inspect.Parameter(name, kind, default=None, annotation=str | None))
        lines.append(f"    {name}: {text}")
    function.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": returns}
    function.__doc__ = "\n".join(lines)
    return function


def _wire_type(annotation: Any, file: Any = gr.FileData | str) -> Any:
    """A field's type as Gradio should announce it: a handle is a file, so that clients upload it.

    Or a URL as text: of an MCP client's file Gradio makes a handle only where no other type is allowed, and then
    it fetches the file itself, which this machine's own address does not survive.
    """
    if annotation is MediaHandle:
        return file
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return Union[tuple(_wire_type(a, file) for a in get_args(annotation))]  # noqa: UP007
    if origin is list:
        return list[_wire_type(get_args(annotation)[0], file)]
    return annotation


async def _let_in(gate: Gate, mode: Mode, values: dict[str, Any]) -> dict[str, Any]:
    """The values with every file through the gate: those given as text too, which Gradio takes for words."""
    return {
        name: await gate.values(value, name) if name in {slot.name for slot in mode.slots} else value
        for name, value in values.items()
    }
