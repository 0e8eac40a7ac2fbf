"""Makes the steps of a replay one after the other, here or on a server, and says what it does."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import launch
from cli import terminal
from cli.finding import Finder
from cli.foreseen import Machine, Work, about, foreseen
from cli.knobs import Turn
from cli.opened import Opened
from common import cache
from common.catalog import Weights
from common.contract import Done, MediaHandle
from common.errors import InputError
from common.media.clips import Clip
from common.media.watch import Watch
from common.recipe import Made
from common.retrace import differences
from common.run.runner import Runner


def replay(source: Opened, turns: list[Turn], args: argparse.Namespace) -> dict[str, Any]:
    """What `--json` prints of a replay; with `--dry-run` of what it would do. Raises StudioError."""
    weights = _weights(turns, args)
    launch.prepare_environment(weights)  # it also says where this machine's results lie
    finder = Finder(args.input, source.path.absolute().parent)
    machine = Machine(weights, args.server)
    works = foreseen(turns, machine, finder)
    _all_used(finder, turns)
    if args.dry_run:
        return _expected(source, works)
    last = works[-1]
    target = Path(args.out or f"{last.turn.step.mode}-{last.settings['seed']}-replay.mp4")
    terminal.check_target(str(target))
    if target.exists() and target.samefile(source.path):
        raise InputError("--out", "must be another file than the one that is replayed", got=repr(str(target)))
    told = _made(works, machine, target, len(turns))
    before = source.path if source.video else finder.find(last.turn.step.sha256 or "")
    told["same"] = None
    if before is not None and not any(turn.changed for turn in turns):
        told["same"] = _alike(before, target)
        said = {True: "the same frames as", False: "other frames than", None: "not compared, since damaged:"}
        print(f"wan-studio: {said[told['same']]} {before}", file=sys.stderr)
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


def _made(works: list[Work], machine: Machine, target: Path, count: int) -> dict[str, Any]:
    """Makes what is not there, and writes the last result to `target`."""
    notices: list[str] = []
    results: dict[int, Path] = {}
    steps: list[dict[str, Any]] = []
    _prepare(works, machine)
    with tempfile.TemporaryDirectory(prefix="wan-replay-") as folder, ExitStack() as failed:
        for work in works:
            turn = work.turn
            if count > 1:
                print(f"wan-studio: {turn.name}: {_doing(work)}", file=sys.stderr)
            if work.found is not None:
                results[turn.number] = work.found
                steps.append({**_named(turn), "made": False, "file": str(work.found)})
                continue
            _tell(turn, work.notices, notices)
            _put_results(work, results)
            with about(turn, count):
                video, done, said = terminal.made(_runner(turn, machine), work.values(), _again(work))
            notices += said
            _tell(turn, [text for text in _late(work, done) if text not in work.notices], notices)
            path = target if work is works[-1] else Path(folder) / f"{turn.number}-{turn.step.mode}.mp4"
            terminal.keep(video, path)
            results[turn.number] = path
            steps.append({**_named(turn), "made": True, "seed": done.seed})
            if work is works[-1]:
                failed.pop_all()
                return {**terminal.told(target, done, notices), "steps": steps}
            kept = f"wan-studio: the result of {turn.name} is {terminal.place_of(video)}"
            failed.callback(print, kept, file=sys.stderr)
    raise AssertionError("the last step is always made")


def _prepare(works: list[Work], machine: Machine) -> None:
    if machine.at:
        return
    cache.check_free()
    cache.sweep(cache.results())
    if machine.weights == "wan":
        modes = list(dict.fromkeys(work.turn.step.mode for work in works if work.found is None))
        print(launch.download_notice("wan", modes), file=sys.stderr)


def _runner(turn: Turn, machine: Machine) -> Runner:
    if machine.at:
        return machine.remote(turn)
    from common.run.local import LocalRunner

    return LocalRunner(launch.load_space(turn.step.mode).service)


def _again(work: Work) -> str:
    """How a job that ended early goes on: with the same seed."""
    held = "seed" in work.turn.step.asked()
    return "the same again" + ("" if held else f" with --set {work.turn.number}.seed={work.settings['seed']}")


def _put_results(work: Work, results: dict[int, Path]) -> None:
    """Where a slot waits for an earlier step's result, there it is."""
    for name, given in work.media.items():
        work.media[name] = [
            (source, MediaHandle(path=str(results[source.step]), mime="video/mp4") if source.step else handle)
            for source, handle in given
        ]


def _late(work: Work, done: Done) -> list[str]:
    """What is known only now: which weights were loaded, and how."""
    of = done.lineage
    here = Made.model_construct(versions=dict(of.versions), git_sha=of.git_sha, revision=of.revision)
    return differences(work.turn.step, done.plan, here, work.turn.by_hand)


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


def _tell(turn: Turn, texts: Sequence[str], notices: list[str]) -> None:
    for text in texts:
        notices.append(f"{turn.name}: {text}")
        print(f"note: {notices[-1]}", file=sys.stderr)


def _doing(work: Work) -> str:
    if work.found is not None:
        return f"its result is there: {work.found}"
    assert work.plan is not None
    plan = work.plan
    size = f"{plan.width}x{plan.height}, {plan.whole_frames} frames, {plan.num_inference_steps} steps"
    return f"{plan.checkpoint}, {size}, seed {plan.seed}, about {plan.expected_seconds:.0f} s"


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
