"""The Gallery in the Studio's page: what is drawn, and which event does what.

An event names results by key alone; each is looked up among its own visitor's. What a browser has kept, or a program
says that it has, passes the gate before anything is opened or sent on.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import gradio as gr

from common import cache
from common.budgets import BUDGETS
from common.catalog import CHECKPOINTS
from common.contract import Lineage, MediaHandle, ModeKey
from common.errors import InputError, MediaError, StudioError
from common.media.exports import EXPORTS, Kind, check
from common.media.lineage import read_lineage
from common.modes.all import MODES
from common.page.blocks import as_gradio_errors
from common.page.gate import own_file
from common.panels.base import Panel, told
from common.panels.events import EACH, QUIET, TOLD
from router import chaining
from router.dispatch import Studio
from router.gallery import detail, grid
from router.gallery.browser import LAST, BrowserShelf, place_of
from router.gallery.disk import Disk, DiskShelf
from router.gallery.grid import Shown
from router.gallery.items import Item, found
from router.gallery.lending import Lending
from router.shell import short

NEW_THUMBNAILS = 12
"""Made in one look at most; the others follow with the next."""
COMPARED = 2
HOURS = 1e5
"""Seconds that no playhead ever stands at."""
ON_LOAD = "window.wanGallery.listen(element, trigger);"
HERE = "(visitor, kept) => [window.wanVisitor(), kept]"
NOT_HERE = "This result is not in your gallery."

Refill = Callable[[Lineage, str], dict[Any, Any]]


class GalleryPage:
    """Draw it inside its page; `wire` once all panels are drawn."""

    def __init__(
        self, studio: Studio, visitor: gr.Textbox, results: gr.BrowserState, disk: Disk | None
    ) -> None:
        self.studio, self.visitor, self.results, self.disk = studio, visitor, results, disk
        self._lending = Lending()
        # Two at once: an export decodes a whole clip, and jobs of this machine want to go on.
        self._exports = ThreadPoolExecutor(max_workers=2, thread_name_prefix="export")
        self._exported: dict[tuple[Path, str], Path] = {}

    def draw(self) -> None:
        """Heading, filters, grid, the chosen one."""
        where = "kept on this machine" if self.disk else f"the last {LAST} of this browser"
        with gr.Row(elem_classes="gallery-head"):
            gr.HTML(f"<h2>Gallery</h2><p>Your results, {where}</p>", elem_classes="heading")
            self.bring = gr.UploadButton(
                "Import", file_count="multiple", elem_id="gallery-import", size="sm", scale=0, min_width=110
            )
        gr.HTML(grid.filters(), elem_classes="gallery-filters")
        self.compared = gr.HTML("", elem_classes="gallery-compare")
        with gr.Row(elem_classes="gallery-body"):
            self.grid = gr.HTML(grid.grid([]), js_on_load=ON_LOAD, elem_classes="gallery-grid")
            self.detail = gr.HTML("", elem_classes="gallery-detail")

    # ------------------------------------------------------------------ whose, and where

    def shelf(self, visitor: object, kept: object) -> BrowserShelf | DiskShelf:
        """The gallery of who asks."""
        owner = self.studio.owner(visitor)
        if self.disk is None:
            return BrowserShelf(kept, lambda where: self.studio.owners.allow(where, owner))
        return BrowserShelf("") if owner is None else self.disk.shelf(owner)

    def _written(self, shelf: BrowserShelf | DiskShelf) -> Any:
        return gr.skip() if (text := shelf.written()) is None else text

    def _grid(self, shelf: BrowserShelf | DiskShelf) -> str:
        items = shelf.items()
        here = [item for item in items if not item.deleted]
        new, shown = NEW_THUMBNAILS, list[Shown]()
        for number, item in enumerate(here):
            picture = None
            if isinstance(shelf, DiskShelf) and self.disk is not None and number < grid.SHOWN:
                if new > 0 or shelf.has_thumbnail(item):
                    new -= not shelf.has_thumbnail(item)
                    picture = shelf.thumbnail(item)
                lent = self._lend(shelf, Path(item.video.path), copy=picture is None)
                small = self._lend(shelf, picture) if picture else None
                shown.append(
                    Shown(item, grid.route(lent) if lent else "", grid.route(small) if small else "")
                )
            else:
                shown.append(Shown(item, grid.address(item.video)))
        return grid.grid(shown, [item for item in items if item.deleted])

    def _lend(self, shelf: DiskShelf, source: Path, *, copy: bool = True) -> Path | None:
        lent = self._lending.lend(source, copy=copy)
        self.studio.owners.note([str(lent)] if lent else [], shelf.owner)
        return lent

    def _shown(self, shelf: BrowserShelf | DiskShelf, item: Item) -> Shown:
        if isinstance(shelf, DiskShelf):
            lent = self._lend(shelf, Path(item.video.path))
            return Shown(item, grid.route(lent) if lent else "")
        return Shown(item, grid.address(item.video))

    def _file(self, shelf: BrowserShelf | DiskShelf, item: Item) -> Path | None:
        """The file on this machine; None where it lies with another Space. MediaError for one that is gone."""
        if isinstance(shelf, DiskShelf):
            lent = self._lend(shelf, Path(item.video.path))
            if lent is None:
                raise MediaError("video", "is no longer kept")
            return lent
        if item.video.url or item.video.path.startswith(("http://", "https://")):
            return None
        return own_file(item.video.path, "video")

    def _handle(self, shelf: BrowserShelf | DiskShelf, item: Item) -> MediaHandle:
        """The video as a panel takes it, and as the gate would let it in."""
        file = self._file(shelf, item)
        if file is not None:
            return item.video.model_copy(update={"path": str(file), "url": None, "orig_name": item.name})
        url = item.video.url or item.video.path
        if self.studio.watcher.place_of(url) is None:
            raise MediaError("video", "lies in no place of this Studio")
        return item.video.model_copy(update={"path": url, "url": url, "orig_name": item.name})

    def _item(self, shelf: BrowserShelf | DiskShelf, event: gr.EventData) -> Item:
        item = found(shelf.items(), told(event, "key"))
        if item is None:
            raise gr.Error(NOT_HERE, title="Not here", print_exception=False)
        return item

    # ------------------------------------------------------------------ events

    def wire(
        self,
        blocks: gr.Blocks,
        panels: Mapping[ModeKey, Panel],
        outputs: list[Any],
        refill: Refill,
        wish: gr.Textbox,
    ) -> list[Any]:
        """All events; those that fill a panel come back, for whoever switches to it. `outputs[0]` is told which."""
        mine = [self.visitor, self.results]
        blocks.load(self.opened, mine, [self.visitor, self.grid, self.results], js=HERE, **QUIET)
        self.grid.focus(self.look, mine, self.grid, **QUIET)
        self.grid.select(self.open, mine, self.detail, **EACH)
        self.grid.expand(self.compare, mine, self.compared, **EACH)
        self.grid.like(self.change, mine, [self.grid, self.results], **TOLD)
        self.bring.upload(self.imported, [self.bring, *mine], [self.grid, self.results, self.bring], **TOLD)
        made = gr.Textbox(visible=False)
        exported = self.grid.download(self.export, mine, made, **TOLD)
        exported.success(None, made, None, js="(made) => window.wanGallery.save(made)", **QUIET)
        exported.then(None, None, None, js="() => window.wanGallery.busy(false)", **QUIET)
        for panel in panels.values():
            panel.video.change(
                self._arrived(panel.mode.key), [panel.video, *mine], [self.grid, self.results], **QUIET
            )
        targets = _components(panels)
        again = self.grid.submit(self._again(panels, outputs[0], refill), [*mine, wish], outputs, **TOLD)
        sent = self.grid.copy(self._sender(panels, outputs[0]), mine, [outputs[0], *targets], **TOLD)
        return [again, sent]

    def opened(self, visitor: str, kept: object) -> list[Any]:
        """A page is opened: the browser shows its secret, and what it deleted before is gone."""
        shelf = self.shelf(visitor, kept)
        if isinstance(shelf, BrowserShelf):
            shelf.forget()
        return [visitor, self._grid(shelf), self._written(shelf)]

    def look(self, visitor: str, kept: object) -> Any:
        """The grid anew, where something may have come to it behind this page's back."""
        return gr.skip() if self.disk is None else self._grid(self.shelf(visitor, kept))

    def open(self, visitor: str, kept: object, event: gr.EventData) -> str:
        """One in full. One of somebody else is as one that does not exist."""
        shelf = self.shelf(visitor, kept)
        items = shelf.items()
        item = found(items, told(event, "key"))
        if item is None:
            return detail.gone()
        shown = self._shown(shelf, item)
        try:
            local = self._file(shelf, item) is not None
        except StudioError:
            shown, local = Shown(item, ""), True
        return detail.detail(shown, items, local=local)

    def compare(self, visitor: str, kept: object, event: gr.EventData) -> str:
        """Two side by side; nothing where there are not two."""
        shelf = self.shelf(visitor, kept)
        keys, items = told(event, "keys"), shelf.items()
        asked = keys[:COMPARED] if isinstance(keys, list) else []
        pair = [item for key in asked if (item := found(items, key)) is not None]
        return detail.compared([self._shown(shelf, item) for item in pair]) if len(pair) == COMPARED else ""

    def change(self, visitor: str, kept: object, event: gr.EventData) -> list[Any]:
        """Favourite, delete, undo."""
        with as_gradio_errors():
            shelf = self.shelf(visitor, kept)
            act, key = told(event, "act"), told(event, "key")
            items = {item.key: item for item in shelf.items()}
            item = items.get(key) if isinstance(key, str) else None
            if item is None or act not in ("favourite", "delete", "undo"):
                raise InputError("result", "is not in your gallery")
            if act == "favourite":
                shelf.favourite(item.key, not item.favourite)
            elif act == "undo":
                shelf.undo(item.key)
            else:
                shelf.delete(item.key)
                self._lending.take_back(Path(item.video.path))
            return [self._grid(shelf), self._written(shelf)]

    def imported(self, paths: object, visitor: str, kept: object) -> list[Any]:
        """Files of ours are taken, all others are named in one message."""
        with as_gradio_errors():
            shelf = self.shelf(visitor, kept)
            files = [Path(str(path)) for path in paths] if isinstance(paths, list) else []
            many, refused, taken = files[BUDGETS.gallery_imports :], list[str](), 0
            for file in files[: BUDGETS.gallery_imports]:
                lineage = read_lineage(file)
                if lineage is None:
                    refused.append(file.name)
                    continue
                try:
                    check(file)
                except MediaError:
                    refused.append(f"{file.name} (cut short)")
                    continue
                video = MediaHandle(path=str(file), mime="video/mp4", orig_name=file.name)
                try:
                    shelf.add(Item(mode=lineage.plan.mode, video=video, lineage=lineage))
                    taken += 1
                except StudioError as error:
                    refused.append(f"{file.name} ({error})")
        words = [f"{taken} added." if taken else ""]
        if refused:
            names = ", ".join(name[:60] for name in refused[:8]) + (" …" if len(refused) > 8 else "")
            words.append(f"Not made by Wan Studio, or not kept: {names}.")
        if many:
            words.append(f"{len(many)} more than the {BUDGETS.gallery_imports} that are taken at once.")
        if refused or many:
            gr.Warning(" ".join(filter(None, words)), title="Not all were taken")
        elif taken:
            gr.Info(words[0], title="Gallery")
        return [self._grid(shelf), self._written(shelf), None]

    def _arrived(self, mode: ModeKey) -> Callable[..., list[Any]]:
        def arrived(video: MediaHandle | None, visitor: str, kept: object) -> list[Any]:
            if video is None:
                return [gr.skip(), gr.skip()]
            shelf = self.shelf(visitor, kept)
            if isinstance(shelf, BrowserShelf) and self.disk is None:
                item = Item(mode=mode, video=video, lineage=self.studio.lineages.of(video))
                # Gradio tells of one video several times: the last of them must not put back what was done since.
                if any(place_of(i) == place_of(item) for i in shelf.items()):
                    return [gr.skip(), gr.skip()]
                shelf.add(item)
            return [self._grid(shelf), self._written(shelf)]

        return arrived

    # ------------------------------------------------------------------ into a panel

    def _again(self, panels: Mapping[ModeKey, Panel], went: Any, refill: Refill) -> Callable[..., Any]:
        async def again(visitor: str, kept: object, wish: str, event: gr.EventData) -> Any:
            with as_gradio_errors():
                item = self._item(self.shelf(visitor, kept), event)
                lineage, into = item.lineage, told(event, "into") or item.mode
                if lineage is None:
                    raise MediaError("video", "tells nothing of what it was made from")
                panel = panels.get(into) if isinstance(into, str) else None  # type: ignore[call-overload]
                if panel is None:
                    raise MediaError(
                        "video", f"was made by {short(item.mode)}, which this Studio does not have"
                    )
                if into == item.mode:
                    await _check_model(panel, lineage)
                    return refill(lineage, wish)
                parts = panel.inputs.components
                return {went: into} | panel.inputs.shown(
                    {
                        name: value
                        for name, value in (
                            ("prompt", item.prompt),
                            ("seed", lineage.seed),
                            ("randomize", False),
                        )
                        if name in parts
                    }
                )

        return again

    def _sender(self, panels: Mapping[ModeKey, Panel], went: Any) -> Callable[..., Any]:
        def send(visitor: str, kept: object, event: gr.EventData) -> Any:
            with as_gradio_errors():
                shelf = self.shelf(visitor, kept)
                item = self._item(shelf, event)
                meanings, number, head = (
                    chaining.meanings(item.mode),
                    told(event, "meaning"),
                    told(event, "head"),
                )
                if not isinstance(number, int) or not 0 <= number < len(meanings):
                    raise InputError("meaning", "must be one of the list")
                meaning = meanings[number]
                second = float(head) if isinstance(head, int | float) and 0 < head < HOURS else 0.0
                values = chaining.values_of(meaning, self._handle(shelf, item), second)
                parts = panels[meaning.target].inputs.components
                names = chaining.inputs_of(meaning)
                filled = {parts[name]: value for name, value in zip(names, values, strict=True)}
                return {went: meaning.target} | filled

        return send

    # ------------------------------------------------------------------ exports

    async def export(self, visitor: str, kept: object, event: gr.EventData) -> str:
        """A file made of one result, as JSON `{href, name}`: made once, kept as long as the cache keeps it."""
        with as_gradio_errors():
            shelf = self.shelf(visitor, kept)
            item, kind = self._item(shelf, event), told(event, "kind")
            if not isinstance(kind, str) or kind not in EXPORTS:
                raise InputError("kind", f"must be one of {', '.join(EXPORTS)}")
            file = self._file(shelf, item)
            if file is None:
                raise MediaError("video", "lies on another Space; its mp4 and settings can be saved")
            make, ending = EXPORTS[cast(Kind, kind)]
            name = item.name.removesuffix(".mp4") + ending
            target = self._exported.get((file, kind))
            if target is None or not target.is_file():
                target = cache.results() / secrets.token_hex(16) / name
                with cache.holding([str(file)]):
                    await asyncio.get_running_loop().run_in_executor(self._exports, make, file, target)
                self.studio.owners.note([str(target)], self.studio.owner(visitor))
                self._exported[file, kind] = target
                while len(self._exported) > LAST * LAST:
                    self._exported.pop(next(iter(self._exported)))
            cache.used(target)
            return json.dumps({"href": grid.route(target), "name": name})


def _components(panels: Mapping[ModeKey, Panel]) -> list[Any]:
    """Everything that any Send to may fill."""
    found_: dict[Any, None] = {}
    for mode in MODES:
        for meaning in chaining.meanings(mode):
            parts = panels[meaning.target].inputs.components
            found_ |= dict.fromkeys(parts[name] for name in chaining.inputs_of(meaning))
    return list(found_)


async def _check_model(panel: Panel, lineage: Lineage) -> None:
    """MediaError where no place of the Studio has the model of a result."""
    row = CHECKPOINTS.get(lineage.plan.checkpoint)
    if row is None or not panel.mode.rows([row.key]):
        raise MediaError("video", "was made by a model that this Studio does not have")
    if row.key not in {info.key for info in (await panel.runner.manifest()).checkpoints}:
        raise MediaError("video", f"was made by {row.name}, which no place of this Studio carries")
