"""Packages made ahead: refused where nothing compiles; else what one process compiled, the next one finds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.catalog import CHECKPOINTS
from common.contract import Backend
from common.errors import InputError
from common.modes.all import MODES
from common.placement import quick
from common.runtime.device import backend
from common.runtime.fast import packages
from deploy import ahead, bake, cli
from tests.common.runtime.model.tiny_rows import copied

ROOT = Path(__file__).parents[2]
HOPPER = Backend(
    device="cuda", name="an H100", memory_bytes=85_017_493_504, capability=(9, 0), compiles=True, attention="fa3"
)
WIDE = [k for k, c in CHECKPOINTS.items() if max(c.published.transformer, c.published.text_encoder) > 2]


def test_ahead_is_refused_before_any_work_where_nothing_compiles(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bake, "bake", lambda *_, **__: pytest.fail("it began"))
    args = cli.argparse.ArgumentParser()
    cli.add_commands(args)
    assert cli.run(args.parse_args(["bake", "wan2.1-t2v-14b", "--compiled"])) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --compiled needs an H100 or H200 with a C compiler") and said.count("\n") == 1
    assert "leave it out" in said


def test_ahead_is_refused_for_what_is_not_compiled_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "detect", lambda *_: HOPPER)
    ahead.check("wan2.1-t2v-14b")
    with pytest.raises(InputError, match="which those of Animate and S2V are not"):
        ahead.check("wan2.2-animate-14b")


@pytest.mark.parametrize("key", [k for k in WIDE if quick(CHECKPOINTS[k], HOPPER)])
def test_ahead_makes_jobs_of_every_size_that_a_checkpoint_has(key: str) -> None:
    row = CHECKPOINTS[key]
    mode: Any = next((m for m in MODES.values() if key in m.checkpoints), None)
    assert mode is not None
    asked = list(ahead.jobs(mode, row))
    plans = [mode.plan(mode.parse(values), HOPPER, weights="wan") for values in asked]
    assert all(p.placement and p.placement.compile == "blocks" and p.num_frames == row.num_frames for p in plans)
    assert all(p.num_inference_steps >= 3 for p in plans), "the one between is in 8 bits"
    areas = [p.width * p.height for p in plans]
    assert {*areas} == {size.area for size in row.sizes("wan")}
    assert len(areas) == (1 if len({*areas}) == 1 else len({*areas}) + 1)
    media = [v["path"] for values in asked for v in values.values() if isinstance(v, dict)]
    assert all(Path(path).is_file() for path in media)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles for a CPU with g++")
def test_ahead_a_new_process_finds_what_was_compiled(tmp_path: Path) -> None:
    models = tmp_path / "models"
    package = copied("dense", models / "wan2.1-t2v-1.3b") / "compiled" / "cpu.bin.gz"
    package.parent.mkdir()
    package.write_bytes(b"no longer what it was")
    words = {"sha256": "0" * 64, "made for": packages.machine()}
    package.with_name("cpu.json").write_text(json.dumps(words))
    cold = run("take", models, tmp_path / "cold")
    assert cold["autograd_cache_miss"] > 0 and cold["last"] == "done"
    assert [n for n in cold["notices"] if "bake it again" in n and "blocks are compiled here" in n]
    # What this machine's own cache has already is in the package all the same.
    assert run("bake", models, tmp_path / "cold") == ["compiled/cpu.bin.gz", "compiled/cpu.json"]
    warm = run("take", models, tmp_path / "warm")
    assert warm["autograd_cache_hit"] > 0 and "autograd_cache_miss" not in warm and warm["last"] == "done"
    assert not [n for n in warm["notices"] if "compiled package" in n]


def run(what: str, models: Path, cache: Path) -> Any:
    env = os.environ | {
        "TORCHINDUCTOR_CACHE_DIR": str(cache), "GRADIO_TEMP_DIR": str(cache / "gradio"), "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1",  # more take longer to start
    }  # fmt: skip
    command = [sys.executable, str(Path(__file__).with_name("ahead_on_cpu.py")), what, str(models)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
