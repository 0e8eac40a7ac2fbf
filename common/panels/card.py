"""The state of a job as a viewer sees it: events in, two pieces of HTML out.

`screen` lies over the video (empty state, live preview, error), `card` stands under it (stage, step, time,
bar), or what went wrong where an earlier video is to be seen. Both have fixed places, so that nothing moves
while a job runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Literal

from common.contract import Done, Event, Failed, Heartbeat, Notice, Preview, Queued, Stage, Step, Stopped
from common.errors import Cancelled, StudioError
from common.panels import texts
from common.run.parts import Parts

State = Literal["empty", "waiting", "running", "done", "stopped", "failed"]

_ICON = (
    '<svg viewBox="0 0 48 48" width="44" height="44" fill="none" stroke="currentColor" stroke-width="1.6"'
    ' aria-hidden="true"><rect x="5" y="10" width="38" height="28" rx="5"/>'
    '<path d="M20 18.5v11l9.5-5.5z" stroke-linejoin="round"/></svg>'
)


@dataclass(frozen=True)
class Card:
    """One job as seen so far. `after` folds events; the HTML is drawn from the fields alone."""

    state: State = "empty"
    text: str = ""
    index: int = 0
    total: int = 0
    eta: float | None = None
    elapsed: float = 0.0
    preview: str = ""
    notices: tuple[str, ...] = ()
    title: str = ""
    had_video: bool = False
    told: tuple[str, ...] = ()
    """Notices that stand under Generate already."""
    parts: Parts = field(default_factory=Parts)

    @classmethod
    def clicked(cls, *, had_video: bool = False, told: Sequence[str] = ()) -> Card:
        """The card between the click and the first event."""
        return cls(state="waiting", text="Starting", had_video=had_video, told=tuple(told))

    def going_on(self, parts: Parts) -> Card:
        """The card of a job of which some segments are there from before."""
        return replace(self, parts=parts)

    @classmethod
    def stopping(cls) -> Card:
        """The card between a click on Stop and the end."""
        return cls(state="waiting", text="Stopping")

    @property
    def ended(self) -> bool:
        """Whether the job is over."""
        return self.state in ("done", "stopped", "failed")

    def after(self, event: Event) -> Card:
        """The card once this event has happened; nothing happens to a job that is over."""
        if self.ended:
            return self
        now = replace(self, elapsed=event.t, parts=self.parts.after(event))
        match event:
            case Queued():
                ahead = f", {event.position} ahead" if event.position else ""
                return replace(now, state="waiting", text=f"Waiting for the GPU{ahead}")
            case Stage():
                far = f" · {event.done} of {event.total}" if event.total else ""
                return replace(now, state="running", text=event.text + far)
            case Step():
                segment = f"Segment {event.segment} of {event.segments} · step" if event.segments else "Step"
                return replace(
                    now, state="running", text=f"{segment} {event.index} of {event.total}",
                    index=event.index, total=event.total, eta=event.eta_seconds,
                )  # fmt: skip
            case Preview():
                return replace(now, state="running", preview=event.webp_base64)
            case Notice() if event.text in (*self.told, *self.notices):
                return now
            case Notice():
                return replace(now, notices=(*self.notices, event.text))
            case Heartbeat():
                return now
            case Done():
                return replace(now, state="done", text=texts.result(event))
            case Failed():
                return now.failed(event.error())
            case Stopped():
                return now.stopped()

    def failed(self, error: StudioError) -> Card:
        """The card of a job that ended badly, or was stopped."""
        if isinstance(error, Cancelled):
            return self.stopped()
        return replace(self, state="failed", title=error.title, text=error.text, preview="")

    def stopped(self) -> Card:
        """The card of a job that the user ended."""
        return replace(self, state="stopped", text="Stopped.", preview="")

    def screen(self) -> str:
        """The layer over the video; empty HTML lets the video show, an earlier one again after a bad end."""
        match self.state:
            case "done" if self.preview:
                # The style sheet takes it away once the video has a frame to show.
                inner = _live(self.preview)
            case "done":
                return ""
            case "stopped" | "failed" if self.had_video:
                return ""
            case "failed":
                inner = self._error("Your input is unchanged.")
            case "waiting" | "running" if self.preview:
                inner = _live(self.preview) + '<span class="tag">preview</span>'
            case "waiting" | "running":
                inner = '<div class="hint pulse">' + _ICON + "</div>"
            case _:
                inner = f'<div class="hint">{_ICON}<p>Generate to preview here</p></div>'
        return f'<div class="screen {self.state}">{inner}</div>'

    def card(self) -> str:
        """The strip under the video."""
        match self.state:
            case "failed" if self.had_video:
                body = self._error("Your input is unchanged, and the earlier video is still here.")
            case "empty" | "failed":
                body = ""
            case "stopped":
                body = f'<p class="line">{escape(self.text)}</p>'
            case "done":
                body = f'<p class="line dim result">{self.text}</p>'
            case _:
                body = self._running()
        if self.state in ("stopped", "failed") and self.parts.kept:
            body += f'<p class="line kept">{self.parts.words}; Generate again goes on from there.</p>'
        notes = "".join(f'<p class="notice">{escape(n)}</p>' for n in self.notices)
        return f'<div class="progress {self.state}">{body}{notes}</div>'

    def _error(self, comfort: str) -> str:
        return (
            f'<div class="error" role="alert"><h4>{escape(self.title)}</h4><p>{escape(self.text)}</p>'
            f'<p class="dim">{comfort}</p></div>'
        )

    def _running(self) -> str:
        share = 100 * self.index / self.total if self.total else 0
        left = f"{texts.seconds(self.eta)} left" if self.eta else ""
        time = " · ".join(t for t in (f"{self.elapsed:.0f} s" if self.elapsed else "", left) if t)
        kind = "bar" if self.total else "bar unknown"
        now = f' aria-valuenow="{share:.0f}"' if self.total else ""
        return (
            f'<p class="line"><span>{escape(self.text)}</span><span class="dim">{time}</span></p>'
            f'<div class="{kind}" role="progressbar" aria-label="{escape(self.text, quote=True)}"{now}>'
            f'<i style="width:{share:.1f}%"></i></div>'
        )


def _live(preview: str) -> str:
    source = f"data:image/webp;base64,{escape(preview, quote=True)}"
    return f'<img class="live" alt="Live preview" src="{source}">'
