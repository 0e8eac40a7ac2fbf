"""The benchmark of several cards, tried with two processes on a CPU and Wan-Nano."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from bench.gpu import parallel
from bench.gpu.parallel import Asked

SMALL = Asked(weights="nano", sizes=((128, 128, 5),), steps=3, until=time.time() + 3600)


def test_what_is_cut_says_so_and_leaves_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cut(part: str, asked: Asked):
        yield {"way": part, "seconds": 1}
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel, "measure", cut)
    out = tmp_path / "a.json"
    out.write_text(json.dumps({"clip": {"rows": ["of before"]}}))
    monkeypatch.setattr(sys, "argv", ["parallel", "--parts", "exact", "--weights", "nano", "--out", str(out)])
    with pytest.raises(KeyboardInterrupt):
        parallel.main()
    found = json.loads(out.read_text())
    assert found["clip"] == {"rows": ["of before"]} and found["exact"]["rows"] == [{"way": "exact", "seconds": 1}]
    assert '{"way": "exact"' in capsys.readouterr().out


def test_a_part_without_time_ends_with_its_processes() -> None:
    (row,) = parallel.measure("exact", Asked(weights="nano", until=time.time()))
    assert "the process ended with -9" in row["failed"]


@pytest.mark.slow
def test_two_processes_make_the_clip_that_one_makes() -> None:
    one, two = parallel.measure("clip", SMALL)
    assert (one["cards"], two["cards"]) == (1, 2)
    assert two["equal"] and two["equal_with_guidance"]
    assert two["start_off"] == two["off"] == two["frames_max_off"] == 0
    assert two["latents_max_off"] == [0, 0, 0] and two["guided"] == two["steps"] == 3
    assert two["times_step"] == pytest.approx(one["step_seconds"] / two["step_seconds"], abs=1e-3)
    rest = one["seconds"] - sum(one["each_step"])
    whole = rest + 2 * one["each_step"][0] + 28 * one["step_seconds"]
    assert one["quality_seconds"] == pytest.approx(whole, abs=0.1)


@pytest.mark.slow
def test_a_replica_a_card() -> None:
    (row,) = parallel.measure("replicas", SMALL)
    assert row["rounds"] == 2 and len(row["alone_each"]) == 2
    for alone, name in ((sum(row["alone_each"]) / 2, ""), (row["alone_each"][0], "_of_the_first")):
        assert row[f"throughput{name}"] == pytest.approx(2 * alone / row["seconds"], abs=0.05)


@pytest.mark.slow
def test_forwards_in_step_give_what_one_gives() -> None:
    rows = {row["way"]: row for row in parallel.measure("forward", SMALL)}
    assert {"rounded, alone", "rounded, all, in 1", "rounded, all, in 2", "exact, alone", "exact, all"} <= {*rows}
    assert all(row["max_off"] < 1e-5 for row in rows.values() if "max_off" in row)
