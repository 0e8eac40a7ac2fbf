"""The benchmarks of a card, tried on a CPU with Wan-Nano: what they compare is comparable, and rows are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import full_size
from bench.gpu import __main__ as command
from bench.gpu import attention, clip, start, timeline
from common.catalog import CHECKPOINTS
from common.contract import Preview, Stage, Step

SMALL = (128, 128, 9)
CASES = (clip.Case("wan2.1-t2v-14b", "fast", SMALL, 4), clip.Case("wan2.1-t2v-14b", "quality", SMALL, 5))


@pytest.mark.parametrize("preset", ["fast", pytest.param("quality", marks=pytest.mark.slow)])
def test_the_studio_starts_where_diffusers_does_and_on_a_cpu_ends_there(preset: Any, tmp_path: Path) -> None:
    made = clip.measure([preset], ["diffusers", "studio"], folder=tmp_path, cases=CASES, weights="nano")
    stock, ours = made
    assert (stock["way"], ours["way"]) == ("diffusers", "studio")
    assert ours["start_off"] == 0 and ours["off"] < 1e-4 and ours["off_of_change"] < 1e-4
    assert ours["first_steps"] == 4 and ours["first_seconds"] > 0 and ours["step_seconds"] > 0
    assert [*ours["stages"]] == ["load", "encode", "denoise", "decode", "save"] == [*ours["first_stages"]]
    kept = torch.load(tmp_path / f"{preset}-diffusers.pt")
    assert ("negative" in kept) == (preset == "quality") and kept["latents"].shape[2] == 3


def test_a_later_run_is_compared_with_what_an_earlier_one_has_kept(tmp_path: Path) -> None:
    (stock,) = clip.measure(["fast"], ["diffusers"], folder=tmp_path, cases=CASES, weights="nano")
    kept = torch.load(tmp_path / "fast-diffusers.pt")
    torch.save(kept | {"latents": kept["latents"] * 2, "noise": kept["noise"] * 4}, tmp_path / "fast-diffusers.pt")
    (ours,) = clip.measure(["fast"], ["studio"], [stock], tmp_path, CASES, "nano")
    assert ours["off"] == pytest.approx(0.5, abs=1e-3) and ours["start_off"] == pytest.approx(0.75)
    assert ours["times"] == round(stock["seconds"] / ours["seconds"], 2)


def test_a_way_that_fails_does_not_take_the_others_along(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no card")

    monkeypatch.setattr(clip, "_stock", broken)
    stock, ours = clip.measure(["fast"], ["diffusers", "studio"], cases=CASES, weights="nano")
    assert stock["failed"] == "RuntimeError: no card" and ours["seconds"] > 0 and "off" not in ours


def test_a_threshold_of_its_own_is_for_one_way_alone() -> None:
    case = CASES[1]

    def threshold() -> float | None:
        shortcuts = CHECKPOINTS[case.checkpoint].presets[case.preset].shortcuts
        return shortcuts.residual_diff_threshold if shortcuts else None

    before = threshold()
    with pytest.raises(KeyError), clip._reusing(case, 1e9):
        assert threshold() == 1e9
        raise KeyError
    assert threshold() == before
    with clip._reusing(case, None):
        assert threshold() == before


def test_random_weights_are_the_same_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_size, "sizes", lambda _: {})  # Wan-Nano's own
    folder = full_size.folder(CHECKPOINTS["wan2.1-t2v-14b"], tmp_path / "w")
    first, again = (
        full_size.module(folder / "transformer", ["diffusers", "WanTransformer3DModel"], "cpu").state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_row_takes_the_place_of_the_one_that_it_repeats() -> None:
    old = [{"way": way, "preset": "fast", "seconds": 1} for way in ("diffusers", "studio")]
    *_, last = command.written(old, iter([{"way": "studio", "preset": p, "seconds": 2} for p in ("fast", "quality")]))
    assert [(r["way"], r["preset"], r["seconds"]) for r in last] == [
        ("diffusers", "fast", 1), ("studio", "fast", 2), ("studio", "quality", 2)
    ]  # fmt: skip


def test_what_is_done_is_in_the_file_when_a_later_row_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(presets: Any, *_: Any) -> Any:
        yield {"way": "diffusers", "preset": presets[0], "seconds": 2}
        raise RuntimeError("out of time")

    out = tmp_path / "gpu.json"
    out.write_text(json.dumps({"clip": {"rows": [{"way": "diffusers", "preset": "fast", "seconds": 1}]}}))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(clip, "measure", measure)
    monkeypatch.setattr("sys.argv", ["gpu", "clip", "--case", "quality", "--out", str(out)])
    with pytest.raises(RuntimeError):
        command.main()
    assert [r["preset"] for r in json.loads(out.read_text())["clip"]["rows"]] == ["fast", "quality"]


def test_a_step_is_over_when_its_preview_is_there() -> None:
    stages = [Stage(name="denoise", text="", t=1.0), Stage(name="denoise", text="", done=1, total=2, t=1.5)]
    steps = [Step(index=i, total=3, t=float(t)) for i, t in ((1, 2), (2, 5), (3, 8))]
    previews = [Preview(webp_base64="", t=t + 2.5) for t in (2.0, 5.0, 8.0)]
    seen = timeline.told([*stages, *steps, *previews], 12.0)
    assert seen.first_step_seconds == 3.5 and seen.step_seconds == 3 and seen.stages == {"denoise": 1.0}
    assert timeline.told([*stages, *steps, *previews[:1]], 12.0).first_step_seconds == 1


def test_what_a_start_costs_is_what_the_second_clip_does_not_pay() -> None:
    first = timeline.Timeline(
        60, {"load": 0, "encode": 30, "denoise": 31, "decode": 52, "save": 56}, [40.0, 46.0, 49.0, 52.0]
    )
    second = timeline.Timeline(
        16, {"load": 0, "encode": 1, "denoise": 2, "decode": 14, "save": 15}, [5.0, 8.0, 11.0, 14.0]
    )
    found = start.beyond(first, second)
    assert found == {
        "loading": 30, "to_first_step": 10, "step": 3, "first_step_beyond": 7, "second_step_beyond": 3,
        "decode_beyond": 3, "clip_beyond": 14,
    }  # fmt: skip


@pytest.mark.slow
def test_two_fresh_processes_share_one_cache_of_their_own() -> None:
    cold, warm = start.measure(SMALL, "nano")
    assert (cold["way"], warm["way"]) == ("cold", "warm")
    for row in (cold, warm):
        assert row["imports"] > 0 and row["loading"] > 0 and len(row["second"]["steps"]) == start.STEPS


def test_kernels_are_compared_with_full_precision() -> None:
    rows = {row["way"]: row for row in attention.measure({256: 2}, "cpu")}
    assert [*rows] == ["float32", "torch, bf16", "8 bits, emulated", "integers, emulated"]
    assert rows["float32"]["off"] == 0 and all(row["ms"] > 0 for row in rows.values())
    assert rows["torch, bf16"]["off"] < rows["integers, emulated"]["off"] < rows["8 bits, emulated"]["off"] < 0.1
