"""How one Space came out of a command, and the rule that one Space's failure is no other's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from common.errors import Cancelled, StudioError
from deploy.hub import Hub
from deploy.targets import Target

Outcome = Literal["unchanged", "pushed", "restarted", "pull request", "failed"]


@dataclass(frozen=True)
class Result:
    """How one Space came out. `text` is a sentence, an address or the error."""

    target: Target
    outcome: Outcome
    text: str = ""


def each_place(hub: Hub, work: Callable[[Target], Result], targets: Sequence[Target]) -> list[Result]:
    """`work` on modes a few at a time, places of one mode one after another: another of them serves meanwhile."""
    places: dict[str | None, list[Target]] = {}
    for target in targets:
        places.setdefault(target.mode, []).append(target)
    done = {r.target.name: r for many in hub.each(lambda ts: [work(t) for t in ts], places.values()) for r in many}
    return [done[target.name] for target in targets]


def guarded(hub: Hub, target: Target, work: Callable[[], Result]) -> Result:
    """The result of `work`, said aloud; whatever it raises is this Space's failure. Cancelled goes through."""
    try:
        result = work()
    except Cancelled:
        raise
    except StudioError as error:
        result = Result(target, "failed", error.text)
    except Exception as error:  # a client raises more than it documents, and the other Spaces go on
        text = f"{type(error).__name__}: {error}; run the same command again with `--only {target.name}`"
        result = Result(target, "failed", text)
    hub.say(f"{result.outcome} {target.repo_id}: {result.text}")
    return result
