"""How far a job of several segments has come, as its events tell it."""

from __future__ import annotations

from dataclasses import dataclass

from common.contract import Event, Stage, Step


@dataclass(frozen=True)
class Parts:
    """`kept` of `count` segments are whole, and kept where the job runs; none of none for a video in one piece."""

    count: int = 0
    kept: int = 0
    sampled: int = 0
    """The segment whose last step is done, while nobody has said that it is kept."""

    def after(self, event: Event) -> Parts:
        """What is known once this event has happened."""
        match event:
            case Step(segment=int(segment), segments=int(count)):
                last = event.index * count >= event.total * segment
                return Parts(count, max(segment - 1, self.kept), segment if last else 0)
            case Stage(name="load" | "save") if self.sampled:
                # The next one begins, or the video is put together.
                return Parts(self.count, self.sampled)
            case _:
                return self

    @property
    def words(self) -> str:
        """Such as `2 of 3 segments are kept`; empty where there is nothing to say."""
        if not self.kept:
            return ""
        return f"{self.kept} of {self.count} segments {'is' if self.kept == 1 else 'are'} kept"
