"""Several cards: one job shared by all of them against one card's, and a job on each against one alone.

`python -m bench.gpu.parallel [--parts clip replicas exact forward] [--cards 2] [--minutes 9] [--out FILE]`. Each part
runs in processes of its own, and each row is in the file as soon as it is there. Weights are random, of full size.

`clip` makes the same clip with all cards and with one, through the engine: steps with guidance and, in its second
half, without; the whole job; and how far latents and frames are apart. `exact` is the same with WAN_SPEED=exact,
where all steps have guidance. `replicas` has an engine on each card: each by itself, then all at once. `forward`
times a forward alone: diffusers' own context parallelism, and ours in its variants.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

Row = dict[str, Any]
PARTS = ("clip", "replicas", "exact", "forward")
SIZES = ((1280, 720, 81), (832, 480, 81))
CHECKPOINT = "wan2.1-t2v-14b"
STEPS = 4
GUIDED = 0.5
"""Of a clip's steps."""
REPLICA_STEPS, ROUNDS = 3, 2


@dataclass(frozen=True)
class Asked:
    """What is measured, and until when (by the clock of the wall)."""

    cards: int = 2
    weights: str = "wan"
    sizes: tuple[tuple[int, int, int], ...] = SIZES
    steps: int = STEPS
    until: float = field(default_factory=lambda: time.time() + 540)


def main() -> int:
    """0 where something was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.parallel", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--cards", type=int, default=2)
    parser.add_argument("--steps", type=int, default=STEPS, help="of a clip")
    parser.add_argument("--small", action="store_true", help="480p alone")
    parser.add_argument("--minutes", type=float, default=9, help="after which nothing more is begun, and all ended")
    parser.add_argument("--weights", choices=("wan", "nano"), default="wan", help="nano: tried on a CPU")
    parser.add_argument("--out", type=Path, help="written after each row; what is in it stays")
    args = parser.parse_args()
    sizes = SIZES[-1:] if args.small else SIZES
    if args.weights == "nano":
        sizes = ((128, 128, 9), (192, 128, 5))
    asked = Asked(args.cards, args.weights, sizes, args.steps, time.time() + 60 * args.minutes)
    done: dict[str, Any] = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    rows: list[Row] = []
    for part in args.parts:
        rows = []
        done[part] = {
            "device": _device(), "cards": args.cards, "date": datetime.now(UTC).date().isoformat(),
            "versions": {name: version(name) for name in ("torch", "diffusers")}, "rows": rows,
        }  # fmt: skip
        for row in measure(part, asked):
            print(json.dumps(row), flush=True)
            rows.append(row)
            if args.out:
                args.out.write_text(json.dumps(done, indent=1) + "\n")
    return 0 if rows else 1


def measure(part: str, asked: Asked) -> Iterator[Row]:
    """The rows of a part as they come; the last one says where it was cut."""
    with tempfile.TemporaryDirectory(prefix="wan-parallel-") as folder:
        _configs(asked, Path(folder))
        run = {"replicas": replicas, "forward": _forward}.get(part, _clip)
        began = time.monotonic()
        yield from run(asked, Path(folder), *([part] if run is _clip else []))
        print(f"{part}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def _clip(asked: Asked, folder: Path, part: str) -> Iterator[Row]:
    more = {"WAN_CARDS": str(asked.cards), "BENCH_GUIDED": str(GUIDED)}
    more["WAN_SPEED"] = "exact" if part == "exact" else ""
    sizes = asked.sizes[-1:] if part == "exact" else asked.sizes
    yield from Child("clip", asked, folder, more, sizes=sizes).rows()


def _forward(asked: Asked, folder: Path) -> Iterator[Row]:
    started = [
        Child("forward", asked, folder, _only(rank), rank=rank, sizes=asked.sizes[::-1])
        for rank in range(asked.cards)
    ]
    for other in started[1:]:
        threading.Thread(target=lambda other=other: [*other.rows()], daemon=True).start()
    yield from started[0].rows()
    for other in started:
        other.process.kill()


def replicas(asked: Asked, folder: Path) -> Iterator[Row]:
    """An engine a card: each of them at work by itself, then all of them at once; again while there is time."""
    size, steps = asked.sizes[-1], min(asked.steps, REPLICA_STEPS)
    started = [
        Child("replica", asked, folder, _only(n), sizes=[size], steps=steps) for n in range(asked.cards)
    ]
    try:
        said = [child.rows() for child in started]
        for rows in said:
            if (row := next(rows, {"failed": "it ended"})).get("failed"):
                yield row
                return

        def together(which: Iterable[int]) -> float:
            began = time.monotonic()
            for n in which:
                started[n].tell("go")
            for n in which:
                if why := next(said[n], {"failed": "it ended"}).get("failed"):
                    raise TimeoutError(why)
            return time.monotonic() - began

        cards, rounds, took = range(asked.cards), list[list[float]](), 0.0
        while len(rounds) < ROUNDS and (not rounds or time.time() + took + 5 < asked.until):
            began = time.monotonic()
            try:
                rounds.append([*(together([n]) for n in cards), together(cards)])
            except TimeoutError as error:
                yield {"failed": str(error)}
                if not rounds:
                    return
                break
            took = time.monotonic() - began
        *alone, whole = (statistics.median(each) for each in zip(*rounds, strict=True))
        mean = statistics.mean(alone)
        yield {
            "way": f"{asked.cards} jobs on {asked.cards} replicas", "size": [*size], "steps": steps,
            "rounds": len(rounds), "alone_each": [round(x, 2) for x in alone], "alone_seconds": round(mean, 2),
            "seconds": round(whole, 2), "throughput": round(asked.cards * mean / whole, 3),
            "throughput_of_the_first": round(asked.cards * alone[0] / whole, 3),
        }  # fmt: skip
    finally:
        for child in started:
            child.process.kill()


class Child:
    """A process that measures; what it prints as JSON are rows. It has until the time is over."""

    def __init__(self, what: str, asked: Asked, folder: Path, more: dict[str, str], **given: Any) -> None:
        told = {
            "what": what, "cards": asked.cards, "weights": asked.weights, "steps": asked.steps,
            "until": asked.until, "folder": str(folder), "checkpoint": CHECKPOINT, **given,
        }  # fmt: skip
        root = Path(__file__).parents[2]
        found = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
        kept = os.environ | {
            "WAN_WEIGHTS": asked.weights, "BENCH_FOLDER": str(folder), "WAN_CARDS": "", "WAN_SPEED": "",
            "GRADIO_TEMP_DIR": str(folder / "results"), "PYTHONPATH": found, "PYTHONUNBUFFERED": "1", **more,
        }  # fmt: skip
        self.until = asked.until
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.gpu.shared", json.dumps(told)],
            env=kept, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def tell(self, word: str) -> None:
        """A line."""
        assert self.process.stdin is not None
        print(word, file=self.process.stdin, flush=True)

    def rows(self) -> Iterator[Row]:
        """To its end, or to the end of the time."""
        clock = threading.Timer(max(0.0, self.until - time.time()), self.process.kill)
        clock.daemon = True
        clock.start()
        try:
            assert self.process.stdout is not None
            for line in self.process.stdout:
                if line.startswith('{"'):
                    yield json.loads(line)
                else:
                    print(line, end="", file=sys.stderr, flush=True)
            if code := self.process.wait():
                yield {"failed": f"the process ended with {code}, {self.until - time.time():.0f} s before its time"}
        finally:
            clock.cancel()
            self.process.kill()


def _only(card: int) -> dict[str, str]:
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return {"CUDA_VISIBLE_DEVICES": seen.split(",")[card] if seen else str(card)}


def _configs(asked: Asked, folder: Path) -> None:
    """Before several processes look for them at once."""
    if asked.weights == "wan":
        from bench import full_size
        from common.catalog import CHECKPOINTS

        full_size.folder(CHECKPOINTS[CHECKPOINT], folder / CHECKPOINT)


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


if __name__ == "__main__":
    sys.exit(main())
