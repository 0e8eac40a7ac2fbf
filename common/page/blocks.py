"""The Blocks of every app here, mode Space or router, mounted or launched: files pass the gate, all has an end."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from inspect import signature
from typing import Any

import gradio as gr
from gradio.components.api_component import Api
from starlette.middleware import Middleware

from common import cache
from common.budgets import BUDGETS
from common.errors import InputError, StudioError
from common.page import sessions
from common.page.door import Door, own_names
from common.page.gate import Gate, asking
from common.page.intake import Intake
from common.page.uploads import Uploads
from common.run.runner import VISITOR, explain

log = logging.getLogger(__name__)


class StudioBlocks(gr.Blocks):
    """gr.Blocks whose file inputs pass `gate` before any component or handler sees them, and its jobs `intake`.

    A mount gives theme and style itself (`common.page.theme.page_options`); `launch` takes them from `look`.
    """

    def __init__(
        self,
        *args: Any,
        gate: Gate | None = None,
        intake: Intake | None = None,
        look: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        cache.check_writable()  # Gradio makes folders there, and names them in a traceback
        self.gate = gate or Gate()
        self.intake = intake
        self.look = look or {}
        super().__init__(*args, **options)

    def queue(self, *args: Any, **options: Any) -> Any:
        queued = super().queue(*args, **{"max_size": BUDGETS.queue_length, **options})
        if self.intake:
            self.intake.watch(self._queue)
        return queued

    def get_config_file(self) -> Any:
        # `mount_gradio_app` has just set its own default, which is no limit.
        self.max_file_size = BUDGETS.upload_bytes
        return super().get_config_file()

    def run_startup_events(self) -> None:
        super().run_startup_events()
        # Gradio checks no path of an app that it has not launched itself, and a mount never says that it has.
        self.has_launched = True
        sessions.keep_lean(self.state_holder, BUDGETS.sessions)
        cache.keep(path for block in self.blocks.values() for path in block.keep_in_cache)

    @property
    def inside(self) -> list[Middleware]:
        """What stands before this app's own routes, for `app_kwargs` of a mount; `launch` adds it itself."""
        return [Middleware(Uploads, brought=self.gate.brought)]

    async def process_api(
        self, *args: Any, request: Any = None, event_id: str | None = None, **options: Any
    ) -> Any:
        with as_gradio_errors():
            if self.intake:
                self.intake.check(event_id)
            asking.set(str(getattr(request, "headers", {}).get(VISITOR, "")))
            return await super().process_api(*args, request=request, event_id=event_id, **options)

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **options: Any) -> Any:
        if block_fn.fn is None:
            raise InputError(
                "fn_index", "must name an event that a server answers; this one is the page's own"
            )
        names = _names(block_fn)
        inputs = [await self.gate.values(v, n) for n, v in zip(names, inputs, strict=False)] + inputs[
            len(names) :
        ]
        for block, value in zip(block_fn.inputs, inputs, strict=False):
            _check_kind(block, value)
        try:
            return await super().preprocess_data(block_fn, inputs, *args, **options)
        except (gr.Error, StudioError):
            raise
        except Exception as error:  # a component says what it does not expect with a traceback
            log.warning("an input of %s was refused: %s", block_fn.api_name, type(error).__name__)
            raise InputError("input", "is not what this page sends", hint="reload the page") from None

    def launch(self, *args: Any, **options: Any) -> Any:
        """As `gr.Blocks.launch`, with this page's look, as an MCP server, behind the door."""
        ours: dict[str, Any] = {
            **self.look,
            "mcp_server": find_spec("mcp") is not None,
            "max_file_size": BUDGETS.upload_bytes,
        }
        # A Space is public, by names that only the Hub knows; elsewhere we know ours.
        door = Middleware(Door, names=None if os.environ.get("SPACE_ID") else own_names())
        ours["app_kwargs"] = {"middleware": [door, *self.inside]}
        if self.intake:
            self.intake.leave_when_asked()
        return super().launch(*args, **{**ours, **options})


def _names(block_fn: Any) -> list[str]:
    """How errors call the inputs of an event: a component's label, a named endpoint's parameter."""
    if all(isinstance(block, Api) for block in block_fn.inputs):
        return list(signature(block_fn.fn).parameters)
    return [str(getattr(block, "label", None) or "file") for block in block_fn.inputs]


def _check_kind(block: Any, value: Any) -> None:
    """What Gradio's own components let through and no handler expects: a list as the one choice, text as a number."""
    if isinstance(block, gr.Dropdown) and not block.multiselect and isinstance(value, list):
        raise InputError(str(block.label), "takes one choice, not a list", hint="reload the page")
    if isinstance(block, gr.Number) and isinstance(value, str | bool | list | dict):
        raise InputError(str(block.label), "takes a number", hint="reload the page")


class as_gradio_errors:
    """Turns what is raised inside into `gr.Error` with title and text; clients raise it in turn."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, Exception):
            return
        known = explain(error)
        raise gr.Error(known.text, title=known.title, print_exception=False) from error
