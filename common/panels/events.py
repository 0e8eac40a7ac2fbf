"""How a page's own events behave: options for Gradio's listeners, by what an event is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_UNSEEN: Mapping[str, Any] = {"show_progress": "hidden", "show_progress_on": [], "api_visibility": "private"}
"""Says nothing about how far it is, on no component: by itself Gradio's page tells every component that was ever an
output of anything, each time that any event begins, goes on or ends, and looks for each in the whole of the page."""

QUIET: Mapping[str, Any] = {**_UNSEEN, "queue": False, "trigger_mode": "always_last"}
"""For quick events of the page itself: no place in the line, no spinner, not part of the API; of what is chosen while
the last choice is worked out, the last counts (by itself Gradio drops it)."""

ONCE: Mapping[str, Any] = {**QUIET, "trigger_mode": "once"}
"""For those that are no choice: a second click on Stop must not stop what has ended meanwhile."""

EACH: Mapping[str, Any] = {**QUIET, "trigger_mode": "multiple"}
"""For those that are told by their event what was chosen, which Gradio forgets of one that waits."""

TOLD: Mapping[str, Any] = {**_UNSEEN, "queue": True, "concurrency_limit": None}
"""For those that may refuse in words: Gradio's page shows no error of an event that had no queue."""

_BEGUN = "(...now) => { window.wanChosen.begun(); return now; }"


def chosen(listener: Callable[..., Any], fn: Callable[..., Any], inputs: Any, outputs: Any, **how: Any) -> Any:
    """Wires a choice that sets other fields: a click on Generate meanwhile waits until they stand (settle.js)."""
    event = listener(fn, inputs, outputs, js=_BEGUN, **how)
    event.then(None, None, None, js="() => window.wanChosen.ended()", **QUIET)
    return event
