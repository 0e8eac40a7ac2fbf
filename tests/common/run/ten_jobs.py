"""A Studio's line in a process of its own that can be killed: ten slow jobs over a book on disk.

    python -m tests.common.run.ten_jobs BOOK

Prints each event's job and type as it is told.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from common.contract import Step
from common.modes.all import MODES
from common.run.book import Book
from common.run.fake import FakeRunner
from common.run.line import Line
from common.run.runner import Progress, job_id
from tests.common.run.scripts import done_of

JOBS = [str(UUID(int=n)) for n in range(1, 11)]


class Slow(FakeRunner):
    """A job of three steps, each a twentieth of a second."""

    async def stream(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None, job: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        for index in (1, 2, 3):
            await asyncio.sleep(0.05)
            yield None, Step(index=index, total=3, job=job_id(job))
            print(job, index, flush=True)
        yield done_of(self.mode, int(values["seed"]))


async def main(path: Path) -> None:
    mode = MODES["t2v"]
    line = Line(Book(path), {"t2v": Slow(mode, cast(Any, "never asked for"), [])})
    if not line.book.entries("me"):
        for number, job in enumerate(JOBS):
            line.add("me", job, "t2v", {"prompt": "a red circle", "seed": number}, {})
    line.advance()
    while any(entry.alive for entry in line.book.entries("me")):
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
