"""Checkpoints on disk: fetched ahead with progress, cancelled and gone on with, deleted unless a job needs them."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

import nano
from common.catalog import CHECKPOINTS, LORAS, Checkpoint
from common.errors import InputError, UnavailableError
from common.runtime.model import fetching, stock, weights

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode gives tests no package
from model_hub import ModelHub

from tests.common.runtime.model.tiny_rows import copied, shrink

KEY = "wan2.1-t2v-1.3b"
LARGE = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModelHub]:
    """A Hub with one checkpoint, which has a page and pictures besides, and an empty cache of this machine."""
    shrink(monkeypatch)
    folder = copied("dense", tmp_path / "repo")
    (folder / "README.md").write_text("what nobody fetches")
    (folder / "assets").mkdir()
    (folder / "assets" / "logo.png").write_bytes(b"0" * 4096)
    monkeypatch.setattr(fetching, "_fetches", {})
    with ModelHub({row().repo: folder}) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield served
        served.go.set()


def row() -> Checkpoint:
    return CHECKPOINTS[KEY]


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def fetched() -> None:
    fetching.begin(row())
    until(lambda: not fetching.running(KEY))


def test_a_download_is_counted_and_only_what_a_plan_loads_is_fetched(hub: ModelHub) -> None:
    hub.slow = LARGE
    assert (stock.of(row(), "wan").whole, stock.of(row(), "wan").bytes) == (False, 0)
    fetching.begin(row())
    fetching.begin(row())  # a double click
    assert hub.half.wait(60)
    until(lambda: 0 < (coming := stock.of(row(), "wan").coming).done < coming.total)  # type: ignore[union-attr]
    hub.go.set()
    until(lambda: not fetching.running(KEY))
    there = stock.of(row(), "wan")
    assert there.whole and there.coming is None and there.where == "cache"
    wanted = [f for name in weights.COMPONENTS for f in (nano.find("dense") / name).glob("*") if f.is_file()]
    assert there.bytes == sum(f.stat().st_size for f in wanted) + len(
        (nano.find("dense") / "model_index.json").read_bytes()
    )
    assert not [path for path in hub.asked if path.endswith(f"{'1' * 40}/README.md") or "logo" in path]
    # A job finds it without the Hub, though the Hub's list has files that were never fetched.
    asked = len(hub.asked)
    assert weights.resolve(row(), "wan", None).is_dir() and len(hub.asked) == asked


def test_a_cancelled_download_keeps_what_is_whole_and_goes_on_from_there(hub: ModelHub) -> None:
    hub.slow = LARGE
    fetching.begin(row())
    assert hub.half.wait(60)
    fetching.cancel(KEY)
    assert stock.of(row(), "wan").coming.text == "stopping"  # type: ignore[union-attr]
    hub.go.set()
    until(lambda: not fetching.running(KEY))
    there = stock.of(row(), "wan")
    assert there.coming and there.coming.state == "cancelled" and not there.whole
    before = [path for path in hub.asked if path.endswith("tokenizer.json")]
    hub.slow, had = "", there.bytes
    fetched()
    assert stock.of(row(), "wan").whole and had < stock.of(row(), "wan").bytes
    after = [path for path in hub.asked if path.endswith("tokenizer.json")]
    assert len(after) <= len(before) + 1, "at most a HEAD for what is there"


def test_again_fetches_every_file_anew(hub: ModelHub) -> None:
    fetched()
    asked = len([path for path in hub.asked if path.endswith(LARGE)])
    fetching.begin(row(), again=True)
    until(lambda: not fetching.running(KEY))
    assert len([path for path in hub.asked if path.endswith(LARGE)]) > asked
    assert stock.of(row(), "wan").whole


def test_what_goes_wrong_is_named_with_a_way_out(hub: ModelHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> str:
        fetched()
        coming = stock.of(row(), "wan").coming
        assert coming is not None and coming.state == "failed"
        fetching.cancel(KEY)  # as one waves a message away
        assert stock.of(row(), "wan").coming is None
        return coming.text

    hub.refused = True
    assert "refuses this machine's token" in told() and "hf auth login" in told()
    hub.refused = False
    with monkeypatch.context() as patch:
        patch.setattr(hub, "repos", {})
        assert "does not exist" in told()
    with monkeypatch.context() as patch:
        patch.setattr(weights.shutil, "disk_usage", lambda _: SimpleNamespace(free=7))
        assert "make room or set HF_HOME" in told()
    with monkeypatch.context() as patch:

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(weights.hub, "folder", full)
        assert "is full; make room or set HF_HOME" in told()
    with monkeypatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        assert "cannot be reached" in told() and "check the network" in told()
    fetched()
    assert stock.of(row(), "wan").whole


def test_delete_frees_all_of_it_but_never_what_a_job_needs(hub: ModelHub) -> None:
    fetched()
    had = stock.of(row(), "wan").bytes
    with stock.using(KEY), pytest.raises(UnavailableError, match="needed by a job"):
        stock.delete(row(), "wan")
    assert stock.of(row(), "wan").whole
    assert stock.delete(row(), "wan") == had
    assert stock.of(row(), "wan").bytes == 0 and stock.delete(row(), "wan") == 0
    hub.slow = LARGE
    hub.go.clear()
    fetching.begin(row())
    with pytest.raises(UnavailableError, match="cancel that first"):
        stock.delete(row(), "wan")
    hub.go.set()
    until(lambda: not fetching.running(KEY))


def test_what_comes_with_the_code_or_on_a_volume_is_not_deleted(
    hub: ModelHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert stock.of(row(), "nano").whole and stock.of(row(), "nano").where == "code"
    assert stock.of(row(), "nano").bytes > 1_000_000
    with pytest.raises(InputError, match="part of the code"):
        stock.delete(row(), "nano")
    assert nano.find("dense").is_dir()
    mounted = copied("dense", tmp_path / "volume" / KEY)
    monkeypatch.setenv("WAN_MODELS", str(mounted.parent))
    assert stock.of(row(), "wan").where == "volume" and stock.of(row(), "wan").whole
    with pytest.raises(InputError, match="not ours to delete"):
        stock.delete(row(), "wan")
    assert (mounted / "model_index.json").is_file()


def test_loras_are_cleared_but_those_of_a_job_and_what_another_program_fetched(hub: ModelHub, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download

    repo, loras = LORAS["lightning-2.1-t2v"].repo, tmp_path / "loras"
    files = {key: LORAS[key].files[0].weight_name for key in ("lightning-2.1-t2v", "lightning-2.1-i2v")}
    for name in (*files.values(), "Lightx2v/theirs.safetensors"):
        (loras / name).parent.mkdir(parents=True, exist_ok=True)
        (loras / name).write_bytes(name.encode() * 100)
    hub.repos[repo] = loras
    for name in (*files.values(), "Lightx2v/theirs.safetensors"):
        hf_hub_download(repo, name)
    there = stock.of_lora(LORAS["lightning-2.1-t2v"], CHECKPOINTS["wan2.1-t2v-14b"], "wan")
    assert there.whole and there.bytes == 100 * len(files["lightning-2.1-t2v"])
    with stock.using("wan2.1-t2v-14b"):
        assert stock.clear_loras() == 100 * len(files["lightning-2.1-i2v"])
    assert stock.lora_files(LORAS["lightning-2.1-t2v"]) and not stock.lora_files(LORAS["lightning-2.1-i2v"])
    assert stock.clear_loras() == 100 * len(files["lightning-2.1-t2v"]) and stock.clear_loras() == 0
    left = [f.name for f in Path(constants.HF_HUB_CACHE).rglob("*.safetensors")]
    assert left == ["theirs.safetensors"]
