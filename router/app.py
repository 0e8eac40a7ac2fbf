"""The Studio: one window over all modes. Draws their panels, sends their jobs on, moves no video.

Run it with `.venv/bin/python router/app.py` and WAN_FEDERATION set, or let the launcher mount it.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import gradio as gr
from fastapi import FastAPI

from common.catalog import GENERATIONS
from common.contract import Lineage, MediaHandle, ModeKey
from common.modes.all import MODES
from common.modes.base import PRESETS
from common.page.blocks import StudioBlocks, as_gradio_errors
from common.panels import extending
from common.panels import refill as refilling
from common.panels.all import PANELS
from common.panels.base import Panel, told
from common.panels.events import EACH, ONCE, QUIET, TOLD, chosen
from common.run.book import Book
from common.run.runner import VISITOR
from common.settings import state_folder
from router import federation, gating, restore, shell, waiting
from router.batches import Batches
from router.dispatch import FIRST_ANSWERS_SECONDS, FederatedRunner, Studio
from router.gallery.disk import Disk
from router.gallery.keeping import Keeping
from router.gallery.page import GalleryPage
from router.owners import StudioGate
from router.sending import Sending
from router.settings.page import SettingsPage

FIRST_PAGE: ModeKey = "t2v"
TICK_SECONDS = 2.0
STORE = "wan-studio"
"""Not a secret: a browser keeps what its own visitor has typed and made."""


def build_studio(studio: Studio) -> StudioBlocks:
    """The page over a federation. Its watcher asks the modes while a page is open."""
    gate = StudioGate(lambda url: studio.watcher.place_of(url) is not None, studio.owners, studio.owner)
    disk = Disk(state) if (state := state_folder()) else None
    if disk is not None:
        studio.keep = Keeping(disk, studio.traffic)
    with StudioBlocks(title="Wan Studio", fill_width=True, gate=gate, look=shell.page_options()) as blocks:
        _Page(studio, blocks, disk).draw()
    resuming: list[asyncio.Task[None]] = []

    async def resume() -> None:  # what it waits for is served by this very process, once that has started
        resuming.append(asyncio.create_task(studio.resume()))

    blocks.extra_startup_events.append(resume)
    return blocks


def mount(app: FastAPI, studio: Studio) -> FastAPI:
    """The page at `/` of an app; mount it last."""
    blocks = build_studio(studio)
    options = {"app_kwargs": {"middleware": blocks.inside}, **shell.page_options()}
    return gr.mount_gradio_app(app, blocks, path="/", **options)


class _Page:
    def __init__(self, studio: Studio, blocks: gr.Blocks, disk: Disk | None) -> None:
        self.studio = studio
        self.disk = disk
        self.blocks = blocks
        self.watcher = studio.watcher
        self.panels: dict[ModeKey, Panel] = {}

    def draw(self) -> None:
        with gr.Sidebar(position="left", open=True, width=236, elem_classes="studio-nav"):
            self.nav = gr.HTML(shell.nav("", self.watcher), js_on_load=shell.NAV_ON_LOAD)
            self.drop = gr.UploadButton(
                "Drop a Studio video to restore it", file_types=[".mp4"], elem_id="restore", size="sm"
            )
        with gr.Row(elem_classes="studio-header"):
            gr.HTML(shell.brand(), elem_classes="brand-box")
            self.generation = gr.Dropdown(
                gating.generations(), value=gating.generation_of(MODES[FIRST_PAGE], "", self.watcher),
                label="Generation", show_label=False,
                filterable=False, container=False, elem_classes="generation", min_width=110, scale=0,
                interactive=True,
            )  # fmt: skip
            self.preset = gr.Radio(
                [("Fast", "fast"), ("Quality", "quality")], value="fast", label="Preset", show_label=False,
                container=False, elem_classes=["segmented", "preset"], min_width=170, scale=0,
            )  # fmt: skip
            gr.HTML(shell.header_links(), elem_classes="links-box")
            # In a Space with hf_oauth: shows who is there, changes no quota.
            if os.environ.get("OAUTH_CLIENT_ID"):
                gr.LoginButton(size="sm", elem_classes="sign-in")
        # Of a hosted Studio; a person's own lie in their Studio's folder.
        stored = gr.BrowserState({}, storage_key="wan-studio-defaults", secret=STORE)
        self.settings = SettingsPage(self.studio, self.panels, stored, state_folder())
        for key, mode in MODES.items():
            with gr.Column(elem_classes=["page", f"page-{key}"]):
                known = FederatedRunner(mode, self.studio).known()
                panel = self.panels[key] = PANELS[key](
                    self.studio.runner(mode), known, queue={"concurrency_limit": None}
                )
                panel.own = self.settings.defaults
                panel.neighbour = lambda other: FederatedRunner(MODES[other], self.studio)
                panel.draw()
        self.visitor = gr.Textbox("", visible=False)  # the browser's secret; see router/visitors.py
        # In the browser: a reload, or a Studio that was started again, loses nothing that was made.
        self.results = gr.BrowserState("", storage_key="wan-studio-results", secret=STORE)
        self.typed = gr.BrowserState({}, storage_key="wan-studio-typed", secret=STORE)
        with gr.Column(elem_classes=["page", "page-gallery"]):
            self.gallery = GalleryPage(self.studio, self.visitor, self.results, self.disk)
            self.gallery.draw()
        with gr.Column(elem_classes=["page", "page-queue"]):
            gr.HTML("<h2>Queue</h2><p>Jobs go on when their page is closed</p>", elem_classes="heading")
            self.queue = gr.HTML("", js_on_load=waiting.ON_LOAD)
        with gr.Column(elem_classes=["page", "page-settings"]):
            self.settings.draw()
        self.settings.wire(self.results)
        self.extending = extending.Extending(self.panels, self._made_from)
        self.extending.draw()
        Sending(self.panels).draw()
        self.batches = Batches(self.studio, self.panels, self.visitor)
        self.batches.draw()
        self._wire_header()
        self._wire_restore()
        self._wire_queue()
        self.batches.wire(self.blocks)

    # ------------------------------------------------------------------ header and health

    def _wire_header(self) -> None:
        # One wish, made in the header: what a mode runs follows from it and from what the mode has.
        self.wish = gr.Textbox("", visible=False)
        page = gr.Textbox(FIRST_PAGE, visible=False)
        parts = [panel.inputs.components for panel in self.panels.values()]
        held = [p[name] for p in parts for name in gating.HELD]
        gated: list[Any] = [self.nav, self.generation]
        for panel in self.panels.values():
            gated += gating.gated(panel)

        async def regate(wish: str, page: str, preset: str, stored: Any, *shown: Any) -> dict[Any, Any]:
            updates: dict[Any, Any] = {
                self.nav: shell.nav(wish, self.watcher),
                self.generation: gating.header(page, wish, self.watcher),
            }
            names = iter(shown)
            for panel in self.panels.values():
                now = {name: next(names) for name in gating.HELD}
                generation = gating.generation_of(panel.mode, wish, self.watcher)
                own = self.settings.defaults.of(panel.mode.key, stored)
                updates |= await gating.gate(panel, generation, preset, now, own)
            return updates

        async def wished(event: gr.EventData, *now: Any) -> dict[Any, Any]:
            wish = told(event, "value")
            wish = wish if wish in tuple(GENERATIONS) else ""
            return {self.wish: wish, **await regate(wish, *now)}

        now = [page, self.preset, self.settings.defaults.stored, *held]
        self.regating = (regate, [self.wish, *now], gated)
        # Not `input`: a menu that was only opened says that as well, and that is no wish.
        chosen(self.generation.select, wished, now, [self.wish, *gated], **EACH)
        chosen(self.preset.input, *self.regating, **QUIET)

        async def arrive(where: str, clicked: bool, wish: str) -> dict[Any, Any]:
            for mode in self.panels:
                if mode == where and clicked:
                    self.watcher.wake(mode)  # where it sleeps; a page that is only opened wakes nobody
            stale = {panel.stale: time.monotonic() for key, panel in self.panels.items() if key == where}
            return {page: where, self.generation: gating.header(where, wish, self.watcher), **stale}

        labels, clicked = [panel.stale for panel in self.panels.values()], gr.Checkbox(False, visible=False)
        # Read when it is asked, not when it was clicked: of two rows clicked in a hurry the last one counts.
        self.nav.click(
            arrive, [page, clicked, self.wish], [page, self.generation, *labels], js=shell.HERE, **QUIET
        )
        timer = gr.Timer(TICK_SECONDS)
        seen, known, healed = gr.State({}), gr.State(""), gr.Textbox("", visible=False)
        drawn = [*self.settings.shown.values()]
        timer.tick(
            self._tick, [self.wish, self.visitor, seen, known],
            [self.nav, self.queue, self.batches.data, *drawn, seen, known, healed], **ONCE,
        )  # fmt: skip
        healed.change(*self.regating, **QUIET)
        # The page is drawn before any mode has answered; a visitor gets what is known by now.
        start = self._wire_reload().then(self._start, None, known, **QUIET)
        start.then(*self.regating, **QUIET).then(*self.settings.presets.opened, **QUIET)

    def _wire_reload(self) -> Any:
        prompts = [panel.inputs.components["prompt"] for panel in self.panels.values()]
        inputs = [self.wish, self.preset, *prompts]
        keep = "(...now) => [now]"
        gr.on([part.change for part in inputs], None, inputs, self.typed, js=keep, **QUIET)

        def back(typed: object) -> Any:
            words = typed if isinstance(typed, list) and all(isinstance(t, str) for t in typed) else []
            if len(words) != len(inputs) or words[0] not in ("", *GENERATIONS) or words[1] not in PRESETS:
                return gr.skip()
            return dict(zip(inputs, words, strict=True))

        return self.blocks.load(back, self.typed, inputs, **QUIET)

    async def _start(self) -> str:
        self.watcher.look()
        # The first visitor's menus are drawn once: they should list what the modes carry, not the catalog.
        await asyncio.to_thread(self.watcher.wait_asked, FIRST_ANSWERS_SECONDS)
        return self.watcher.carried

    def _tick(self, wish: str, visitor: str, seen: dict[str, str], known: str) -> list[Any]:
        self.watcher.look()
        nav = shell.nav(wish, self.watcher)
        queue = waiting.page(self.studio.line, self.studio.owner(visitor))
        batches = self.batches.shown(visitor)
        marks, settings = self.settings.tick(seen)
        marks["shell"], carried = str(hash(nav + queue + batches)), self.watcher.carried
        drawn = [gr.skip()] * 3 if marks["shell"] == seen.get("shell") else [nav, queue, batches]
        kept = gr.skip() if marks == seen else marks
        return [*drawn, *settings, kept, *([gr.skip()] * 2 if carried == known else [carried, carried])]

    # ------------------------------------------------------------------ jobs that go on

    def _wire_queue(self) -> None:
        backs = [panel.back for panel in self.panels.values()]
        went = gr.Textbox(visible=False)

        def come_back(visitor: str) -> list[Any]:
            """Each panel's job to go on with, after a reload or in a second tab."""
            headers = {VISITOR: visitor}
            jobs = [self.studio.runner(panel.mode).newest(headers) for panel in self.panels.values()]
            return [waiting.page(self.studio.line, self.studio.owner(visitor)), *(job or gr.skip() for job in jobs)]

        async def act(visitor: str, event: gr.EventData) -> dict[Any, Any]:
            owner = self.studio.owner(visitor)
            job = waiting.act(self.studio.line, owner, told(event, "act"), told(event, "job"))
            updates: dict[Any, Any] = {self.queue: waiting.page(self.studio.line, owner), went: ""}
            if owner is not None and job and (entry := self.studio.book.entry(owner, job)):
                # Said anew each time: a page hears of what has changed alone.
                updates |= {self.panels[entry.mode].back: f"{job} {time.monotonic()}", went: entry.mode}
            return updates

        own = "() => [window.wanVisitor()]"
        self.blocks.load(come_back, self.visitor, [self.queue, *backs], js=own, **QUIET)
        clicked = self.queue.click(act, self.visitor, [self.queue, went, *backs], js=own, **EACH)
        clicked.then(None, went, None, js="(mode) => mode && window.wanStudio.go(mode)", **QUIET)

    # ------------------------------------------------------------------ gallery, restore

    def _wire_restore(self) -> None:
        went = gr.Textbox(visible=False)
        outputs: list[Any] = [went, self.wish, self.preset]
        for panel in self.panels.values():
            outputs += panel.inputs.components.values()

        def refill(lineage: Lineage, wish: str) -> dict[Any, Any]:
            plan, made = lineage.plan, restore.generation_of(lineage)
            # The other modes keep what was wished for, unless this one would then run another generation.
            kept = gating.generation_of(MODES[plan.mode], wish, self.watcher) == made
            header = {went: plan.mode, self.preset: plan.requested_preset} | (
                {} if kept else {self.wish: made}
            )
            return header | refilling.refill(self.panels[plan.mode], lineage)

        def dropped(path: str | None, wish: str) -> Any:
            if path is None:
                return gr.skip()
            with as_gradio_errors():
                return {**refill(restore.lineage_of(path), wish), self.drop: None}

        extended = self.extending.wire(self.wish, went, outputs[1:], refill)
        for filled in (
            extended,
            self.drop.upload(dropped, [self.drop, self.wish], [*outputs, self.drop], **TOLD),
            *self.gallery.wire(self.blocks, self.panels, outputs, refill, self.wish),
        ):
            there = filled.success(*self.regating, **QUIET).then(
                None, went, None, js="(mode) => window.wanStudio.go(mode)", **QUIET
            )
            if filled is extended:
                there.then(None, went, None, js=extending.PRESS, **QUIET)

    def _made_from(self, video: MediaHandle) -> Lineage | None:
        return self.studio.lineages.of(video) or extending.noted(video)


def main() -> None:
    """Serve the router alone, as its Space does."""
    token = os.environ.get("WAN_READ_TOKEN") or None
    studio = Studio.over(federation.from_env(), token=token, book=Book.kept(state_folder()))
    demo = build_studio(studio)
    demo.queue(default_concurrency_limit=None).launch(ssr_mode=False)


if __name__ == "__main__":
    main()
