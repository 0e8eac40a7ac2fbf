"""A panel's jobs: begun, followed, stopped; and where they go on by themselves, come back to and queued."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import gradio as gr

from common.contract import Manifest, Plan, Prepared
from common.errors import StudioError
from common.modes.base import Mode, drawn
from common.panels import texts
from common.panels.card import Card
from common.panels.events import ONCE, QUIET, TOLD
from common.panels.following import Looks, View, views
from common.panels.offering import Offering
from common.panels.stopping import Stops, until
from common.panels.unfinished import Unfinished
from common.panels.widgets import Inputs
from common.run.parts import Parts
from common.run.runner import VISITOR, Lasting, Runner

BEGIN = """(job, visitor, earlier, ...args) => {
    const output = document.querySelector('#%s');
    output.dataset.job = window.wanJob();  // on a phone that puts the output first, and so where it is scrolled to
    output.querySelector('.stage').scrollIntoView({behavior: 'smooth', block: 'nearest'});
    const video = !!output.querySelector('.result-video video');
    return [output.dataset.job, window.wanVisitor?.() ?? '', video, ...args];
}"""
"""Shows the output; draws the job an id, by which Stop finds it; looks whether there is an earlier video."""

BACK = """(back, visitor) => {
    const output = document.querySelector('#%s'), [job, why] = back.split(' ');
    if (!why && output.dataset.job) return ['', ''];  // a page that is opened has begun one by itself meanwhile
    output.dataset.job = job;
    return [back, window.wanVisitor?.() ?? ''];
}"""
"""Makes a job that runs already the one that Stop ends."""

END = """() => {
    const output = document.querySelector('#%s');
    const video = !!output.querySelector('.result-video video');
    return [output.dataset.job ?? '', window.wanVisitor?.() ?? '', video];
}"""

REFUSED = StudioError("The message at the side says why.", title="The job was not taken")


class Jobs(ABC):
    """What is below a panel: its runner's jobs on its buttons, card and video."""

    runner: Runner
    mode: Mode
    inputs: Inputs
    queue: Mapping[str, Any]
    offering: Offering
    go: gr.Button
    more: gr.Button
    stop: gr.Button
    added: gr.HTML
    video: gr.Video
    screen: gr.HTML
    card: gr.HTML

    def __init__(self) -> None:
        self.stops = Stops()
        self.looks = Looks()
        self.unfinished = Unfinished()

    @abstractmethod
    def values(self, raw: tuple[Any, ...]) -> dict[str, Any]:
        """The page's values as request values."""

    @abstractmethod
    def preview_plan(self, manifest: Manifest, values: Mapping[str, Any]) -> Plan:
        """The plan of values that may still lack required inputs; InputError for a rule broken."""

    @abstractmethod
    def in_words(self, error: StudioError) -> StudioError:
        """The error in the page's words."""

    def wire_jobs(self) -> None:
        """Generate, Stop, and what leads back to a job; call it once all is drawn."""
        parts = self.inputs.components
        everything = list(parts.values())
        stage = [self.screen, self.card, self.go, self.stop, self.more]
        outputs = [self.video, *stage, parts["seed"]]
        # Drawn by the browser at once: with one job at a time, the server may not say a word for a while.
        waiting = Card.clicked()
        self.go.click(
            None, None, stage,
            js=f"() => {json.dumps([waiting.screen(), waiting.card(), *self._buttons(busy=True)])}", **QUIET,
        )  # fmt: skip
        job, visitor = gr.Textbox(visible=False), gr.Textbox(visible=False)
        earlier = gr.Checkbox(visible=False)
        # Not "once": the browser would drop a click that comes while it still waits for a Stop to end.
        running = self.go.click(
            self._generate, [job, visitor, earlier, *everything], outputs, js=BEGIN % f"{self.mode.key}-output",
            show_progress_on=self.card, api_visibility="private", trigger_mode="multiple", **self.queue,
        )  # fmt: skip
        # What Gradio itself refuses (a full queue, a value that no page sends) never reaches `_generate`.
        running.failure(self._refused, earlier, stage, **QUIET)
        self.running = running
        self.stop.click(
            None, None, [self.card, self.stop],
            js=f"() => {json.dumps([Card.stopping().card(), gr.update(interactive=False)])}", **QUIET,
        )  # fmt: skip
        # The job says itself that it has stopped: two who draw one card are drawn in any order.
        self.stop.click(self._stop, [job, visitor, earlier], stage, js=END % f"{self.mode.key}-output", **ONCE)
        if isinstance(self.runner, Lasting):
            self._wire_lasting(visitor, everything, outputs)

    def _wire_lasting(self, visitor: Any, everything: list[Any], outputs: list[Any]) -> None:
        """Where jobs go on by themselves: more of them than the page shows, and the way back to one.

        Who sets `back` to a job's id has it shown here, where the page has not begun another. With a word behind the
        id it is shown in any case; another word makes the same job another wish.
        """
        output = f"{self.mode.key}-output"
        self.more.click(
            self._enter, [visitor, *everything], self.added,
            js="(visitor, ...args) => [window.wanVisitor(), ...args]", **TOLD,
        )  # fmt: skip
        self.back = gr.Textbox(visible=False)
        shown = self.back.change(
            self._again, [self.back, visitor], outputs, js=BACK % output, show_progress_on=self.card,
            api_visibility="private", trigger_mode="multiple", **self.queue,
        )  # fmt: skip
        for ended in (self.running, shown):
            ended.then(self._next, visitor, [self.back, self.added], js="() => [window.wanVisitor()]", **QUIET)

    async def _generate(
        self, request: gr.Request, job: str, visitor: str, had_video: bool, *raw: Any
    ) -> AsyncGenerator[list[Any], None]:
        card = Card.clicked(had_video=had_video, told=await self._told(raw))
        headers = _headers(request, visitor)
        seat, asked, drew = visitor or _page(request), None, 0
        try:
            asked = self.values(raw)
            earlier, parts = self.unfinished.of(seat, asked)
            card = card.going_on(parts)
            drew = drawn(asked.get("seed")) if earlier is None else earlier
            stream = self.runner.stream({**asked, "seed": drew}, headers, job)
        except StudioError as error:
            yield self._last(View(card.failed(self.in_words(error))))
            return
        stop, view, look = self.stops.begin(job), View(card), self.looks.begin(_page(request))
        look.live, first = True, isinstance(self.runner, Lasting)
        try:
            async with aclosing(views(card, until(stop, stream), self.in_words)) as seen:
                async for now in seen:
                    if not self.looks.holds(_page(request), look):
                        return  # this page looks at another job by now
                    if not now.card.ended:
                        # An earlier job that the page came back to may have been drawn since the click.
                        yield self._begun(now) if first else _running(view, now)
                        first = False
                    view = now
        finally:
            self.stops.end(job)
            if stop.is_set() and isinstance(self.runner, Lasting):
                self.runner.cancel(job, headers)  # one that was stopped before it was there
        if view.error is not None:
            self.offering.quotas.hear(_page(request), view.error)
        look.ended = True
        done, kept = view.card.state == "done", view.card.parts.kept
        self.unfinished.ended(seat, asked, drew, Parts() if done else view.card.parts)
        # Asked for again with its seed, a job goes on from what is kept of it.
        yield self._last(replace(view, seed=drew) if kept and not done else view)

    async def _again(self, request: gr.Request, back: str, visitor: str) -> AsyncGenerator[list[Any], None]:
        """Shows a job that was begun elsewhere or before."""
        job, _, _ = str(back).partition(" ")
        if not job or not isinstance(self.runner, Lasting):
            return
        view, look, headers = View(Card()), self.looks.begin(_page(request)), _headers(request, visitor)
        look.live, first = self.runner.alive(job, headers), True
        follow = self.runner.follow(job, headers)
        async with aclosing(views(Card.clicked(), follow, self.in_words)) as seen:
            async for now in seen:
                if not self.looks.holds(_page(request), look):
                    return
                if look.live and not now.card.ended:
                    yield self._begun(now) if first else _running(view, now)
                    first = False
                view = now
        look.ended = True
        yield self._last(view)

    def _begun(self, view: View) -> list[Any]:
        """What the page shows of a job that runs, whatever it has shown before."""
        return [gr.skip(), view.card.screen(), view.card.card(), *self._buttons(busy=True), gr.skip()]

    def _last(self, view: View) -> list[Any]:
        """What the page shows once a job is over; the earlier video and seed where it has none."""
        video, seed = (gr.skip() if value is None else value for value in (view.video, view.seed))
        return [video, view.card.screen(), view.card.card(), *self._buttons(busy=False), seed]

    async def _enter(self, request: gr.Request, visitor: str, *raw: Any) -> str:
        assert isinstance(self.runner, Lasting)
        values = self.values(raw)
        try:
            await self.runner.enter(values, _headers(request, visitor))
        except StudioError as error:
            raise self.in_words(error) from None
        return texts.added(str(values.get("prompt") or ""))

    def _next(self, request: gr.Request, visitor: str) -> list[Any]:
        """After a job that this page has seen end, it looks at what else of this mode runs or waits."""
        assert isinstance(self.runner, Lasting)
        look = self.looks.last(_page(request))
        if look is not None and not (look.live and look.ended):
            return [gr.skip(), ""]
        job = self.runner.newest(_headers(request, visitor), alive=True)
        return [f"{job} next" if job else gr.skip(), ""]

    async def prepared(
        self, values: Mapping[str, Any], headers: Mapping[str, str]
    ) -> AsyncGenerator[str | Prepared, None]:
        """What a mode makes of its media first: on the way the card, at the end what was made."""
        card, made = Card.clicked(), None
        async with aclosing(self.runner.prepare(values, headers)) as items:
            async for item in items:
                if isinstance(item, Prepared):
                    made = item
                else:
                    card = card.after(item)
                    yield card.card()
        if made is None:
            raise StudioError(f"{self.mode.title} ended without anything to show")
        yield made

    async def _told(self, raw: tuple[Any, ...]) -> Sequence[str]:
        """The notices that the label gives for these values."""
        try:
            values = self.inputs.measured(self.values(raw), raw)
            return self.preview_plan(await self.runner.manifest(values.get("checkpoint")), values).notices
        except StudioError:
            return ()

    async def _stop(self, request: gr.Request, job: str, visitor: str, had_video: bool) -> list[Any]:
        ends = isinstance(self.runner, Lasting) and self.runner.cancel(job, _headers(request, visitor))
        if self.stops.stop(job) or ends:
            return [gr.skip()] * 5
        card = Card.clicked(had_video=had_video).stopped()
        return [card.screen(), card.card(), *self._buttons(busy=False)]

    def _refused(self, had_video: bool) -> list[Any]:
        card = Card.clicked(had_video=had_video).failed(REFUSED)
        return [card.screen(), card.card(), *self._buttons(busy=False)]

    def _buttons(self, *, busy: bool) -> list[dict[str, Any]]:
        # Made anew each time: Gradio takes the value out of an update that it has sent.
        name, more = "Generating" if busy else "Generate", busy and isinstance(self.runner, Lasting)
        return [
            gr.update(interactive=not busy, value=name), gr.update(visible=busy, interactive=True),
            gr.update(visible=more),
        ]  # fmt: skip


def _running(before: View, now: View) -> list[Any]:
    screen = now.card.screen()
    return [
        gr.skip(), gr.skip() if before.card.screen() == screen else screen, now.card.card(), *[gr.skip()] * 4
    ]  # fmt: skip


def _page(request: gr.Request) -> str:
    return getattr(request, "session_hash", None) or ""


def _headers(request: gr.Request, visitor: str) -> dict[str, str]:
    return {**dict(request.headers), VISITOR: visitor}
