"""A job as a page follows it: its events folded into one view after the other, the last of them how it ended."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from common.budgets import BUDGETS
from common.contract import Done, MediaHandle
from common.errors import StudioError
from common.panels.card import Card
from common.run.runner import Progress, explain


@dataclass(frozen=True)
class View:
    """What is to be seen of a job: the card, and once it is done the video, and the seed that made it.

    `error` is how it ended badly.
    """

    card: Card
    video: MediaHandle | None = None
    seed: int | None = None
    error: StudioError | None = None


async def views(
    card: Card, stream: AsyncGenerator[Progress, None], in_words: Callable[[StudioError], StudioError]
) -> AsyncGenerator[View, None]:
    """A view after each event of `stream`, from `card` on; the last has a card that has ended. Raises nothing."""
    try:
        async with aclosing(stream) as updates:
            async for video, event in updates:
                card = card.after(event)
                if isinstance(event, Done):
                    yield View(card, video, event.seed)
                    return
                yield View(card)
        raise StudioError("The job ended without a video.", title="Nothing came back")
    except Exception as error:
        if not card.ended:  # else it is what came after the end
            known = explain(error)
            yield View(card.failed(in_words(known)), error=known)


@dataclass
class Look:
    """One page's look at one job; `live` says that the job went on meanwhile, `ended` that it has come to its end."""

    live: bool = False
    ended: bool = False


class Looks:
    """What the pages of a panel look at: of two jobs that one page was shown, the later."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, Look] = OrderedDict()

    def begin(self, page: str) -> Look:
        """A page looks at another job from now on."""
        self._last.pop(page, None)
        look = self._last[page] = Look()
        while len(self._last) > BUDGETS.sessions:
            self._last.popitem(last=False)
        return look

    def holds(self, page: str, look: Look) -> bool:
        """Whether this is still what a page looks at. What has no page is looked at by itself."""
        return not page or self._last.get(page) is look

    def last(self, page: str) -> Look | None:
        """What a page looks at, or has looked at last."""
        return self._last.get(page)
