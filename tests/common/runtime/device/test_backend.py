"""What a machine says of itself, and what it is told before torch is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from common.errors import InputError
from common.runtime.device import backend
from common.settings import SpaceSettings

ROOT = Path(__file__).parents[4]

LOOKS = """
import importlib.abc, os, sys

class Look(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch":
            print("torch comes, and the fallback is", os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK"))

sys.meta_path.insert(0, Look())
"""


@pytest.mark.parametrize(
    "start",
    ["import runpy; runpy.run_path('spaces/vace/app.py')", "import launch; launch.load_space('t2v')"],
    ids=["a Space by itself", "the launcher"],
)
@pytest.mark.parametrize("given", ["", "0"])
def test_mps_fallback_is_set_before_torch_is_imported(start: str, given: str) -> None:
    env = {**os.environ, "PYTORCH_ENABLE_MPS_FALLBACK": given} if given else dict(os.environ)
    if not given:
        env.pop("PYTORCH_ENABLE_MPS_FALLBACK", None)
    told = subprocess.run(
        [sys.executable, "-c", LOOKS + start], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[0] == f"torch comes, and the fallback is {given or '1'}"


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A Mac of 128 GB; what its allocator was told."""
    told: list[float] = []
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 107_000_000_000)
    monkeypatch.setattr(torch.mps, "set_per_process_memory_fraction", told.append)
    return told


def test_mps_memory_has_an_end_before_the_machine_has(mac: list[float]) -> None:
    found = backend.detect(SpaceSettings(), "wan2.1-t2v-14b")
    assert (found.device, found.memory_bytes) == ("mps", 107_000_000_000)
    assert mac == [1.0], "of what Apple recommends; torch's own is 1.7"


def test_mps_can_be_left_alone(mac: list[float]) -> None:
    settings = SpaceSettings.from_env({"WAN_DEVICE": "cpu"})
    assert backend.detect(settings, "wan2.1-t2v-14b").device == "cpu"
    assert mac == []
    with pytest.raises(InputError, match="WAN_DEVICE must be cpu; got 'mps'"):
        SpaceSettings.from_env({"WAN_DEVICE": "mps"})


def test_mps_says_in_its_own_words_that_it_has_no_room() -> None:
    apple = RuntimeError("MPS backend out of memory (MPS allocated: 18.50 GiB, max allowed: 18.72 GiB).")
    assert backend.out_of_memory(apple)
    assert backend.out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not backend.out_of_memory(RuntimeError("shapes do not fit"))


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(name="NVIDIA H100", total_memory=85_000_000_000, major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(backend.attention, "compiles", lambda capability: capability == (9, 0))
    monkeypatch.setattr(backend.attention, "has_fa3", lambda capability: capability == (9, 0))
    for name in ("TORCHINDUCTOR_CACHE_DIR", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.setenv(name, "to be put back")
        monkeypatch.delenv(name)


def test_hopper_is_told_to_be_fast_and_keeps_what_it_compiled(
    hopper: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAN_STUDIO_CACHE", str(tmp_path))
    found = backend.detect(SpaceSettings(), "wan2.1-t2v-14b")
    assert (found.compiles, found.attention, found.capability) == (True, "fa3", (9, 0))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "compiled")


def test_who_asks_for_exact_gets_torch_as_it_is(hopper: None) -> None:
    settings = SpaceSettings.from_env({"WAN_SPEED": "exact"})
    found = backend.detect(settings, "wan2.1-t2v-14b")
    assert (found.compiles, found.attention) == (False, "sdpa")
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    with pytest.raises(InputError, match="WAN_SPEED must be exact; got 'slow'"):
        SpaceSettings.from_env({"WAN_SPEED": "slow"})


@pytest.fixture
def blackwell(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(name="NVIDIA RTX PRO 6000", total_memory=102_000_000_000, major=12, minor=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(backend.integers, "KITCHEN", "json")  # anything that is there
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "to be put back")


@pytest.mark.parametrize(("speed", "kernel"), [("", "int8"), ("exact", "sdpa")])
def test_blackwell_attends_in_integers_and_compiles_nothing(blackwell: None, speed: str, kernel: str) -> None:
    found = backend.detect(SpaceSettings.from_env({"WAN_SPEED": speed}), "wan2.1-t2v-14b")
    assert (found.compiles, found.attention, found.capability) == (False, kernel, (12, 0))


@pytest.mark.parametrize(("speed", "kernel"), [("", "int8"), ("exact", "sdpa")])
def test_zerogpu_leaves_it_to_its_worker(
    blackwell: None, speed: str, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "on_zerogpu", lambda: True)
    found = backend.detect(SpaceSettings.from_env({"WAN_SPEED": speed}), "wan2.1-t2v-14b")
    assert (found.gpu_size, found.attention, found.capability) == ("large", kernel, None)


def test_without_the_package_nothing_changes(blackwell: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.integers, "KITCHEN", "not_there")
    assert backend.detect(SpaceSettings(), "wan2.1-t2v-14b").attention == "sdpa"
    monkeypatch.setattr(backend, "on_zerogpu", lambda: True)
    assert backend.detect(SpaceSettings(), "wan2.1-t2v-14b").attention == "sdpa"


@pytest.mark.parametrize(("text", "rule"), [
    ("0", "must be a whole number from 1 to 999; got '0'"), ("two", "a whole number .* got 'two'"),
    ("²", "a whole number"), ("1" * 5000, "a whole number"), ("-1", "a whole number"),
])  # fmt: skip
def test_cards_are_a_number(text: str, rule: str) -> None:
    with pytest.raises(InputError, match=f"WAN_CARDS .*{rule}"):
        SpaceSettings.from_env({"WAN_CARDS": text})


def test_no_more_cards_than_are_there(hopper: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert backend.detect(SpaceSettings.from_env({"WAN_CARDS": "2"}), "wan2.1-t2v-14b").cards == 2
    with pytest.raises(InputError, match="WAN_CARDS must be at most 2, for this machine has 2; got 3, leave it"):
        backend.detect(SpaceSettings.from_env({"WAN_CARDS": "3"}), "wan2.1-t2v-14b")


def test_the_smallest_of_several_cards_counts(hopper: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [SimpleNamespace(name="a card", total_memory=n, major=9, minor=0) for n in (85, 80)]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", cards.__getitem__)
    assert backend.detect(SpaceSettings(cards=2), "wan2.1-t2v-14b").memory_bytes == 80


def test_a_mac_and_zerogpu_have_one_card(mac: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="WAN_CARDS must be at most 1, for a Mac has one"):
        backend.detect(SpaceSettings(cards=2), "wan2.1-t2v-14b")
    monkeypatch.setattr(backend, "on_zerogpu", lambda: True)
    with pytest.raises(InputError, match="WAN_CARDS must be at most 1, for ZeroGPU lends one"):
        backend.detect(SpaceSettings(cards=2), "wan2.1-t2v-14b")


def test_processes_on_a_cpu_share_its_memory() -> None:
    one, two = (backend.detect(SpaceSettings(device="cpu", cards=n), "wan2.1-t2v-14b") for n in (1, 2))
    assert two.cards == 2 and two.memory_bytes == one.memory_bytes // 2
