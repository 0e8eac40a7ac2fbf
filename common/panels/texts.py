"""What a panel says in words: the reservation label, notices, banner and the line under a result."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from common import cost
from common.contract import Backend, Done, Manifest, Plan
from common.errors import StudioError


def seconds(value: float) -> str:
    """`3 s`, `110 s (1.8 min)`, `2.5 h`: as much precision as an estimate deserves."""
    if value < 90:
        return f"{max(1, round(value))} s"
    if value < 5400:
        return f"{round(value)} s ({value / 60:.1f} min)"
    return f"{value / 3600:.1f} h"


def place(backend: Backend) -> str:
    """Where a job runs, in words."""
    return "this CPU" if backend.device == "cpu" else backend.name


def reservation(plan: Plan, backend: Backend) -> str:
    """What Generate will cost: seconds of a visitor's day on ZeroGPU, or how long this machine will take.

    Both are estimates; where no machine like this one was measured, they say so.
    """
    doubt = "" if cost.verified(backend, plan.weights) else ", unverified"
    if plan.gpu_size:
        minutes = f" ({plan.gpu_seconds / 60:.1f} min)" if plan.gpu_seconds >= 60 else ""
        tier = " · xlarge" if plan.gpu_size == "xlarge" else ""
        return f"⌚ ZeroGPU: ~{plan.gpu_seconds}s{minutes}{tier}{doubt}"
    return f"⌚ about {seconds(plan.expected_seconds)} on {place(backend)}{doubt}"


def length(plan: Plan) -> str:
    """How long the video is, and of one that goes on from a clip what is added to that."""
    if (before := plan.continues) is None:
        return "still" if plan.num_frames == 1 else f"{plan.clip_seconds:.1f} s"
    added = f"adds {(plan.num_frames - before.overlap) / plan.fps:.1f} s"
    return f"{added} to {before.frames / plan.fps:.1f} s" if before.frames else f"{added} to the clip"


def bill(plan: Plan) -> str:
    """How the seconds come about that a job takes of a visitor's day on ZeroGPU; empty elsewhere."""
    if plan.gpu_size is None:
        return ""
    calls = f" in each of {len(plan.segments)} calls" if len(plan.segments) > 1 else ""
    text = f"Billed as {plan.gpu_seconds} GPU seconds of your day: up to {plan.gpu_duration} s of work{calls}"
    text += " on a whole card, counted twice" if plan.gpu_size == "xlarge" else ", and half as much again"
    return f"{text}."


def label(plan: Plan, backend: Backend, todo: Sequence[str] = (), hints: Sequence[str] = ()) -> str:
    """The line under Generate; `todo` names required inputs that are still empty, `hints` are the page's own."""
    head = f'<span class="eta">{escape(reservation(plan, backend))}</span>'
    clip = length(plan)
    segments = f" × {len(plan.segments)} segments" if len(plan.segments) > 1 else ""
    facts = f"{plan.width}×{plan.height} · {clip} · {plan.num_inference_steps} steps{segments}"
    rows = [f'<p class="line">{head}<span class="dim">{facts}</span></p>']
    if todo:
        rows.append(f'<p class="todo">{escape("Still needed: " + ", ".join(todo))}</p>')
    if bill(plan):
        rows.append(f'<p class="line dim">{escape(bill(plan))}</p>')
    rows += [f'<p class="notice">{escape(text)}</p>' for text in (*plan.notices, *hints)]
    reached = ' tabindex="0"' if len(plan.notices) + len(hints) > 2 else ""  # it may have to be scrolled
    return f'<div class="label-card" role="status"{reached}>' + "".join(rows) + "</div>"


def in_words(text: str, names: Mapping[str, str]) -> str:
    """A sentence with the page's words for what the API names: "Frames must be 4k+1" for "num_frames must be …".

    Names of one word, such as `image`, are replaced at the beginning alone, where an InputError has its field.
    """
    first, space, rest = text.partition(" ")
    if first in names:
        text = f"{names[first]}{space}{rest}"
    long = "|".join(sorted((re.escape(name) for name in names if "_" in name), key=len, reverse=True))
    return re.sub(rf"\b({long})\b", lambda name: names[name[0]], text) if long else text


def broken(error: StudioError) -> str:
    """The same line when the input breaks a rule."""
    return f'<div class="label-card broken" role="alert"><p class="line">{escape(error.text)}</p></div>'


def alert(text: str) -> str:
    """What went wrong with a part of the page, beside that part."""
    return f'<p class="notice" role="alert">{escape(text)}</p>'


def added(prompt: str) -> str:
    """That a job waits behind the one that is shown."""
    words = f": “{escape(prompt[:60])}{'…' if len(prompt) > 60 else ''}”" if prompt else ""
    return f'<p class="line dim" role="status">Added to the queue{words}</p>'


def banner(manifest: Manifest) -> str:
    """What this machine cannot do, said before anyone waits for it; empty when there is nothing to say."""
    if manifest.weights == "nano":
        text = (
            "<b>Demo weights.</b> Wan-Nano: the real pipelines with tiny models that know only moving "
            "shapes. Start with <code>--weights wan</code> for the real ones."
        )
    elif manifest.backend.device == "cpu" and manifest.backend.gpu_size is None:
        text = "<b>No GPU here.</b> The real models run on this CPU, and a clip takes hours."
    else:
        return ""
    return f'<div class="setgpu" id="warning-setgpu">{text}</div>'


def result(done: Done) -> str:
    """Where a result came from, in one line."""
    plan = done.plan
    parts = [
        f"seed {done.seed}",
        plan.checkpoint,
        plan.preset,
        f"{plan.width}×{plan.height}",
        "still" if plan.whole_frames == 1 else f"{plan.whole_frames} frames at {plan.fps} fps",
        f"{plan.num_inference_steps} steps" + (f" × {n} segments" if (n := len(plan.segments)) > 1 else ""),
        f"made in {done.seconds:.1f} s",
    ]
    if done.lineage.parents:
        parts.append("from " + ", ".join(p.mode or p.role for p in done.lineage.parents))
    return " · ".join(f'<span class="fact">{escape(p)}</span>' for p in parts)
