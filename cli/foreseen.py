"""What a replay has to make, planned before anything is made: each step from what the one before promises."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli import knobs, planning, server
from cli.finding import Finder
from cli.knobs import Turn
from common.catalog import Weights
from common.contract import MediaHandle, Plan
from common.errors import InputError
from common.modes.base import drawn
from common.recipe import Made, Source, slot_of
from common.retrace import decided, differences
from common.run.remote import RemoteRunner
from common.runtime.reader import Reader
from common.settings import git_sha
from common.versions import versions
from nano import sums

Values = dict[str, Any]


@dataclass
class Work:
    """A turn and what is known of it before it is made: `found` is its result, where that need not be made again.

    `settings` are all values that are no media, `media` what fills its slots.
    """

    turn: Turn
    found: Path | None = None
    plan: Plan | None = None
    settings: Values = field(default_factory=lambda: dict[str, Any]())
    media: dict[str, list[tuple[Source, MediaHandle]]] = field(default_factory=lambda: {})
    notices: list[str] = field(default_factory=lambda: list[str]())

    def values(self) -> Values:
        """All that the mode is asked for."""
        asked = dict(self.settings)
        for name, given in self.media.items():
            slot = slot_of(self.turn.step, name)
            handles = [handle.model_dump(exclude_none=True) for _, handle in given]
            asked[name] = handles if slot and slot.many else handles[0]
        return asked


class Machine:
    """Who plans: this machine, or the Studio or Space at an address."""

    def __init__(self, weights: Weights, at: str | None) -> None:
        self.weights: Weights = weights
        self.at = at
        self._remote: dict[str, RemoteRunner] = {}

    def plan(self, turn: Turn, asked: Values) -> tuple[Plan, Made]:
        """The plan, and what the step would be made with. Raises StudioError."""
        if self.at is None:
            plan, _ = planning.here(turn.step.of, asked, self.weights)
            if self.weights == "wan":
                return plan, Made(versions=versions(), git_sha=git_sha())
            # Planned for no machine in particular: how it is computed is known when it is.
            plan = plan.model_copy(update={"placement": None})
            return plan, Made(versions=versions(), git_sha=git_sha(), revision=sums.revision())
        runner = self.remote(turn)

        async def ask() -> tuple[Plan, Made]:
            plan, manifest = await runner.plan(asked), await runner.manifest()
            revision = next(
                (info.revision for info in manifest.checkpoints if info.key == plan.checkpoint), ""
            )
            facts = {"versions": dict(manifest.versions), "git_sha": manifest.git_sha, "revision": revision}
            return plan, Made.model_construct(**facts)

        return asyncio.run(ask())

    def remote(self, turn: Turn) -> RemoteRunner:
        """The runner of a step's mode there."""
        mode = turn.step.of
        if mode.key not in self._remote:
            self._remote[mode.key] = server.at(self.at or "", mode)
        return self._remote[mode.key]


def foreseen(turns: Sequence[Turn], machine: Machine, finder: Finder) -> list[Work]:
    """The steps that have to be made, and those whose results are there, in their order.

    InputError for a file that is missing, or a plan that breaks a rule, with the step that it is about.
    """
    works = {turn.number: Work(turn) for turn in turns}
    needed = _needed(turns, works, finder)
    for turn in turns:
        if turn.changed and turn.number not in needed:
            raise InputError("set", f"changes {turn.name}, whose result nothing uses", hint="leave it out")
    with Reader() as reader:
        for number in needed:
            with about(works[number].turn, len(turns)):
                if works[number].found is None:
                    _fill(works[number], works, reader, finder)
                    _plan(works[number], machine)
    return [works[number] for number in needed]


@contextmanager
def about(turn: Turn, count: int) -> Iterator[None]:
    """An error of this step names it, where there are several."""
    try:
        yield
    except InputError as error:
        raise knobs.of_step(turn, error, count) from None


def _needed(turns: Sequence[Turn], works: dict[int, Work], finder: Finder) -> list[int]:
    """Numbers of the steps that the last one wants; what is unchanged and found is not looked behind."""
    anew: set[int] = set()
    for turn in turns:
        if turn.changed or any(source.step in anew for source in turn.step.sources):
            anew.add(turn.number)
    needed, ask, last = set[int](), [len(turns)], len(turns)
    while ask:
        number = ask.pop()
        if number in needed:
            continue
        needed.add(number)
        work, step = works[number], works[number].turn.step
        if number not in anew and number != last and step.sha256:
            work.found = finder.find(step.sha256)
        if work.found is None:
            ask += [source.step for source in step.sources if source.step is not None]
    return sorted(needed)


def _fill(work: Work, works: dict[int, Work], reader: Reader, finder: Finder) -> None:
    """Each slot's file, measured where it is there, else as the step that makes it promises."""
    step = work.turn.step
    for source in step.sources:
        before = works[source.step] if source.step else None
        if before and before.plan:
            handle = _promised(before.plan, before.turn)
        elif before:
            handle = _measured(reader, work, source.slot, str(before.found), "video/mp4")
        else:
            handle = _measured(reader, work, source.slot, _found(work, source, finder), source.mime)
        work.media.setdefault(source.slot, []).append((source, handle))
    for name, paths in work.turn.files.items():
        given = [(Source(slot=name), _measured(reader, work, name, path)) for path in paths]
        if given:
            work.media[name] = given


def _measured(reader: Reader, work: Work, slot: str, path: str, mime: str = "") -> MediaHandle:
    kind = slot_of(work.turn.step, slot)
    return reader.measured(MediaHandle(path=path, mime=mime), slot, kind.kind if kind else "")


def _found(work: Work, source: Source, finder: Finder) -> str:
    digest, turn = source.sha256 or "", work.turn
    if path := finder.find(digest):
        return str(path)
    called = f" ({source.name})" if source.name else ""
    raise InputError(
        source.slot,
        f"is missing: there is no file{called} with the sha256 {digest} here",
        hint=f"give it by --input FILE, or another by --set {turn.number}.{source.slot}=FILE",
    )


def _promised(plan: Plan, turn: Turn) -> MediaHandle:
    """The handle of a video that is not made yet."""
    sound = any(source.slot == "audio" for source in turn.step.sources) or "audio" in turn.files
    sound |= plan.continues is not None and plan.continues.has_audio
    return MediaHandle(
        path=f"{turn.step.mode}.mp4", mime="video/mp4", width=plan.width, height=plan.height, fps=plan.fps,
        frames=plan.whole_frames, seconds=plan.clip_seconds, has_audio=sound,
    )  # fmt: skip


def _plan(work: Work, machine: Machine) -> None:
    """Asks for what was asked for, and where that alone would be decided otherwise now, for what was decided."""
    step, turn = work.turn.step, work.turn
    work.settings = {"prompt": "", **step.asked()}
    seed = drawn(step.of.parse(work.values()).seed)  # here, so that it can be named where the job ends early
    work.settings["seed"] = seed
    work.plan, here = machine.plan(turn, work.values())
    work.notices = differences(step, work.plan, here, turn.by_hand)
    media = {name: value for name, value in work.values().items() if name not in work.settings}
    held = {"prompt", *step.request, "seed", "checkpoint"}  # the one that serves by itself hangs on the place
    short = {name: value for name, value in work.settings.items() if name in held}
    try:
        plan, _ = machine.plan(turn, {**media, **short})
    except InputError:
        return
    if decided(plan) == decided(work.plan):
        work.settings = short
