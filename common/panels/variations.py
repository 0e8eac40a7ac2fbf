"""Variations: several clips of one request in one click, and what they cost, said before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Protocol

import gradio as gr

from common import cost
from common.catalog import CHECKPOINTS
from common.contract import Manifest
from common.errors import InputError, StudioError, received
from common.modes.base import Mode
from common.panels import texts
from common.panels.events import QUIET, TOLD
from common.panels.following import Looks
from common.panels.menus import Menu
from common.panels.numbers import Number
from common.panels.widgets import Inputs
from common.run import batch, drafts
from common.run.batch import Member, Spread
from common.run.runner import VISITOR, Lasting, Runner

NONE = ""
SEEDS = 4
WORDS = {"batch": "A batch", "prompts": "Prompts", "seeds": "Seeds", "setting": "The setting", "values": "The values"}
"""What the page calls what a batch is made of."""

AS_IT_STANDS = "Generate reads {…|…} as it stands; Variations makes one clip of each."

BEGIN = """(batch, visitor, ...args) => {
    // A double click asks twice for the same batch, which is one.
    const said = JSON.stringify(args), before = window.wanBatch ?? {}, now = performance.now();
    const again = before.said === said && now - before.at < 2000;
    window.wanBatch = {said, at: now, id: again ? before.id : window.wanJob()};
    return [window.wanBatch.id, window.wanVisitor?.() ?? '', ...args];
}"""
"""Draws the batch an id, by which it is entered once."""

OPEN = "(n) => [document.querySelector('#%s .variations-go')?.offsetParent ? n + 1 : n]"
"""What nobody looks at is not worked out."""


def hints(values: Mapping[str, Any]) -> list[str]:
    """What to know of a prompt before Generate is clicked, which makes one clip of it as it stands."""
    return [AS_IT_STANDS] if batch.offers_choices(values.get("prompt")) else []


class Page(Protocol):
    """What is used of a panel."""

    runner: Runner
    mode: Mode
    inputs: Inputs
    initial: Manifest
    looks: Looks
    stale: Any
    added: Any
    back: Any

    def values(self, raw: tuple[Any, ...]) -> dict[str, Any]: ...

    def missing(self, values: Mapping[str, Any]) -> dict[str, Any]: ...

    def words(self) -> dict[str, str]: ...

    def in_words(self, error: StudioError) -> StudioError: ...


class Variations:
    """The part of one panel that asks for batches, drawn below its inputs; its runner is Lasting.

    `begun` is the event of a batch, `drafted` that of drafts. The tiles of the batch are the Studio's to fill.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        name = f"{page.mode.key}-variations"
        with gr.Accordion("Variations", open=False, elem_classes="variations", elem_id=name) as self.box:
            with gr.Row(elem_classes="tight"):
                self.seeds = Number(SEEDS, label="Seeds", precision=0, minimum=1, min_width=80)
                self.setting = Menu(
                    self._settings(), value=NONE, label="Compare a setting", filterable=False, min_width=150
                )
            self.values = gr.Textbox(
                label="Its values, with commas", placeholder="4, 8, 16", visible=False, lines=1, max_lines=4
            )
            self.prompts = gr.Textbox(
                label="Prompts, one a line", placeholder="Empty: the prompt above", lines=2, max_lines=8,
                info="In any prompt {red|blue} makes one clip of each",
            )  # fmt: skip
            self.sum = gr.HTML("", elem_classes="variations-sum")
            with gr.Row(elem_classes="variations-go"):
                self.make = gr.Button("Make variations", size="md")
                self.draft = gr.Button(f"{drafts.COUNT} drafts", size="md")

    def draw_tiles(self) -> None:
        """Where the clips of a batch stand side by side."""
        gr.HTML(f'<div class="batch" data-batch-of="{self.page.mode.key}" hidden></div>', padding=False)

    def wire(self) -> None:
        """Events."""
        page, everything = self.page, list(self.page.inputs.components.values())
        spread = [self.seeds, self.prompts, self.setting, self.values]
        batch_id, visitor, asked = gr.Textbox(visible=False), gr.Textbox(visible=False), gr.Number(0, visible=False)
        self.box.expand(None, asked, asked, js="(n) => [n + 1]", **QUIET)
        gr.on(
            [page.stale.change, *(part.change for part in spread)],
            None, asked, asked, js=OPEN % f"{page.mode.key}-variations", **QUIET,
        )  # fmt: skip
        asked.change(self.summed, [*spread, *everything], self.sum, **QUIET)
        self.setting.change(
            self.suggested, [self.setting, page.inputs.components["checkpoint"]], self.values, **QUIET
        )  # fmt: skip
        told = [page.added, page.back]
        self.make.click(self.begin, [batch_id, visitor, *spread, *everything], told, js=BEGIN, **TOLD)
        self.draft.click(self.begin_drafts, [batch_id, visitor, *everything], told, js=BEGIN, **TOLD)

    # ------------------------------------------------------------------ what may be asked

    def _settings(self) -> list[tuple[str, str]]:
        """The settings of the menu: those that the panel shows, and that have more than one value."""
        rows, words = self.page.mode.rows(), self.page.words()
        idle = {
            "guidance_scale_2": not any(row.moe for row in rows), "checkpoint": len(rows) < 2,
            "preset": not any(len(row.presets) > 1 for row in rows),
        }  # fmt: skip
        names = [n for n in batch.sweepable(self.page.mode) if n in self.page.inputs.components and not idle.get(n)]
        return [("Nothing", NONE), *((words.get(name, name.capitalize()), name) for name in names)]

    async def suggested(self, setting: str | None, checkpoint: str | None) -> Any:
        """The values of a setting: all that there are to choose from, to strike out what is not wanted."""
        manifest = await self.page.runner.manifest(checkpoint)
        known = batch.choices(self.page.mode, manifest, setting or "", checkpoint)
        named = [CHECKPOINTS[key].name if key in CHECKPOINTS else key for key in known]
        return gr.update(value=", ".join(named), visible=bool(setting))

    async def summed(
        self, seeds: Any, prompts: Any, setting: Any, values: Any, *raw: Any
    ) -> str:
        """How many clips that makes, and what they cost."""
        page = self.page
        asked = page.inputs.measured(page.values(raw), raw)
        asked |= page.missing(asked)
        manifest = await page.runner.manifest(asked.get("checkpoint"))
        try:
            found = batch.members(
                page.mode, manifest, asked, Spread.read(seeds, prompts, setting, values), words=page.words()
            )  # fmt: skip
            cheap = drafts.drafts(page.mode, manifest, asked)
        except StudioError as error:
            return texts.broken(self._in_words(error))
        return (
            f'<div role="status">{_line(found, manifest)}'
            f'<p class="dim"><b>{len(cheap.members)} drafts</b> {escape(_cost(cheap.members, manifest))} · '
            f"{escape(cheap.about)}</p></div>"
        )

    # ------------------------------------------------------------------ what is begun

    async def begin(
        self, request: gr.Request, batch_id: str, visitor: str,
        seeds: Any, prompts: Any, setting: Any, values: Any, *raw: Any,
    ) -> list[Any]:  # fmt: skip
        """Enters all of them, or says why not."""
        try:
            asked, manifest = await self._asked(raw)
            spread = Spread.read(seeds, prompts, setting, values)
            found = batch.members(self.page.mode, manifest, asked, spread, words=self.page.words())
            if len(found) < 2:
                raise InputError("batch", "is a single clip", hint="ask for more seeds, or use Generate")
            return await self._enter(request, batch_id, visitor, found, "clips")
        except StudioError as error:
            raise self._in_words(error) from None

    async def begin_drafts(self, request: gr.Request, batch_id: str, visitor: str, *raw: Any) -> list[Any]:
        """Enters drafts of what the page asks for."""
        try:
            asked, manifest = await self._asked(raw)
            found = drafts.drafts(self.page.mode, manifest, asked).members
            return await self._enter(request, batch_id, visitor, found, "drafts")
        except StudioError as error:
            raise self._in_words(error) from None

    def _in_words(self, error: StudioError) -> StudioError:
        known = self.page.in_words(error)
        return received({**known.facts(), "text": texts.in_words(known.text, WORDS)})

    async def _asked(self, raw: tuple[Any, ...]) -> tuple[dict[str, Any], Manifest]:
        values = self.page.values(raw)
        return values, await self.page.runner.manifest(values.get("checkpoint"))

    async def _enter(
        self, request: gr.Request, batch_id: str, visitor: str, found: Sequence[Member], what: str
    ) -> list[Any]:
        assert isinstance(self.page.runner, Lasting)
        headers = {**dict(request.headers), VISITOR: visitor}
        jobs = await self.page.runner.enter_batch(found, headers, batch_id)
        look = self.page.looks.last(getattr(request, "session_hash", None) or "")
        runs = look is not None and look.live and not look.ended
        words = f'<p class="line dim" role="status">Added {len(jobs)} {what} to the queue</p>'
        return [words if runs else "", gr.skip() if runs else f"{jobs[0]} {batch_id}"]


def _line(found: Sequence[Member], manifest: Manifest) -> str:
    count = "1 clip" if len(found) == 1 else f"{len(found)} clips"
    rows = [f'<p><b>{count}</b> {escape(_cost(found, manifest))}</p>']
    backend, total = manifest.backend, round(batch.seconds([one.plan for one in found]))
    if backend.gpu_size and (over := cost.over(total)):
        rows.append(f'<p class="notice">More than a {over[0]} has in a day ({over[1]} GPU seconds).</p>')
    return "".join(rows)


def _cost(found: Sequence[Member], manifest: Manifest) -> str:
    """What all of them take together, in the words of one."""
    total = batch.seconds([one.plan for one in found])
    whole = found[0].plan.model_copy(update={"gpu_seconds": round(total), "expected_seconds": total})
    return texts.reservation(whole, manifest.backend)
