"""Whose turn it is on a device: a first-come line that a waiting job can leave."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK = 0.1
"""Seconds between two looks at whether a waiting job was stopped."""


class Turns:
    """One job at a time, or as many as there are `places`.

    Two at once on one device would share one pipeline, its scheduler and its adapters.
    """

    def __init__(self, places: int = 1) -> None:
        self.places = places
        self._line: deque[Ticket] = deque()
        self._moved = threading.Condition()

    def __len__(self) -> int:
        """How many are in the line, with the one whose turn it is."""
        with self._moved:
            return len(self._line)

    def enter(self) -> Ticket:
        """A place at the end of the line."""
        ticket = Ticket(self)
        with self._moved:
            self._line.append(ticket)
        return ticket

    def position(self, ticket: Ticket) -> int:
        """How many have to end before it is the turn of `ticket`; 0 means that it is."""
        with self._moved:
            return self._before(ticket)

    def wait(self, ticket: Ticket, seconds: float) -> bool:
        """Waits up to `seconds` for the turn of `ticket`."""
        with self._moved:
            return self._moved.wait_for(lambda: not self._before(ticket), timeout=seconds)

    def leave(self, ticket: Ticket) -> None:
        """Gives the place up, at whatever place it is."""
        with self._moved:
            if ticket in self._line:
                self._line.remove(ticket)
                self._moved.notify_all()

    @contextmanager
    def turn(self, check: Callable[[], None]) -> Iterator[None]:
        """The whole of a turn: waits for it, while `check` may raise, and gives the place up at its end."""
        ticket = self.enter()
        try:
            while not ticket.wait(LOOK):
                check()
            yield
        finally:
            ticket.leave()

    def _before(self, ticket: Ticket) -> int:
        return max(self._line.index(ticket) - self.places + 1, 0)


class Ticket:
    """A place in the line; not bound to a thread, since generators are resumed by any."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    @property
    def position(self) -> int:
        """How many are before this one."""
        return self._turns.position(self)

    def wait(self, seconds: float) -> bool:
        """Whether the turn came within `seconds`."""
        return self._turns.wait(self, seconds)

    def leave(self) -> None:
        """Steps out of the line."""
        self._turns.leave(self)
