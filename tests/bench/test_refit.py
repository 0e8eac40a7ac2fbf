"""What the estimates say of compiled blocks is what was measured, and a command puts it there."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import refit
from common.catalog import CHECKPOINTS
from common.contract import Backend
from common.modes.t2v import MODE
from common.shortcuts import Shortcuts

SEEN = json.loads(refit.RESULTS.read_text("utf-8"))
CARD = Backend(
    device="cuda", name="an H100", memory_bytes=85_000_000_000, capability=(9, 0), compiles=True, attention="fa3",
    step_cache=True,
)  # fmt: skip


def test_the_table_has_the_factors_of_the_last_run() -> None:
    table = json.loads(refit.TABLE.read_text("utf-8"))
    found = refit.factors(SEEN)
    assert {name: table[name] for name in found} == found


def test_the_command_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, table, seen = refit.TABLE, tmp_path / "cost.json", json.loads(json.dumps(SEEN))
    shutil.copy(ours, table)
    for row in seen["forward"]["rows"]:
        if row.get("way") == refit.WAYS["rounded"]:
            row["ms"] *= 2
    run = tmp_path / "run.json"
    run.write_text(json.dumps(seen))
    monkeypatch.setattr(refit, "TABLE", table)
    monkeypatch.setattr("sys.argv", ["refit", str(run), "--write"])
    refit.main()
    before, after = (json.loads(path.read_text("utf-8")) for path in (ours, table))
    once, twice = (each.pop("compiled_factors")["rounded"] for each in (before, after))
    assert twice == pytest.approx(2 * once, abs=0.02) and after == before


STUDIO = [r for r in SEEN["clip"]["rows"] if r["way"].startswith("studio")]


@pytest.mark.parametrize("row", STUDIO, ids=lambda r: f"{r['preset']}, {r['way']}")
def test_a_clip_is_expected_to_take_what_it_took(row: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    width, height, frames = row["size"]
    presets, card = CHECKPOINTS[row["checkpoint"]].presets, CARD
    reused = [seconds for seconds in row.get("each_step", ()) if seconds < 0.5]
    if row.get("shortcuts") and not reused:  # with random weights too much changed from step to step
        unguided = replace(presets["quality"], shortcuts=Shortcuts(residual_diff_threshold=None))
        monkeypatch.setitem(presets, "quality", unguided)  # pyright: ignore[reportArgumentType]
    elif row["preset"] == "quality" and not reused:
        card = CARD.model_copy(update={"step_cache": False})
    plan = MODE.plan(
        MODE.parse({"prompt": "a", "checkpoint": row["checkpoint"], "preset": row["preset"], "width": width,
                    "height": height, "num_frames": frames}), card, weights="wan",
    )  # fmt: skip
    assert plan.placement is not None and plan.placement.compile == row["compile"]
    assert plan.placement.shortcuts == bool(row.get("shortcuts"))
    assert plan.expected_seconds == pytest.approx(row["seconds"], rel=0.15)
