"""`deploy plan` says what machines cost, by the real HfApi on the stand-in Hub; without prices it still plans."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from common.errors import InputError
from common.placement import zerogpu
from deploy import cli, doctor, federation, hardware, prices, targets
from deploy.hub import Hub
from deploy.targets import Target
from tests.deploy.conftest import Desk
from tests.hub_stand_in.server import Fault


def t2v(**changes: object) -> Target:
    (found,) = targets.select(targets.resolve(federation.load(), "ada"), "t2v-2.1")
    return replace(found, **changes)  # type: ignore[arg-type]


def rows(text: str) -> dict[tuple[str, str], list[str]]:
    """The table's lines by hardware and what it is had as."""
    words = [line.split() for line in text.splitlines() if line.startswith("  ") and "hardware" not in line]
    return {(w[0], w[1]): w[2:] for w in words if w[1] in ("Space", "Job")}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("l4x1", "NVIDIA L4"), ("a10g-small", "NVIDIA A10G"), ("a10g-large", "NVIDIA A10G"),
        ("l40sx1", "NVIDIA L40S"),
        ("h200", "NVIDIA H200"), ("h100x1", "NVIDIA H100"), ("rtx-pro-6000", "NVIDIA RTX PRO 6000"),
        ("a10g-largex2", None), ("l4x4", None), ("l4x11", None), ("h200x8", None), ("t4-small", None),
        ("cpu-basic", None), ("zero-a10g", None), ("", None), ("l4x1\n", None), ("xl4x1", None),
    ],
)  # fmt: skip
def test_a_machine_is_known_by_its_whole_name(name: str, found: str | None) -> None:
    one = hardware.card(name)
    assert (one.name if one else None) == found


def test_every_machine_of_one_card_is_a_row_with_its_price(desk: Desk) -> None:
    text = prices.table([t2v()], prices.ask(desk.hub))
    table = rows(text)
    assert table.keys() == {
        ("zero-a10g", "Space"), ("l40sx1", "Space"), ("a100-large", "Space"), ("h200", "Job"), ("l40sx1", "Job"),
    }  # fmt: skip
    assert table["a100-large", "Space"][0] == "$2.50" and table["zero-a10g", "Space"][0] == "PRO"
    assert "too small for every size: l4x1 (Space)" in text, "its 30 GB do not hold what would have to wait there"
    price, fast, _, fast_dollars, quality, _, quality_dollars = table["l40sx1", "Job"]
    assert price == "$1.80" and float(fast) < float(quality)
    assert float(quality_dollars[1:]) == pytest.approx(1.8 * float(quality) / 3600, abs=0.001)
    assert float(fast_dollars[1:]) == pytest.approx(1.8 * float(fast) / 3600, abs=0.001)
    assert float(table["h200", "Job"][4]) < float(table["a100-large", "Space"][4]) < float(quality) * 2


def test_a_card_that_is_too_small_is_told_with_the_cheapest_that_holds_it(desk: Desk) -> None:
    price, short = prices.notices(t2v(hardware="l4x1"), prices.ask(desk.hub))
    assert price == "l4x1: $0.80 an hour"
    assert short.endswith("; the cheapest that holds every size is l40sx1, $1.80 an hour")
    assert prices.notices(t2v(hardware="a100-large"), prices.ask(desk.hub)) == ["a100-large: $2.50 an hour"]
    assert prices.notices(t2v(weights="nano", hardware="l4x1"), prices.ask(desk.hub)) == ["l4x1: $0.80 an hour"]


def test_the_plan_says_what_each_space_costs(desk: Desk, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "federation.toml"
    file.write_text('[[spaces]]\nmode = "t2v"\nhardware = "l40sx1"\ncheckpoints = ["wan2.1-t2v-14b"]\n')
    argv = ["plan", "--file", str(file)]
    parser = cli.argparse.ArgumentParser()
    cli.add_commands(parser)
    assert cli.run(parser.parse_args(argv), desk.hub) == 0
    out = capsys.readouterr().out
    assert "           l40sx1: $1.80 an hour\n" in out and "           cpu-basic: nothing an hour\n" in out
    assert cli.run(parser.parse_args([*argv, "--json"]), desk.hub) == 0
    first, router = json.loads(capsys.readouterr().out)["spaces"]
    assert first["hardware"] == ["l40sx1: $1.80 an hour"] and router["hardware"] == ["cpu-basic: nothing an hour"]
    assert cli.run(parser.parse_args([*argv, "--hardware"]), desk.hub) == 0
    assert ("h200", "Job") in rows(capsys.readouterr().out)
    assert desk.server.writes() == []


@pytest.mark.parametrize("answer", ["nobody", "refused", "another form"])
def test_without_prices_the_machines_are_listed_all_the_same(
    answer: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = desk.hub
    if answer == "nobody":
        hub = Hub(HfApi(endpoint="http://127.0.0.1:9", token=False), say=desk.said.append)
    elif answer == "refused":
        desk.server.faults.append(Fault("GET", "/api/spaces/hardware", 403))
    else:
        monkeypatch.setattr("tests.hub_stand_in.routes.machine", lambda *_: {"name": "l4x1"})
    asked = prices.ask(hub)
    assert asked.why.startswith("the Hub's prices could not be asked (")
    text = prices.table([t2v()], asked)
    assert asked.why in text and rows(text)["a100-large", "Space"][0] == "?" and "$" not in text
    assert prices.notices(t2v(hardware="l4x1"), asked) == ["l4x1: price not known"]


def test_zerogpu_is_told_as_it_is(desk: Desk) -> None:
    (said,) = prices.notices(t2v(), prices.ask(desk.hub))
    assert said == "zero-a10g: nothing an hour: part of PRO, Team and Enterprise"
    assert hardware.lent("wan2.2-t2v-a14b") == zerogpu("xlarge")


def test_the_doctor_counts_for_a_card_of_ones_own_too(desk: Desk) -> None:
    said = [f for f in doctor.examine(desk.hub, [t2v(hardware="l4x1")]) if f.level == "problem"]
    assert not any("t2v-2.1: Wan" in f.text for f in said), "the Hub alone says how much memory is beside the card"
    big = replace(t2v(hardware="l4x1"), mode="animate", checkpoints=("wan2.2-animate-2-14b",))
    said = [f.text for f in doctor.examine(desk.hub, [big]) if f.level == "problem"]
    assert any("NVIDIA L4" in text and "deploy plan --hardware" in text for text in said)


def test_a_job_is_no_space(tmp_path: Path) -> None:
    file = tmp_path / "federation.toml"
    file.write_text('[[spaces]]\nmode = "t2v"\nhardware = "job:h200"\n')
    with pytest.raises(InputError, match="must be a Space's: a Job ends with its command"):
        federation.load(file)
