"""Bad weather between a Studio and a place: a TCP proxy that refuses, delays and cuts connections at random."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from dataclasses import dataclass, field

CHUNK = 16_384


@dataclass
class Weather:
    """A proxy to a port of this machine. `badness` is the share of connections that something happens to."""

    port: int
    rng: random.Random
    badness: float = 0.0
    seen: Counter[str] = field(default_factory=lambda: Counter[str]())
    own_port: int = 0

    def start(self) -> Weather:
        """Listen from now on, in a thread of its own."""
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()

        async def listen() -> None:
            server = await asyncio.start_server(self._passed, "127.0.0.1", 0)
            self.own_port = server.sockets[0].getsockname()[1]
            ready.set()

        def run() -> None:
            self._loop.run_until_complete(listen())
            self._loop.run_forever()

        threading.Thread(target=run, daemon=True, name="weather").start()
        assert ready.wait(10)
        return self

    def end(self) -> None:
        """Listen no more."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        what = self.rng.choice(["refuse", "delay", "cut"]) if self.rng.random() < self.badness else "pass"
        self.seen[what] += 1
        left = self.rng.randint(0, 4000) if what == "cut" else 10**12
        if what == "refuse":
            writer.transport.abort()
            return
        if what == "delay":
            await asyncio.sleep(self.rng.uniform(0, 2))
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self._pump(reader, back, 10**12), self._pump(there, writer, left))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, left: int) -> None:
        try:
            while left > 0 and (data := await source.read(min(CHUNK, left))):
                left -= len(data)
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        sink.transport.abort() if left <= 0 else sink.close()
