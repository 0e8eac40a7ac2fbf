"""ZeroGPU as a visitor meets it: the wait for a GPU with signs of life, and what it refuses in words.

The `spaces` package raises `gr.Error`s, some with HTML and some with nothing but a class name; they are known here
by their titles, so that neither it nor Gradio need be imported.
"""

from __future__ import annotations

import contextvars
import html
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator

from common.contract import Done, Event, Heartbeat, Stage
from common.errors import GpuError, StudioError
from common.run.runner import explain
from common.runtime.job import HEARTBEAT

log = logging.getLogger(__name__)

Carried = tuple[str | None, Event | StudioError]
"""What crosses from a GPU worker. Errors travel as values: raised, ZeroGPU keeps only their class name and
kills the worker with everything that it had loaded."""

SILENCE = 120.0
"""Seconds without a word from a worker, which says one at least twice a second, until it is given up. Where `spaces`
cannot give a GPU back, it waits for the next word for 20 minutes, and the line of this Space with it."""

LESS = "choose Fast, fewer frames or a smaller size"
BUSY = "no GPU was free for a minute; try again in a few minutes. Who is signed in to Hugging Face waits less"


def followed(start: Callable[[], Iterator[Carried]]) -> Generator[Carried, None, None]:
    """What the GPU function yields, with a stage and heartbeats until ZeroGPU has granted a GPU.

    Closing it before that returns at once: `spaces` cannot be interrupted in its line, so a thread stays behind
    and gives back what it is granted. Closing it later waits until the worker has let go. It ends with the video,
    whatever happens to the GPU's way back. Raises StudioError.
    """
    began, waited = time.monotonic(), 0.0
    items: queue.SimpleQueue[tuple[Carried] | Exception | None] = queue.SimpleQueue()
    granted, stop = threading.Event(), threading.Event()

    def pump() -> None:
        carried = start()
        try:
            for item in carried:
                granted.set()
                if stop.is_set():
                    break
                items.put((item,))
                if isinstance(item[1], Done):
                    break
        except Exception as error:
            items.put(error)
        finally:
            if isinstance(carried, Generator):
                carried.close()
            items.put(None)

    # The visitor's quota is found through context variables that Gradio sets around the handler.
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(pump,), name="zerogpu", daemon=True)
    thread.start()
    heard = time.monotonic()
    try:
        yield None, Stage(name="gpu", text="Waiting for a ZeroGPU")
        while True:
            try:
                item = items.get(timeout=HEARTBEAT)
            except queue.Empty:
                if granted.is_set() and time.monotonic() - heard > SILENCE:
                    text = f"the GPU process said nothing for {SILENCE:.0f} s and was given up; try again"
                    raise GpuError(text, title="ZeroGPU fell silent") from None
                yield None, Heartbeat().later(time.monotonic() - began)
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise in_words(item, granted=granted.is_set()) from item
            heard = time.monotonic()
            waited = waited or heard - began
            path, told = item[0]  # the worker's clock began when its work did
            yield path, told if isinstance(told, StudioError) else told.later(waited)
            if isinstance(told, Done):
                return
    finally:
        stop.set()
        if granted.is_set():
            thread.join(max(0.0, SILENCE - (time.monotonic() - heard)))


def in_words(error: Exception, *, granted: bool) -> StudioError:
    """What `spaces` raised as an error with a way out; `granted` says whether the job had a GPU by then."""
    title, said = getattr(error, "title", None), getattr(error, "message", None)
    if isinstance(title, str) and isinstance(said, str):
        return _titled(title, _plain(said))
    if granted or isinstance(error, StudioError):
        return explain(error)
    log.error("ZeroGPU gave no GPU", exc_info=error)
    return GpuError(
        f"no GPU could be asked for ({type(error).__name__}); try again in a minute",
        title="ZeroGPU does not answer",
    )


def _titled(title: str, said: str) -> StudioError:
    match title:
        case _ if said.startswith("No GPU was available"):
            return GpuError(BUSY, title="ZeroGPU is busy")
        case "ZeroGPU worker error" if said == "GPU task aborted":
            return GpuError(
                "the GPU process was ended in the middle of the job, as happens to one that takes longer than it "
                f"reserved or too much memory; {LESS}, then try again",
                title="ZeroGPU ended the job",
            )
        case "ZeroGPU worker error":
            text = f"the GPU process failed ({said}); try again, and see the Space's log if it stays"
            return GpuError(text, title="ZeroGPU worker failed")
        case "ZeroGPU illegal duration":
            asked = re.search(r"\((\d+)s\)", said)
            seconds = f"{asked[1]} GPU seconds" if asked else "longer"
            text = f"this video asks for {seconds}, more than ZeroGPU allows at once; {LESS}"
            return GpuError(text, title="ZeroGPU job too long")
        case "ZeroGPU quota exceeded" if said.startswith("Space app"):
            text = (
                "the job named no visitor, and what ZeroGPU lends without one is used up; "
                "sign in to Hugging Face and generate from the page"
            )
            return GpuError(text, title=title)
        case "ZeroGPU quota exceeded":
            return GpuError(f"{said.strip()} A shorter job may still fit: {LESS}", title=title)
        case "ZeroGPU client error" if "proxy token" in said:
            return GpuError("the page was open for too long; reload it and try again", title=title)
        case _:
            return (
                GpuError(said, title=title) if title.startswith("ZeroGPU") else StudioError(said, title=title)
            )


def _plain(said: str) -> str:
    # Its HTML has a `str` of its own that is Markdown, which nobody here shows either.
    return html.unescape(re.sub(r"<[^>]*>", "", "".join(said)))
