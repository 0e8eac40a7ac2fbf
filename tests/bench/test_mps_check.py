"""What a Mac's owner runs once, tried here on the CPU; and what it says where something is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import mps_check
from common.errors import GpuError
from common.runtime.sample import selfcheck


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs it on the CPU: its exit code, its file, what it printed."""

    def run() -> tuple[int, dict[str, Any], str]:
        code = mps_check.main(["--device", "cpu", "--out", str(tmp_path / "out.json")])
        return code, json.loads((tmp_path / "out.json").read_text()), capsys.readouterr().out

    return run


def test_mps_check_runs_and_writes_what_it_found(told: Any) -> None:
    code, found, text = told()
    assert code == 0 and found["right"] and found["verdict"].startswith("RIGHT")
    assert text.splitlines()[-2] == found["verdict"]
    assert {"device", "machine", "system", "date"} <= found.keys() and found["versions"][
        "torch"
    ] == torch.__version__
    assert [row["tokens"] for row in found["attention"]] == list(mps_check.SMALL.tokens)
    assert all(0 < row[way]["error"] < 0.01 for row in found["attention"] for way in ("pieces", "own"))
    assert found["block"]["seconds"] > 0 and found["decode"]["seconds"] > 0
    assert found["clip"]["psnr"] > 40


def test_mps_check_names_what_is_wrong(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise GpuError("the 2.1 VAE's decoder is off by 100%")

    monkeypatch.setattr(selfcheck, "examine", refuses)
    own = mps_check.scaled_dot_product_attention
    monkeypatch.setattr(mps_check, "attend", lambda q, k, v, piece: q * float("nan"))
    monkeypatch.setattr(
        mps_check, "scaled_dot_product_attention",
        lambda q, k, v: torch.zeros_like(q) if q.dtype == torch.bfloat16 and q.shape[2] > 100 else own(q, k, v),
    )  # fmt: skip
    monkeypatch.setattr(mps_check, "clip", lambda device: {"psnr": 9.0})
    code, found, text = told()
    assert code == 1 and not found["right"]
    for words in ("NOT RIGHT", "2.1 VAE's decoder is off by 100%", "attention in pieces is 9900% off at 64 tokens",
                  "Wan-Nano's clip is not the CPU's (9 dB)", "own attention is wrong from 200 tokens"):  # fmt: skip
        assert words in found["verdict"]
    assert "NaN" not in text


def test_mps_check_names_what_takes_more_than_the_plan_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"bytes": 40_000_000_000, "counted_bytes": 27_000_000_000}
    assert mps_check._more_than_counted({"block": None, "decode": row}) == [
        "the decode takes 40.0 GB, and the plan counts 27.0 GB"
    ]
    assert mps_check._more_than_counted({"block": {"failed": "no"}, "decode": {**row, "bytes": None}}) == []


def test_mps_check_tries_no_attention_that_could_take_the_machine_down() -> None:
    size = mps_check.SMALL
    rows = mps_check.attention("cpu", size, room=10 * 8 * 200**2)
    assert [row["own"] is None for row in rows] == [False, True]


def test_mps_check_says_on_what_machine_it_belongs() -> None:
    if torch.backends.mps.is_available():
        pytest.skip("this is one")
    with pytest.raises(SystemExit, match="has no mps"):
        mps_check.main([])
