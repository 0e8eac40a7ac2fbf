"""The seam that panels and pages talk to: ask a mode for its plan, then follow a job to its video.

`local.LocalRunner` drives a `Service` of this process, `remote.RemoteRunner` a Space elsewhere, `fake.FakeRunner`
follows a script. All methods are async, so that no handler holds one of Gradio's few threads while a video is made.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable
from uuid import UUID, uuid4

from common.contract import Event, Failed, Manifest, MediaHandle, Plan, Prepared, Stopped
from common.errors import Cancelled, InputError, StudioError, disk_error, quoted
from common.modes.base import Mode
from common.run.batch import Member

log = logging.getLogger(__name__)

PASSED_ON = ("x-ip-token",)
"""The headers of a visitor's request that a mode is passed: ZeroGPU bills the visitor by them."""
VISITOR = "x-wan-visitor"
"""The header in which a page of the Studio names its browser's secret."""
OWNER = "x-wan-owner"
"""The header in which a line says whose job it has a runner do."""

Progress = tuple[MediaHandle | None, Event]
"""What a stream yields: the finished video (None until `done`) and an event."""


class Runner(Protocol):
    """Whoever runs the jobs of one mode, here or elsewhere. Every method may raise StudioError."""

    mode: Mode

    async def manifest(self, checkpoint: str | None = None) -> Manifest:
        """What the mode's Space says of itself.

        Where several Spaces serve a mode: weights and machine of the one that runs `checkpoint` (the default
        where it is None), and the checkpoints of all.
        """
        ...

    async def plan(self, values: Mapping[str, Any]) -> Plan:
        """What these values would do."""
        ...

    async def admit(self, values: Mapping[str, Any]) -> None:
        """Raises at once for what cannot become a video: a rule broken, a mode that is away."""
        ...

    def prepare(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Event | Prepared, None]:
        """Make the control media of these values alone, for modes that make some (VACE, Animate).

        Yields events, then what was made. Closing or cancelling it cancels the work.
        """
        ...

    def stream(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None, job: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Run a job. Closing or cancelling the stream cancels it; a failure is raised.

        `headers` are those of the visitor's own request, for a runner that passes some of them on. `job` is the id
        that its events carry, a UUID; a new one where it is None.
        """
        ...


@runtime_checkable
class Lasting(Protocol):
    """A runner whose jobs go on when nobody follows them. `headers` say who asks; a stranger's job is not known."""

    async def enter(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None, job: str | None = None
    ) -> str:
        """Begin a job, or put it into the line, without following it; its id. Raises as `stream` does at first."""
        ...

    async def enter_batch(
        self, members: Sequence[Member], headers: Mapping[str, str] | None = None, batch: str | None = None
    ) -> list[str]:
        """Begin several jobs together, or none of them; their ids. `batch` is theirs in common, a UUID."""
        ...

    def follow(
        self, job: str, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Progress, None]:
        """A job from its beginning, in short, to its end; raises how it ended. Closing it leaves it running."""
        ...

    def newest(self, headers: Mapping[str, str] | None = None, *, alive: bool = False) -> str | None:
        """The job to show who comes back: one that runs or waits, else the last, unless `alive`; None for none."""
        ...

    def alive(self, job: str, headers: Mapping[str, str] | None = None) -> bool:
        """Whether a job runs or waits."""
        ...

    def cancel(self, job: str, headers: Mapping[str, str] | None = None) -> bool:
        """End a job; whether it ran or waited, and so tells whoever follows it that it has ended."""
        ...


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Only what the caller set: None is the contract's word for "the default"."""
    return {name: value for name, value in values.items() if value is not None}


def explain(error: BaseException) -> StudioError:
    """Any failure as an error that a user can read; keeps the title of a `gr.Error` (ZeroGPU's quota…)."""
    if isinstance(error, StudioError):
        return error
    if isinstance(error, OSError) and (known := disk_error(error)):
        return known
    title, message = getattr(error, "title", None), getattr(error, "message", None)
    if isinstance(title, str) and isinstance(message, str):
        return StudioError(message, title=title)
    # Raw text of an exception names paths and insides: it goes to the log, under a number that a user can quote.
    number = secrets.token_hex(4)
    log.error("unexpected, shown as %s", number, exc_info=error)
    return StudioError(
        f"{type(error).__name__}, which nobody expected; the log has it as {number}",
        title="Something went wrong",
    )


def passed_on(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Those of a visitor's headers that a mode is passed; whatever else a visitor sends says nothing to us."""
    return {name: headers[name] for name in PASSED_ON if headers and headers.get(name)}


def job_id(asked: object = None) -> str:
    """The id of a job: the caller's own, or a new one. InputError for what is no UUID."""
    if asked in (None, ""):
        return str(uuid4())
    try:
        return str(UUID(str(asked)))
    except ValueError:
        raise InputError(
            "job", "must be a UUID", got=quoted(asked), hint="leave it out for a new one"
        ) from None


def ending(error: StudioError, job: str) -> Failed | Stopped:
    """The last event of a job that ended with this error."""
    if isinstance(error, Cancelled):
        return Stopped(job=job)
    return Failed.model_validate({**error.facts(), "job": job})
