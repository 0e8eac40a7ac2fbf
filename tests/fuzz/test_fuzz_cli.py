"""Odd command lines: one line on stderr and exit code 2, or a plan of exactly what was asked; never a traceback."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from cli import main as cli
from common.modes.all import MODES
from tests.fuzz import nasty

pytestmark = pytest.mark.slow
SEED, CASES = 20261125, 300
CODES = {0, 1, 2, 3}


def words(rng: random.Random) -> str:
    """A word as a shell can hand it over: no NUL, bytes that are no UTF-8 as Python shows them."""
    found = rng.choice(
        [*nasty.WORDS, *map(str, nasty.NUMBERS), "\udcff", "--", "-x", "a=b", "=", "1x1", "99999x1"]
    )
    return found.replace("\0", "")


def line(rng: random.Random) -> list[str]:
    mode = rng.choice([*MODES, *MODES, "t9v", ""])
    fields = list(MODES[mode].request_type.model_fields) if mode in MODES else ["prompt"]  # type: ignore[index]
    argv = [rng.choice(["plan", "plan", "generate"]), mode, rng.choice(["a fox", words(rng)])]
    for _ in range(rng.choice([1, 1, 2, 3])):
        name = rng.choice(fields)
        argv += rng.choice([
            [f"--{name.replace('_', '-')}", words(rng)], ["--set", f"{name}={words(rng)}"], ["--set", words(rng)],
            ["--size", words(rng)], ["--reference", words(rng)], [f"--{words(rng)}"], ["--out", "/proc/x.mp4"],
        ])  # fmt: skip
    # A generation that would begin has nowhere to write to, and is refused before a model is loaded.
    return [*argv, "--out", "/proc/x.mp4"] if argv[0] == "generate" else argv


def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = random.Random(SEED)
    for number in range(CASES):
        argv = line(rng)
        try:
            code = cli.main(argv)
        except SystemExit as ended:  # argparse
            code = ended.code
        told = capsys.readouterr()
        assert code in CODES, (number, argv, code)
        assert "Traceback" not in told.err + told.out, (number, argv)
        assert len(told.err) < 3000, (number, argv, told.err[:500])
        if code == 2:
            assert told.err.count("\n") == 1 and told.out == "", (number, argv, told)
        assert not list(tmp_path.iterdir()), (number, argv)


def test_a_plan_is_of_what_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(SEED)
    for _ in range(100):
        frames, steps, seed = rng.randrange(1, 90), rng.randrange(0, 60), rng.randrange(-2, 2**31)
        argv = [
            "plan",
            "t2v",
            "a",
            "--frames",
            str(frames),
            "--steps",
            str(steps),
            "--seed",
            str(seed),
            "--json",
        ]
        code = cli.main(argv)
        told = capsys.readouterr()
        if code:
            assert code == 2 and told.err.startswith("wan-studio: ") and told.err.count("\n") == 1
            continue
        plan = json.loads(told.out)
        assert (plan["num_frames"], plan["num_inference_steps"]) == (frames, steps)
        assert seed == -1 or plan["seed"] == seed
