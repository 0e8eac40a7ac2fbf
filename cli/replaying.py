"""The steps of a recipe, planned one after the other and made: here, or on a server."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import launch
from cli import knobs, planning, terminal
from cli.finding import Finder
from cli.knobs import Turn
from common import cache
from common.catalog import Weights
from common.contract import Done, MediaHandle, Plan
from common.errors import InputError
from common.media.clips import Clip
from common.media.watch import Watch
from common.modes.base import drawn
from common.recipe import Made, Source, slot_of
from common.retrace import differences
from common.run.runner import Runner
from common.runtime.reader import Reader
from common.settings import git_sha
from common.versions import versions

if TYPE_CHECKING:
    from cli.replay import Opened

Values = dict[str, Any]


@dataclass
class Work:
    """A turn and what is known of it before it is made: `found` is its result, where that need not be made again."""

    turn: Turn
    found: Path | None = None
    plan: Plan | None = None
    media: dict[str, list[tuple[Source, MediaHandle]]] = field(default_factory=lambda: {})
    seed: int = -1
    notices: list[str] = field(default_factory=lambda: list[str]())


def replay(source: Opened, turns: list[Turn], args: argparse.Namespace) -> dict[str, Any]:
    """What `--json` prints of a replay; with `--dry-run` of what it would do. Raises StudioError."""
    weights = _weights(turns, args)
    launch.prepare_environment(weights)  # it also says where this machine's results lie
    finder = Finder(args.input, source.path.absolute().parent)
    job = Replay(turns, weights, args.server, finder)
    works = job.planned()
    _all_used(finder, turns)
    same = not any(turn.changed for turn in turns)
    if args.dry_run:
        return _expected(source, works)
    target = Path(args.out or f"{works[-1].turn.step.mode}-{works[-1].seed}-replay.mp4")
    terminal.check_target(str(target))
    if target.exists() and target.samefile(source.path):
        raise InputError("--out", "must be another file than the one that is replayed", got=repr(str(target)))
    told = job.made(works, target)
    before = source.path if source.video else finder.find(turns[-1].step.sha256 or "")
    told["same"] = _alike(before, target) if same and before is not None else None
    if told["same"] is not None:
        said = "the same frames as before" if told["same"] else "other frames than before"
        print(f"wan-studio: {said} ({before})", file=sys.stderr)
    return told


def _weights(turns: Sequence[Turn], args: argparse.Namespace) -> Weights:
    """Those that were asked for, or that all steps have; the turns are made for them."""
    have: set[Weights] = {turn.step.weights for turn in turns}
    if args.weights is None and len(have) > 1:
        raise InputError("--weights", "must say which: the steps were made with both", hint="try nano or wan")
    weights: Weights = args.weights or have.pop()
    for turn in turns:
        if turn.step.weights != weights:
            turn.step = turn.step.with_weights(weights)
            turn.by_hand.add("weights")
    return weights


def _all_used(finder: Finder, turns: Sequence[Turn]) -> None:
    for turn in turns:  # a step that need not be made has files too
        for digest in (turn.step.sha256, *(source.sha256 for source in turn.step.sources)):
            finder.asked(digest or "")
    if unused := finder.unused():
        rule = f"{unused[0]} is nothing that this was made from"
        raise InputError("--input", rule, hint=f"to put it in another's place, try --set SLOT={unused[0]}")


class Replay:
    """All steps of one replay. `server` is the URL of a Studio or Space, None for this process."""

    def __init__(self, turns: list[Turn], weights: Weights, server: str | None, finder: Finder) -> None:
        self.turns, self.server, self.finder = turns, server, finder
        self.weights: Weights = weights
        self._runners: dict[str, Runner] = {}

    # ------------------------------------------------------------------ before

    def planned(self) -> list[Work]:
        """The steps that have to be made, and those whose results are there; InputError for what cannot be."""
        works = {turn.number: Work(turn) for turn in self.turns}
        needed = self._needed(works)
        for turn in self.turns:
            if turn.changed and turn.number not in needed:
                raise InputError(
                    "set", f"changes {turn.name}, whose result nothing uses", hint="leave it out"
                )
        with Reader() as reader:
            for work in (works[number] for number in sorted(needed)):
                with self._about(work.turn):
                    if work.found is None:
                        self._plan(work, works, reader)
        return [works[number] for number in sorted(needed)]

    def _needed(self, works: dict[int, Work]) -> set[int]:
        anew: set[int] = set()
        for turn in self.turns:
            if turn.changed or any(source.step in anew for source in turn.step.sources):
                anew.add(turn.number)
        needed, ask = set[int](), [self.turns[-1].number]
        while ask:
            number = ask.pop()
            if number in needed:
                continue
            needed.add(number)
            step = works[number].turn.step
            if number not in anew and number != self.turns[-1].number and step.sha256:
                works[number].found = self.finder.find(step.sha256)
            if works[number].found is None:
                ask += [source.step for source in step.sources if source.step is not None]
        return needed

    def _plan(self, work: Work, works: dict[int, Work], reader: Reader) -> None:
        step = work.turn.step
        for source in step.sources:
            handle = self._handle(source, works, reader, work.turn)
            work.media.setdefault(source.slot, []).append((source, handle))
        for name, paths in work.turn.files.items():
            slot = slot_of(step, name)
            for path in paths:
                handle = reader.measured(MediaHandle(path=path), name, slot.kind if slot else "")
                work.media.setdefault(name, []).append((Source(slot=name), handle))
        asked = self.values(work)
        work.seed = drawn(step.of.parse(asked).seed)
        asked["seed"] = work.seed
        work.plan, here = self._plan_here(work, asked)
        # Wan-Nano is planned here for no machine in particular: how it is computed is known when it is.
        known = (
            work.plan
            if self.server or self.weights == "wan"
            else work.plan.model_copy(update={"placement": None})
        )
        work.notices = differences(step, known, here, work.turn.by_hand)

    def _handle(self, source: Source, works: dict[int, Work], reader: Reader, turn: Turn) -> MediaHandle:
        """A slot's file: measured where it is there, else as the step that makes it promises."""
        slot = slot_of(turn.step, source.slot)
        kind = slot.kind if slot else ""
        if source.step is not None:
            before = works[source.step]
            if before.found is not None:
                return reader.measured(
                    MediaHandle(path=str(before.found), mime="video/mp4"), source.slot, kind
                )
            assert before.plan is not None  # steps stand in their order
            return _promised(before.plan, before.turn)
        digest = source.sha256 or ""
        if (path := self.finder.find(digest)) is None:
            called = f" ({source.name})" if source.name else ""
            rule = f"is missing: there is no file{called} with the sha256 {digest} here"
            raise InputError(source.slot, rule, hint=f"give it by --input FILE, or another by --set {turn.number}."
                             f"{source.slot}=FILE")  # fmt: skip
        return reader.measured(MediaHandle(path=str(path), mime=source.mime), source.slot, kind)

    def values(self, work: Work) -> Values:
        """All that the mode is asked for, media and all."""
        step, asked = work.turn.step, {"prompt": "", **work.turn.step.asked()}
        for name, given in work.media.items():
            slot = slot_of(step, name)
            handles = [handle.model_dump(exclude_none=True) for _, handle in given]
            asked[name] = handles if slot and slot.many else handles[0]
        if work.seed >= 0:
            asked["seed"] = work.seed
        return asked

    def _plan_here(self, work: Work, asked: Values) -> tuple[Plan, Made]:
        step = work.turn.step
        if self.server:
            runner = self._runner(step.mode)

            async def ask() -> tuple[Plan, Made]:
                plan, manifest = await runner.plan(asked), await runner.manifest()
                revision = next((c.revision for c in manifest.checkpoints if c.key == plan.checkpoint), "")
                here = Made.model_construct(
                    versions=dict(manifest.versions), git_sha=manifest.git_sha, revision=revision
                )
                return plan, here

            return asyncio.run(ask())
        from nano import sums

        plan, _ = planning.here(step.of, asked, self.weights)
        revision = sums.revision() if self.weights == "nano" else ""
        return plan, Made(versions=versions(), git_sha=git_sha(), revision=revision)

    # ------------------------------------------------------------------ the work

    def made(self, works: list[Work], target: Path) -> dict[str, Any]:
        """Makes what is not there, and writes the last result to `target`."""
        notices: list[str] = []
        results: dict[int, Path] = {}
        steps: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory(prefix="wan-replay-") as folder, ExitStack() as after:
            self._prepare(works)
            for work in works:
                turn, last = work.turn, work is works[-1]
                _say(f"{turn.name}: {_doing(work)}", len(self.turns))
                for text in work.notices:
                    _tell(f"{turn.name}: {text}", notices)
                if work.found is not None:
                    results[turn.number] = work.found
                    steps.append({**_named(turn), "made": False, "file": str(work.found)})
                    continue
                self._put_results(work, results)
                with self._about(turn):
                    again = "the same command again"
                    video, done, said = terminal.made(self._runner(turn.step.mode), self.values(work), again)
                notices += said
                for text in self._late(work, done):
                    _tell(f"{turn.name}: {text}", notices)
                path = target if last else Path(folder) / f"{turn.number}-{turn.step.mode}.mp4"
                terminal.keep(video, path)
                results[turn.number] = path
                steps.append({**_named(turn), "made": True, "seed": done.seed})
                if last:
                    after.pop_all()
                    return {**terminal.told(target, done, notices), "steps": steps}
                kept = f"wan-studio: the result of {turn.name} is {terminal.place_of(video)}"
                after.callback(print, kept, file=sys.stderr)  # should a later step fail
        raise AssertionError("the last step is always made")

    def _prepare(self, works: list[Work]) -> None:
        if self.server:
            return
        cache.check_free()
        cache.sweep(cache.results())
        if self.weights == "wan":
            modes = list(dict.fromkeys(work.turn.step.mode for work in works if work.found is None))
            print(launch.download_notice("wan", modes), file=sys.stderr)

    def _put_results(self, work: Work, results: dict[int, Path]) -> None:
        for name, given in work.media.items():
            work.media[name] = [
                (
                    source,
                    MediaHandle(path=str(results[source.step]), mime="video/mp4") if source.step else handle,
                )
                for source, handle in given
            ]

    def _late(self, work: Work, done: Done) -> list[str]:
        """What is known only now: which weights were loaded, and how."""
        of = done.lineage
        here = Made.model_construct(versions=dict(of.versions), git_sha=of.git_sha, revision=of.revision)
        found = differences(work.turn.step, done.plan, here, work.turn.by_hand)
        return [text for text in found if text not in work.notices]

    def _runner(self, mode: str) -> Runner:
        if mode not in self._runners:
            key = next(turn.step.of for turn in self.turns if turn.step.mode == mode)
            if self.server:
                from cli import server

                self._runners[mode] = server.at(self.server, key)
            else:
                from common.run.local import LocalRunner

                self._runners[mode] = LocalRunner(launch.load_space(mode).service)
        return self._runners[mode]

    @contextmanager
    def _about(self, turn: Turn) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            raise knobs.of_step(turn, error, len(self.turns)) from None


def _promised(plan: Plan, turn: Turn) -> MediaHandle:
    """The handle of a video that is not made yet."""
    sound = any(source.slot == "audio" for source in turn.step.sources) or "audio" in turn.files
    return MediaHandle(
        path=f"{turn.step.mode}.mp4", mime="video/mp4", width=plan.width, height=plan.height, fps=plan.fps,
        frames=plan.num_frames, seconds=plan.clip_seconds, has_audio=sound,
    )  # fmt: skip


def _alike(before: Path, after: Path) -> bool | None:
    """Whether two videos have the same frames; None where one cannot be read to its end."""
    try:
        clips = [Clip(path, "FILE", path.name, Watch()) for path in (before, after)]
        if clips[0].count != clips[1].count:
            return False
        pairs = zip(*(clip.pictures(range(clip.count)) for clip in clips), strict=True)
        return all(one.size == other.size and one.tobytes() == other.tobytes() for one, other in pairs)
    except InputError:
        return None


# ---------------------------------------------------------------------- what is said


def _named(turn: Turn) -> dict[str, Any]:
    return {"step": turn.number, "mode": turn.step.mode}


def _say(text: str, count: int) -> None:
    if count > 1:
        print(f"wan-studio: {text}", file=sys.stderr)


def _tell(text: str, notices: list[str]) -> None:
    notices.append(text)
    print(f"note: {text}", file=sys.stderr)


def _doing(work: Work) -> str:
    if work.found is not None:
        return f"its result is there: {work.found}"
    assert work.plan is not None
    plan = work.plan
    size = f"{plan.width}x{plan.height}, {plan.num_frames} frames, {plan.num_inference_steps} steps"
    return f"{plan.checkpoint}, {size}, seed {work.seed}, about {plan.expected_seconds:.0f} s"


def _expected(source: Opened, works: list[Work]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    for work in works:
        row: dict[str, Any] = {**_named(work.turn), "make": work.found is None}
        row["what"] = _doing(work)
        row["sources"] = [
            f"{name}: step {given.step}" if given.step else f"{name}: {handle.path}"
            for name, all_of in work.media.items()
            for given, handle in all_of
        ]
        row["plan"] = work.plan and work.plan.model_dump(mode="json")
        row["notices"] = [*work.notices, *(work.plan.notices if work.plan else [])]
        steps.append(row)
    total = round(sum(work.plan.expected_seconds for work in works if work.plan), 2)
    return {"name": source.recipe.name, "steps": steps, "expected_seconds": total}


def text(told: dict[str, Any]) -> str:
    """What a replay would do, for a terminal."""
    lines = [told["name"]] if told["name"] else []
    for row in told["steps"]:
        lines.append(f"{row['step']}  {row['mode']:8} {row['what']}")
        lines += [f"            {said}" for said in row["sources"]]
        lines += [f"            note: {said}" for said in row["notices"]]
    return "\n".join([*lines, f"about {told['expected_seconds']:.0f} s in all"])
