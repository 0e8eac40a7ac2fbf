"""A hundred people in one hosted Studio at once, over a pretended engine: `python -m bench.visitors [--people N]`.

Each opens the page, generates (one job, then reads it to its end) and meanwhile does what a page does: its tick, its
label under Generate, its return to a job. Prints one JSON object: jobs lost or crossed, and how long the page took to
answer. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

LIMITS = httpx.Limits(max_connections=400, max_keepalive_connections=400)


@dataclass
class Page:
    """The page's wiring, as its configuration tells it."""

    dependencies: list[dict[str, Any]]
    parts: dict[int, dict[str, Any]]

    def event(self, outputs: int, first: str, *, prompt: bool) -> dict[str, Any]:
        """The first event with so many outputs, the first of a type, that takes a prompt (or does not)."""
        for event in self.dependencies:
            kinds = [self.parts[i]["type"] for i in event["outputs"]]
            takes = any("prompt" in self._classes(i) for i in event["inputs"])
            if event["backend_fn"] and len(kinds) == outputs and kinds[0] == first and takes is prompt:
                return event
        raise LookupError(f"no event with {outputs} outputs from {first}")

    def values(self, event: dict[str, Any], **given: Any) -> list[Any]:
        """What the page would send: `prompt`, `visitor` and `seed` as given."""
        data = [self.parts[i]["props"].get("value") for i in event["inputs"]]
        for place, i in enumerate(event["inputs"]):
            if "prompt" in self._classes(i):
                data[place] = given.get("prompt")
        return data

    def _classes(self, part: int) -> list[str]:
        return self.parts[part]["props"].get("elem_classes") or []


@dataclass
class Seen:
    """What came of it."""

    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    done: int = 0
    lost: list[str] = field(default_factory=lambda: list[str]())
    crossed: list[str] = field(default_factory=lambda: list[str]())


async def person(number: int, url: str, http: httpx.AsyncClient, page: Page, seen: Seen) -> None:
    """One visit."""
    session, visitor, words = secrets.token_hex(6), secrets.token_hex(16), f"a red circle, number {number}."

    async def timed(name: str, method: str, path: str, **more: Any) -> httpx.Response:
        began = time.monotonic()
        reply = await http.request(method, url + path, **more)
        seen.waits[name].append(time.monotonic() - began)
        return reply

    await timed("page", "GET", "")
    generate, label = page.event(7, "video", prompt=True), page.event(6, "html", prompt=True)
    data = page.values(generate, prompt=words)
    data[:3] = [None, visitor, False]
    body = {"fn_index": generate["id"], "data": data, "session_hash": session}
    running = True

    async def follow() -> None:
        nonlocal running
        try:
            await timed("generate", "POST", "gradio_api/queue/join", json=body)
            told = line = ""
            async with http.stream("GET", f"{url}gradio_api/queue/data?session_hash={session}") as reply:
                async for line in reply.aiter_lines():
                    told = line if ".mp4" in line else told
                    if "process_completed" in line:
                        break
            if ".mp4" in told:
                seen.done += 1
            else:
                seen.lost.append(f"{words} {told or line[:500]}")
        finally:
            running = False

    async def live() -> None:
        while running:
            asked = {"fn_index": label["id"], "data": page.values(label, prompt=words), "session_hash": session}
            reply = await timed("label", "POST", "gradio_api/run/predict", json=asked)
            if reply.status_code != 200:
                seen.lost.append(f"label: {reply.text[:100]}")
            await asyncio.sleep(2)

    await asyncio.gather(follow(), live())
    # Whoever comes back sees the own queue, and nobody else's.
    back = next(e for e in page.dependencies if _loads(e) and len(e["outputs"]) == 8)
    asked = {"fn_index": back["id"], "data": [visitor], "session_hash": secrets.token_hex(6)}
    told = (await timed("return", "POST", "gradio_api/run/predict", json=asked)).text
    if told.count("number ") < 1 or f"number {number}." not in told:
        seen.lost.append(f"queue of {number}: {told[:200]}")
    if any(f"number {other}." in told for other in range(1000) if other != number):
        seen.crossed.append(told[:300])


def _loads(event: dict[str, Any]) -> bool:
    return any(name == "load" for _, name in event["targets"])


async def day(url: str, people: int) -> Seen:
    """All of them, within ten seconds of one another."""
    seen = Seen()
    async with httpx.AsyncClient(timeout=300, limits=LIMITS) as http:
        config = (await http.get(f"{url}config")).json()
        page = Page(config["dependencies"], {part["id"]: part for part in config["components"]})

        await person(people, url, http, page, Seen())  # the modes have answered once before the crowd comes

        async def comes(number: int) -> None:
            await asyncio.sleep(10 * number / people)
            await person(number, url, http, page, seen)

        await asyncio.gather(*(comes(number) for number in range(people)))
    return seen


def main() -> None:
    """Start the Studio, let them come, print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds a step of the pretended engine")
    args = parser.parse_args()
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.router.fleet_server", str(port), "--router", "--modes", "t2v", "i2v",
             "--pause", str(args.pause)],
            cwd=Path(__file__).parents[1], env={**os.environ, "GRADIO_TEMP_DIR": folder},
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}/"
            _up(url, server)
            began = time.monotonic()
            seen = asyncio.run(day(url, args.people))
            print(json.dumps(_summary(seen, args.people, time.monotonic() - began), indent=2))
        finally:
            server.kill()
            server.wait(10)


def _up(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{url}t2v/", timeout=5).is_success and httpx.get(url, timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        if server.poll() is not None:
            break
        time.sleep(0.2)
    raise RuntimeError("the Studio did not start")


def _summary(seen: Seen, people: int, seconds: float) -> dict[str, Any]:
    def in_ms(waits: list[float]) -> dict[str, int]:
        ordered = sorted(waits)
        return {
            "median_ms": round(1000 * statistics.median(ordered)),
            "p95_ms": round(1000 * ordered[int(0.95 * (len(ordered) - 1))]),
            "count": len(ordered),
        }

    return {
        "people": people, "seconds": round(seconds, 1), "done": seen.done, "lost": seen.lost[:5],
        "crossed": seen.crossed[:5], "answers": {name: in_ms(waits) for name, waits in seen.waits.items()},
    }  # fmt: skip


if __name__ == "__main__":
    main()
