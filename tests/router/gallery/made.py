"""Results as an engine makes them, for tests of the Gallery: real mp4s that carry their lineage."""

from __future__ import annotations

from pathlib import Path

from common.contract import Lineage, MediaHandle, Parent
from common.modes.all import MODES
from router.gallery.items import Item
from tests.common.fakes import clip

PROMPT = "a <b>red</b> circle"


def lineage(
    mode: str = "t2v", prompt: str = PROMPT, seed: int = 1, parents: tuple[Parent, ...] = ()
) -> Lineage:
    m = MODES[mode]  # type: ignore[index]
    own: dict[str, object] = {"video": {"path": "x.mp4"}} if mode in ("vace", "animate") else {}
    own |= {"submode": "plain"} if mode == "vace" else {}
    media = own | {slot.name: {"path": "x.mp4"} for slot in m.slots if slot.required}
    request = m.parse({"prompt": prompt, "seed": seed, "num_frames": 9, **media})
    kept = request.model_dump(mode="json", exclude={s.name for s in m.slots}, exclude_none=True)
    return Lineage(
        request=kept, plan=m.plan(request, weights="nano"), seed=seed, versions={"torch": "2"}, git_sha="abc",
        created="2026-11-27T10:00:00+00:00", parents=list(parents),
    )  # fmt: skip


def video(folder: Path, made: Lineage, name: str = "") -> Path:
    """An mp4 of 9 frames, 64 by 64, in which a bar grows; two of one lineage have the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"{made.plan.mode}-{made.seed}.mp4")
    clip(path, 64, 64, 9, 16, comment=made.model_dump_json())
    return path


def item(path: str, made: Lineage | None = None, **more: object) -> Item:
    mode = made.plan.mode if made else "t2v"
    sha = more.pop("sha256", None)
    return Item.model_validate(
        {"mode": mode, "video": MediaHandle(path=path, sha256=sha), "lineage": made, **more}  # type: ignore[arg-type]
    )
