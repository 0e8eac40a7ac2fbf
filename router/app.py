"""The Studio: one window over all modes. Draws their panels, sends their jobs on, moves no video.

Run it with `python router/app.py` and WAN_FEDERATION set, or let the launcher mount it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "common").is_dir())
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import gradio as gr  # noqa: E402

from common.blocks import StudioBlocks, as_gradio_errors  # noqa: E402
from common.contract import Lineage, MediaHandle, ModeKey  # noqa: E402
from common.gate import Gate  # noqa: E402
from common.modes import MODES  # noqa: E402
from common.panels import PANELS  # noqa: E402
from common.panels.base import QUIET, Panel  # noqa: E402
from router import chaining, federation, gallery, gating, restore, settings, shell  # noqa: E402
from router.jobs import FIRST_ANSWERS_SECONDS, FederatedRunner, Studio  # noqa: E402

DEFAULT_GENERATION = "2.2"
TICK_SECONDS = 2.0


def build_studio(studio: Studio) -> gr.Blocks:
    """The page over a federation. Its watcher asks the modes while a page is open."""
    gate = Gate(lambda url: studio.watcher.place_of(url) is not None)
    with StudioBlocks(title="Wan Studio", fill_width=True, gate=gate, look=shell.page_options()) as blocks:
        _Page(studio, blocks).draw()
    return blocks


class _Page:
    def __init__(self, studio: Studio, blocks: gr.Blocks) -> None:
        self.studio = studio
        self.blocks = blocks
        self.watcher = studio.watcher
        self.panels: dict[ModeKey, Panel] = {}

    def draw(self) -> None:
        with gr.Sidebar(position="left", open=True, width=236, elem_classes="studio-nav"):
            self.nav = gr.HTML(shell.nav(DEFAULT_GENERATION, self.watcher), js_on_load=shell.WAKE_ON_CLICK)
            self.drop = gr.UploadButton(
                "Drop a Studio video to restore it", file_types=[".mp4"], elem_id="restore", size="sm"
            )
        with gr.Row(elem_classes="studio-header"):
            gr.HTML(shell.brand(), elem_classes="brand-box")
            self.generation = gr.Dropdown(
                gating.generations(), value=DEFAULT_GENERATION, label="Generation", show_label=False,
                filterable=False, container=False, elem_classes="generation", min_width=110, scale=0,
            )  # fmt: skip
            self.preset = gr.Radio(
                [("Fast", "fast"), ("Quality", "quality")], value="fast", label="Preset", show_label=False,
                container=False, elem_classes=["segmented", "preset"], min_width=170, scale=0,
            )  # fmt: skip
            gr.HTML(shell.header_links(), elem_classes="links-box")
            if os.environ.get("OAUTH_CLIENT_ID"):  # a Space with hf_oauth: quota is then the visitor's own
                gr.LoginButton(size="sm", elem_classes="sign-in")
        for key, mode in MODES.items():
            with gr.Column(elem_classes=["page", f"page-{key}"]):
                runner = FederatedRunner(mode, self.studio)
                panel = self.panels[key] = PANELS[key](
                    runner, runner.known(), queue={"concurrency_limit": None}
                )
                panel.neighbour = lambda other: FederatedRunner(MODES[other], self.studio)
                panel.draw()
        self.results = gr.State([])
        with gr.Column(elem_classes=["page", "page-gallery"]):
            gr.HTML(
                f"<h2>Gallery</h2><p>The last {gallery.LAST} results of this session</p>",
                elem_classes="heading",
            )
            self.gallery = gr.HTML(gallery.grid([]), js_on_load=gallery.ON_LOAD)
        with gr.Column(elem_classes=["page", "page-settings"]):
            gr.HTML("<h2>Settings</h2><p>What this Studio is made of</p>", elem_classes="heading")
            self.settings = gr.HTML(settings.page(self.watcher, self.studio.traffic))
        self._wire_header()
        self._wire_restore()
        for key, panel in self.panels.items():
            self._wire_chips(key, panel)
            self._wire_gallery(key, panel)

    # ------------------------------------------------------------------ header and health

    def _wire_header(self) -> None:
        parts = [panel.inputs.components for panel in self.panels.values()]
        now = [self.generation, self.preset]
        now += [p[name] for p in parts for name in ("checkpoint", "resolution")]
        gated: list[Any] = [self.nav]
        for panel in self.panels.values():
            gated += [panel.inputs.components[n] for n in gating.GATED] + [panel.banner]

        async def regate(generation: str, preset: str, *held: Any) -> list[Any]:
            updates: list[Any] = [shell.nav(generation, self.watcher)]
            for i, panel in enumerate(self.panels.values()):
                have = {"checkpoint": held[2 * i], "resolution": held[2 * i + 1]}
                updates += await gating.gate(panel, generation, preset, have)
            return updates

        self.regating = (regate, now, gated)
        settle = "() => window.wanStudio.settle()"
        gr.on([self.generation.input, self.preset.input], regate, now, gated, **QUIET).then(
            None, None, None, js=settle, **QUIET
        )
        timer = gr.Timer(TICK_SECONDS)
        seen = gr.State("")
        timer.tick(self._tick, [self.generation, seen], [self.nav, self.settings, seen], **QUIET)
        self.nav.click(self._wake, None, None, **QUIET)
        # The page is drawn before any mode has answered; a visitor gets what is known by now.
        start = self.blocks.load(self._start, None, None, **QUIET)
        start.then(regate, now, gated, **QUIET).then(None, None, None, js=settle, **QUIET)

    async def _start(self) -> None:
        # The first visitor's menus are drawn once: they should list what the modes carry, not the catalog.
        await asyncio.to_thread(self.watcher.wait_asked, FIRST_ANSWERS_SECONDS)

    def _wake(self, event: gr.EventData) -> None:
        page = event._data.get("page") if isinstance(event._data, dict) else None
        for mode in MODES:
            if mode == page:
                self.watcher.wake(mode)

    def _tick(self, generation: str, seen: str) -> list[Any]:
        self.watcher.look()
        nav = shell.nav(generation, self.watcher)
        page = settings.page(self.watcher, self.studio.traffic)
        mark = str(hash(nav + page))
        if mark == seen:
            return [gr.skip(), gr.skip(), gr.skip()]
        return [nav, page, mark]

    # ------------------------------------------------------------------ send to, gallery, restore

    def _wire_chips(self, key: ModeKey, panel: Panel) -> None:
        with panel.below, gr.Row(elem_classes="chips", visible=False) as chips:
            gr.HTML('<span class="chips-label">Send to</span>', elem_classes="chips-title")
            for meaning in chaining.meanings(key):
                chip = gr.Button(
                    f"{meaning.target.upper()} · {meaning.label}",
                    size="sm",
                    elem_classes=["chip", meaning.target],
                )
                target = self.panels[meaning.target]
                names = chaining.inputs_of(meaning)
                head = gr.Number(0, visible=False)
                sent = chip.click(
                    _send(meaning), [panel.video, head], [target.inputs.components[n] for n in names],
                    js=_PLAYHEAD % f"{key}-output", **QUIET,
                )  # fmt: skip
                if len(target.mode.generations()) < len(gating.generations()):
                    # A mode of another generation is shut: the header follows, and all panels with it.
                    fits = gating.fitting(target.mode)
                    sent = sent.then(fits, self.generation, self.generation, **QUIET)
                    sent = sent.then(*self.regating, **QUIET)
                go = f"() => window.wanStudio.go('{meaning.target}')"
                sent.then(None, None, None, js=go, **QUIET)
        panel.video.change(lambda video: gr.update(visible=video is not None), panel.video, chips, **QUIET)

    def _wire_gallery(self, key: ModeKey, panel: Panel) -> None:
        def keep(video: MediaHandle | None, items: list[gallery.Item]) -> list[Any]:
            if video is None:
                return [gr.skip(), gr.skip()]
            items = gallery.added(items, gallery.Item(key, video, self.studio.lineages.of(video)))
            return [items, gallery.grid(items)]

        panel.video.change(keep, [panel.video, self.results], [self.results, self.gallery], **QUIET)

    def _wire_restore(self) -> None:
        went = gr.Textbox(visible=False)
        outputs: list[Any] = [went, self.generation, self.preset]
        for panel in self.panels.values():
            outputs += panel.inputs.components.values()

        def refill(lineage: Lineage) -> list[Any]:
            plan = lineage.plan
            updates: list[Any] = [plan.mode, restore.generation_of(lineage), plan.requested_preset]
            for key, panel in self.panels.items():
                values = restore.refill(panel, lineage) if key == plan.mode else {}
                updates += [values.get(name, gr.skip()) for name in panel.inputs.components]
            return updates

        def dropped(path: str | None) -> list[Any]:
            if path is None:
                return [gr.skip()] * (len(outputs) + 1)
            with as_gradio_errors():
                return [*refill(restore.lineage_of(path)), None]

        def again(items: list[gallery.Item], event: gr.EventData) -> list[Any]:
            clicked = event._data.get("index") if isinstance(event._data, dict) else None
            index = clicked if isinstance(clicked, int) else -1
            lineage = items[index].lineage if 0 <= index < len(items) else None
            if lineage is None:
                return [gr.skip()] * len(outputs)
            with as_gradio_errors():
                return refill(lineage)

        for filled in (
            self.drop.upload(dropped, self.drop, [*outputs, self.drop], **QUIET),
            self.gallery.click(again, self.results, outputs, **QUIET),
        ):
            filled.then(None, went, None, js="(mode) => window.wanStudio.go(mode)", **QUIET)


_PLAYHEAD = """(video, head) => [video, document.querySelector('#%s video')?.currentTime ?? 0]"""


def _send(meaning: chaining.Meaning) -> Callable[[MediaHandle | None, float], Any]:
    def send(video: MediaHandle | None, head: float) -> Any:
        if video is None:
            raise gr.Error("Generate a video first; then it can be sent on.", title="Nothing to send")
        values = chaining.values_of(meaning, video, head)
        return values if len(values) > 1 else values[0]

    return send


def main() -> None:
    """Serve the router alone, as its Space does."""
    studio = Studio.over(federation.from_env(), token=os.environ.get("WAN_READ_TOKEN") or None)
    demo = build_studio(studio)
    demo.queue(default_concurrency_limit=None).launch(ssr_mode=False)


if __name__ == "__main__":
    main()
