"""The cache stays within its budget: the least used goes first, never what is young, never outside of it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from common import cache
from common.budgets import Budgets
from common.errors import DiskError, UnavailableError, disk_error
from common.run.runner import explain
from tests.studio import ROOT

HOUR = 3600.0


def file(folder: Path, name: str, size: int, age: float) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_what_is_unused_for_too_long_goes_with_its_folder(tmp_path: Path) -> None:
    old = file(tmp_path, "0a/old.mp4", 10, 25 * HOUR)
    kept = file(tmp_path, "0b/kept.mp4", 10, 23 * HOUR)
    assert cache.sweep(tmp_path, Budgets(cache_seconds=24 * 3600)) == 10
    assert not old.parent.exists() and kept.exists()


def test_beyond_the_limit_the_least_used_go_first(tmp_path: Path) -> None:
    files = [file(tmp_path, f"{i}/a.mp4", 100, (10 - i) * HOUR) for i in range(10)]
    cache.used(files[0])
    cache.sweep(tmp_path, Budgets(cache_bytes=450))
    assert [f.exists() for f in files] == [True, *[False] * 6, *[True] * 3]


def test_what_is_written_just_now_stays_whatever_its_size(tmp_path: Path) -> None:
    young = file(tmp_path, "a/result.mp4", 1000, 0)
    assert cache.sweep(tmp_path, Budgets(cache_bytes=1)) == 0 and young.exists()


def test_what_is_written_slowly_stays_too(tmp_path: Path) -> None:
    """The mp4 is open while its clip is decoded, which takes minutes where a machine is slow."""
    target = tmp_path / "a" / "result.mp4"
    with cache.whole(target) as part:
        part.write_bytes(b"the first frames")
        os.utime(part, (time.time() - 99 * HOUR,) * 2)
        assert cache.sweep(tmp_path, Budgets(cache_bytes=1)) == 0
    assert target.read_bytes() == b"the first frames" and not cache.held(part)


def test_what_an_app_shows_as_long_as_it_runs_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of a page lie in the cache from its start, and are clicked on days later."""
    from common.modes.all import MODES
    from tests.common.fakes import FakeService, space_of

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "_held", Counter())
    blocks = space_of(FakeService(MODES["i2v"], tmp_path))
    with TestClient(gr.mount_gradio_app(FastAPI(), blocks, path="/")):
        examples = [f for f in tmp_path.rglob("*.png") if f.is_file()]
        assert examples
        for example in examples:
            os.utime(example, (time.time() - 99 * HOUR,) * 2)
        upload = file(tmp_path, "0a/upload.png", 10, 99 * HOUR)
        cache.sweep(tmp_path, Budgets())
    assert all(example.exists() for example in examples) and not upload.exists()


def test_links_are_neither_followed_nor_deleted(tmp_path: Path) -> None:
    outside = file(tmp_path / "home", "diary.txt", 100, 99 * HOUR)
    inside = tmp_path / "cache"
    inside.mkdir()
    (inside / "link.txt").symlink_to(outside)
    (inside / "folder").symlink_to(outside.parent)
    assert cache.sweep(inside, Budgets(cache_seconds=1, cache_bytes=1)) == 0
    assert outside.exists() and (inside / "link.txt").is_symlink()


def test_what_an_app_shows_is_known_by_the_name_of_its_folder_and_of_a_link_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS's temporary folder is a link; components name their files by it."""
    example = file(tmp_path / "disk", "0a/example.png", 10, 99 * HOUR)
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "link"))
    monkeypatch.setattr(cache, "_held", Counter())
    monkeypatch.setattr(cache, "_watched", {cache.own_folder()})
    cache.keep([str(tmp_path / "link" / "0a" / "example.png")])
    assert cache.sweep(cache.own_folder(), Budgets()) == 0 and example.exists()


def test_what_a_job_has_yet_to_read_stays_for_every_process(tmp_path: Path) -> None:
    waiting = file(tmp_path, "0a/clip.mp4", 10, 99 * HOUR)
    with cache.holding([str(waiting)]), cache.holding([str(waiting)]):
        assert cache.held(waiting) and cache.sweep(tmp_path, Budgets(cache_bytes=1)) == 0
        other = (
            "import sys; from pathlib import Path; from common import cache; cache.sweep(Path(sys.argv[1]))"
        )
        env = {**os.environ, "WAN_LIMIT_CACHE_BYTES": "1"}
        subprocess.run(
            [sys.executable, "-c", other, str(tmp_path)], cwd=ROOT, env=env, check=True, timeout=60
        )
        assert waiting.exists()
    assert not cache.held(waiting)
    os.utime(waiting, (time.time() - HOUR,) * 2)
    assert cache.sweep(tmp_path, Budgets(cache_bytes=1)) == 10


def test_what_is_held_while_the_sweep_runs_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = file(tmp_path, "0a/late.mp4", 10, 99 * HOUR)
    listed = cache._files
    with ExitStack() as holding:

        def files(folder: Path) -> list[tuple[float, int, Path]]:
            found = list(listed(folder))
            holding.enter_context(cache.holding([str(late)]))
            return found

        monkeypatch.setattr(cache, "_files", files)
        assert cache.sweep(tmp_path, Budgets()) == 0 and late.exists()


def test_a_folder_that_is_a_link_is_not_emptied(tmp_path: Path) -> None:
    """In /tmp/gradio, which every user may have made, `wan-studio` may lead to somebody's home."""
    diary = file(tmp_path / "home", "diary.txt", 100, 99 * HOUR)
    (tmp_path / "wan-studio").symlink_to(diary.parent)
    assert cache.sweep(tmp_path / "wan-studio", Budgets()) == 0 and diary.exists()


def test_one_file_that_cannot_be_deleted_keeps_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = file(tmp_path, "a/theirs.mp4", 100, 99 * HOUR)
    ours = [file(tmp_path, f"{i}/ours.mp4", 100, (90 - i) * HOUR) for i in range(3)]
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == theirs:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert [cache.sweep(tmp_path, Budgets()) for _ in range(2)] == [300, 0]
    assert theirs.exists() and not any(f.exists() for f in ours)
    assert len([r for r in caplog.records if "theirs.mp4 stays in the cache" in r.message]) == 1


def test_a_file_that_is_not_finished_leaves_neither_a_part_nor_its_folder(tmp_path: Path) -> None:
    with cache.whole(tmp_path / "there" / "a.mp4") as part:
        part.write_bytes(b"whole")
        assert part.name.startswith("."), "the gate lets nobody name it"
    for folder in ("there", "new"):
        with pytest.raises(ValueError, match="no"), cache.whole(tmp_path / folder / "b.mp4") as part:
            part.write_bytes(b"half")
            raise ValueError("no")
    assert sorted(f.name for f in tmp_path.rglob("*")) == ["a.mp4", "there"]


def test_a_folder_that_all_gradio_apps_share_is_not_ours_to_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert cache.own_folder() == cache.root() / "wan-studio"
    monkeypatch.setenv("SPACE_ID", "ada/wan-t2v")
    assert cache.own_folder() == cache.root()


def test_a_full_disk_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    cache.check_free()
    monkeypatch.setattr(cache, "BUDGETS", Budgets(free_bytes=10**18))
    with pytest.raises(
        UnavailableError, match=r"this machine's disk is full: .* delete something there"
    ) as told:
        cache.check_free()
    assert str(tmp_path) not in told.value.text


def test_a_cache_that_cannot_be_written_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "/dev/null/cache")
    with pytest.raises(UnavailableError, match="set GRADIO_TEMP_DIR to a folder"):
        cache.check_free()


TAKES_NOTHING = """
import resource, signal
from common import cache
cache.results()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    cache.check_free()
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_disk_that_takes_no_byte_is_told_before_the_work(tmp_path: Path) -> None:
    """Read-only or over its quota, with a folder from before: only writing tells."""
    env = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}
    command = [sys.executable, "-c", TAKES_NOTHING]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("UnavailableError this machine cannot keep results:"), done
    assert "set GRADIO_TEMP_DIR" in done.stdout and str(tmp_path) not in done.stdout


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_disk_that_fails_in_the_middle_is_a_sentence_without_a_path(number: int) -> None:
    told = explain(OSError(number, os.strerror(number), "/tmp/secret-folder/x.mp4"))
    assert isinstance(told, DiskError) and "secret-folder" not in told.text and "try again" in told.text
    assert disk_error(OSError(errno.ENOENT, "no such file")) is None


FILLS_UP = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from common.run.runner import explain
from common.media.write import write_video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
frames = np.random.default_rng(0).integers(0, 255, (30, 128, 128, 3), np.uint8)
try:
    write_video(frames, 16, Path(sys.argv[1]), None)
except Exception as error:
    told = explain(error)
    print(type(told).__name__, told.text)
"""


def test_a_result_that_finds_no_room_leaves_nothing(tmp_path: Path) -> None:
    """A disk that takes no more bytes: the system's own limit on a file's size stands in for it."""
    target = tmp_path / "results" / "x.mp4"
    command = [sys.executable, "-c", FILLS_UP, str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("DiskError this machine cannot keep the file"), done.stdout + done.stderr
    assert str(tmp_path) not in done.stdout
    assert not [f for f in tmp_path.rglob("*") if f.is_file()]


def test_the_command_line_leaves_no_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cli import terminal
    from common.contract import MediaHandle

    video = file(tmp_path, "cache/made.mp4", 1000, 0)

    def full(source: object, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(terminal.shutil, "copyfile", full)
    target = tmp_path / "out" / "a.mp4"
    target.parent.mkdir()
    with pytest.raises(OSError, match="No space left"):
        terminal._fetch(MediaHandle(path=str(video)), target)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("args", [["studio", "--port", "0"], ["studio"]])
def test_the_launcher_says_in_one_line_that_it_cannot_keep_results(args: list[str], free_port: int) -> None:
    args = [*args, "--port", str(free_port)] if "--port" not in args else args
    env = {**os.environ, "GRADIO_TEMP_DIR": "/dev/null/cache"}
    command = [sys.executable, "-m", "cli", *args]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("wan-studio:")]) == 1


@pytest.mark.slow
def test_the_cache_of_a_working_space_stays_under_its_limit(tmp_path: Path, free_port: int) -> None:
    """Uploads and results of a real app, in a process with a small limit and no grace."""
    import httpx
    from gradio_client import Client

    code = (
        "import sys\nfrom common import cache\ncache.GRACE_SECONDS = 0.5\ncache.EVERY_SECONDS = 0.2\n"
        "from tests.router import fleet_server\n"
        f"sys.argv = ['x', '{free_port}', '--modes', 't2v', '--pause', '0']\nfleet_server.main()\n"
    )
    limit = 3_000_000
    env = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path), "WAN_LIMIT_CACHE_BYTES": str(limit)}
    server = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=env)
    url = f"http://127.0.0.1:{free_port}/t2v/"
    try:
        end = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"{url}config", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                assert time.monotonic() < end and server.poll() is None
                time.sleep(0.2)
        client = Client(url, verbose=False, token=False, ssl_verify=False, download_files=False)
        for number in range(40):
            body = os.urandom(500_000)
            httpx.post(f"{url}gradio_api/upload", files={"files": ("a.bin", body)}).raise_for_status()
            if number % 4 == 0:
                client.predict(prompt="a", seed=number, num_frames=5, api_name="/generate")

        def size() -> int:
            found = 0
            for folder, _, names in os.walk(tmp_path):  # files go while one looks
                for name in names:
                    with suppress(FileNotFoundError):
                        found += (Path(folder) / name).stat().st_size
            return found

        while size() > limit:
            assert time.monotonic() < end, f"{size()} bytes are kept"
            time.sleep(0.2)
        assert client.predict(prompt="a", num_frames=5, api_name="/generate")[1]["type"] == "done"
    finally:
        server.kill()
        server.wait(10)
