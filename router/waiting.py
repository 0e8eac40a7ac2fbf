"""The Queue page: what runs, waits and has ended of one visitor's jobs, and what may be done about each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from html import escape

from common.contract import Event, Failed, Stage, Step
from common.modes.all import MODES
from common.panels.texts import seconds
from common.run.book import Entry, State
from common.run.line import Line
from router import batches
from router.shell import short

ON_LOAD = """element.addEventListener('click', (event) => {
    const button = event.target.closest('[data-do]');
    if (button) trigger('click', {act: button.dataset.do, job: button.closest('[data-job]')?.dataset.job ?? ''});
});"""
"""Tells the page what is to be done with which job."""

SHOWN = 60
"""How many jobs the page lists; the rest is counted."""


_STATES: Mapping[State, str] = {
    "running": "running", "waiting": "waiting", "done": "done", "failed": "failed", "cancelled": "stopped",
}  # fmt: skip


def page(line: Line, owner: str | None) -> str:
    """The page's HTML."""
    entries = [] if owner is None else line.book.entries(owner)
    alive = [entry for entry in entries if entry.alive]
    if not entries:
        return (
            '<div class="empty-page" data-waiting="0"><p>Nothing runs, and nothing waits.</p>'
            '<button type="button" class="chip" data-page="t2v">Make a video</button></div>'
        )
    waiting = [entry for entry in entries if entry.state == "waiting"]
    paused = owner in line.book.paused()
    rows = "".join(
        _batch_head(line, entry, before) + _row(line, entry, waiting)
        for before, entry in zip([None, *entries], entries[:SHOWN], strict=False)
    )
    more = f'<p class="dim">and {len(entries) - SHOWN} more</p>' if len(entries) > SHOWN else ""
    return (
        f'<div class="queue" data-waiting="{len(alive)}"><div class="queue-head">{_summary(entries, paused)}'
        f'<span class="queue-tools">{_tools(alive, waiting, entries, paused)}</span></div>'
        f'<ol class="jobs">{rows}</ol>{more}</div>'
    )


def act(line: Line, owner: str | None, what: object, job: object) -> str | None:
    """Does what a button of the page says; the id of the job that is to be shown, where that was it."""
    job = job if isinstance(job, str) else ""
    if owner is None:
        return None
    entry = line.book.entry(owner, job)
    if what == "pause" or what == "resume":
        line.pause(owner, what == "pause")
    elif what == "clear":
        line.book.forget(owner)
    elif what == "cancel-batch":
        line.cancel(owner, [e.id for e in line.book.batch(owner, job)])
    elif what == "cancel-all":
        line.cancel(owner, [e.id for e in line.book.entries(owner) if e.alive])
    elif entry is None:
        return None
    elif what == "up" or what == "down":
        line.reorder(owner, job, -1 if what == "up" else 1)
    elif what == "cancel":
        line.cancel(owner, [job])
    elif what == "forget":
        line.book.forget(owner, [job])
    elif what == "show" and entry.mode in MODES:
        return job
    return None


def _summary(entries: list[Entry], paused: bool) -> str:
    words = [f"{n} {text}" for state, text in _STATES.items() if (n := sum(e.state == state for e in entries))]
    held = '<b class="state paused">paused</b> ' if paused else ""
    return f'<span class="queue-sum" role="status">{held}{" · ".join(words) or "nothing runs"}</span>'


def _tools(alive: list[Entry], waiting: list[Entry], entries: list[Entry], paused: bool) -> str:
    tools: list[tuple[str, str]] = []
    if paused:
        tools.append(("resume", "Resume"))
    elif waiting:
        tools.append(("pause", "Pause"))
    if len(alive) > 1:
        tools.append(("cancel-all", "Cancel all"))
    if len(entries) > len(alive):
        tools.append(("clear", "Clear what has ended"))
    return "".join(_button(name, text) for name, text in tools)


def _batch_head(line: Line, entry: Entry, before: Entry | None) -> str:
    """Above the first of those jobs of a batch that stand together, where some of it are to come."""
    if not entry.batch or not entry.alive or (before and before.batch == entry.batch):
        return ""
    together = line.book.batch(entry.owner, entry.batch)
    name = f"{short(entry.mode)}: {batches.title(together)}"
    button = _button("cancel-batch", "Cancel these", f"Cancel {name}")
    return (
        f'<li class="batch-row" data-job="{escape(entry.batch, quote=True)}"><b>{escape(name)}</b>'
        f'<span class="dim">{batches.summary(together)}</span><span class="queue-tools">{button}</span></li>'
    )


def _row(line: Line, entry: Entry, waiting: list[Entry]) -> str:
    prompt = str(entry.asked.get("prompt") or "").strip() or "without words"
    last = [event for _, event in line.book.events(entry.id)]
    buttons: list[tuple[str, str, str]] = []
    if entry.state == "waiting" and len(waiting) > 1:
        buttons += [("up", "↑", "Earlier")] * (entry.id != waiting[0].id)
        buttons += [("down", "↓", "Later")] * (entry.id != waiting[-1].id)
    if entry.state != "waiting":
        buttons.append(("show", "Show", "Show"))
    buttons.append(("cancel", "Cancel", "Cancel") if entry.alive else ("forget", "✕", "Clear"))
    name = f"{short(entry.mode)}: {prompt[:60]}"
    drawn = "".join(_button(act, text, f"{label} {name}") for act, text, label in buttons)
    member = " data-member" if entry.batch and entry.alive else ""
    label = f"{entry.label} · " if entry.label else ""
    return (
        f'<li class="job {entry.state}"{member} data-job="{escape(entry.id, quote=True)}">'
        f'<b class="badge">{short(entry.mode)}</b>'
        f'<span class="what"><span class="prompt-line">{escape(prompt[:200])}</span>'
        f'<small>{escape(label + _words(line, entry, last))}</small>{_bar(entry, last)}</span>'
        f'<span class="queue-tools">{drawn}</span></li>'
    )


def _button(name: str, text: str, label: str = "") -> str:
    told = f' aria-label="{escape(label, quote=True)}"' if label else ""
    return f'<button type="button" class="chip" data-do="{name}"{told}>{text}</button>'


def _words(line: Line, entry: Entry, last: list[Event]) -> str:
    step = next((e for e in reversed(last) if isinstance(e, Step | Stage)), None)
    match entry.state:
        case "waiting":
            ahead = line.ahead(entry.id)
            return "held back" if ahead is None else f"waits, {ahead} ahead" if ahead else "is next"
        case "running" if isinstance(step, Step):
            left = f", {seconds(step.eta_seconds)} left" if step.eta_seconds else ""
            return f"step {step.index} of {step.total}{left}"
        case "running":
            return step.text if isinstance(step, Stage) else "begins"
        case "failed":
            failed = next((e for e in reversed(last) if isinstance(e, Failed)), None)
            return f"{failed.title}: {failed.text}" if failed else "failed"
        case "cancelled":
            return "stopped"
        case "done":
            took = f"in {seconds(entry.ended - entry.began)}, " if entry.ended and entry.began else ""
            return f"done {took}{_ago(entry.ended or 0)}"


def _ago(moment: float) -> str:
    minutes = int((time.time() - moment) // 60)
    if minutes < 1:
        return "just now"
    return f"{minutes} min ago" if minutes < 60 else f"{minutes // 60} h ago"


def _bar(entry: Entry, last: list[Event]) -> str:
    step = next((e for e in reversed(last) if isinstance(e, Step)), None)
    if entry.state != "running" or step is None:
        return ""
    return f'<span class="bar"><i style="width:{100 * step.index / max(step.total, 1):.0f}%"></i></span>'
