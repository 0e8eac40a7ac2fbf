"""`--gpus`, `--replicas`, `--ray`: what they say to the Spaces, and what cannot be."""

from __future__ import annotations

import pytest

from cli import workers
from cli.main import parser
from common.errors import InputError


@pytest.fixture(autouse=True)
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with eight."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    for name in ("WAN_ENGINE", "WAN_REPLICAS", "WAN_CARDS", "WAN_DEVICE"):
        monkeypatch.delenv(name, raising=False)


def said(*flags: str) -> dict[str, str]:
    return workers.settings(parser().parse_args(["studio", *flags]))


@pytest.mark.parametrize(
    ("flags", "meant"),
    [
        ([], {}),
        (["--gpus", "2"], {"WAN_ENGINE": "ray", "WAN_REPLICAS": "2"}),
        (["--gpus", "8", "--replicas", "2"], {"WAN_ENGINE": "ray", "WAN_REPLICAS": "2", "WAN_CARDS": "4"}),
        (["--gpus", "0"], {"WAN_ENGINE": "ray", "WAN_REPLICAS": "1", "WAN_DEVICE": "cpu"}),
        (["--gpus", "0", "--replicas", "3"], {"WAN_ENGINE": "ray", "WAN_REPLICAS": "3", "WAN_DEVICE": "cpu"}),
        (["--ray", "ray://head:10001"], {"WAN_ENGINE": "ray://head:10001"}),
        (["--ray", "ray://head:10001", "--gpus", "64"], {"WAN_ENGINE": "ray://head:10001", "WAN_REPLICAS": "64"}),
    ],
)
def test_the_flags_are_settings(flags: list[str], meant: dict[str, str]) -> None:
    assert said(*flags) == meant


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--gpus", "9"], "--gpus must be at most 8, which this machine has; got 9, 0 is for workers on the CPU"),
        (["--gpus", "-1"], "--gpus must not be negative"),
        (["--gpus", "8", "--replicas", "3"], "--replicas must divide 8 cards evenly; got 3, try 1, 2, 4, 8"),
        (["--replicas", "0"], "--replicas must be at least 1"),
        (["--replicas", "100000"], "WAN_REPLICAS must be a whole number from 1 to 999"),
        (["--ray", "head; rm -rf /"], "WAN_ENGINE must be ray, or the address of a cluster"),
        (["--ray", "ftp://head:1"], "WAN_ENGINE must be ray, or the address of a cluster"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(flags: list[str], told: str) -> None:
    with pytest.raises(InputError) as caught:
        said(*flags)
    assert str(caught.value).startswith(told)
