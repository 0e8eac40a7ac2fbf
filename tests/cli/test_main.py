"""The command line as a user types it: exit codes, one line on stderr, nothing written on bad input."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from cli import main as cli
from cli.main import main


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["t2v", ""], "prompt must not be empty"),
        (["t2v", "a fox", "--frames", "80"], "num_frames must be 4k+1; got 80, try 77 or 81"),
        (["t2v", "a fox", "--size", "832x480"], "must be a Wan-Nano size; got 832x480, try 128x128"),
        (["t2v", "a fox", "--size", "big"], "size must be WIDTHxHEIGHT; got 'big'"),
        (["t2v", "a fox", "--steps", "99"], "num_inference_steps must be between 1 and 50; got 99"),
        (["t2v", "a fox", "--seed", "-5"], "seed must be between"),
        (["t2v", "a fox", "--checkpoint", "wan3"], "checkpoint must be one that t2v runs; got 'wan3'"),
        (["t2v", "a fox", "--preset", "turbo"], "preset must be fast or quality; got 'turbo'"),
        (["t2v", "a fox", "--set", "colour=red"], "colour is not an input of t2v"),
        (["t2v", "a fox", "--set", "colour"], "set must be KEY=VALUE; got 'colour'"),
        (["i2v", "a fox"], "image is required"),
        (
            ["i2v", "a", "--image", "a.mp4", "--image-from", "middle"],
            "'first' or 'last' or input should be a",
        ),
        (["t2v", "a fox", "--prompt", "a cat"], "prompt is given twice"),
        (["t2v", "a fox", "--set", "prompt=a cat"], "prompt is given twice"),
        (["t2v", "a fox", "--size", "128x128", "--width", "192"], "width is given twice"),
        (["t2v", "a fox", "--size", ""], "size must be WIDTHxHEIGHT; got ''"),
        (["t2v", "a fox", "--size", "1²8x128"], "size must be WIDTHxHEIGHT"),
        (["t2v", "a fox", "--set", "a\nb=1"], r"a\nb is not an input of t2v"),
        (["t2v", "a fox", "--set", "\udcff=1"], "an input's name is not valid"),
        (["i2v", "a", "--image", ""], "image is not valid"),
        (
            ["i2v", "a", "--image", "\udcff", "--server", "http://127.0.0.1:9"],
            "image is not valid: text must not",
        ),
        (["t2v", "a fox", "--out", "."], "--out must be a file; got the folder ., try clip.mp4"),
        (["t2v", "a fox", "--out", "clip.gif"], "--out must end in .mp4; got 'clip.gif', try clip.mp4"),
        (["t2v", "a fox", "--out", "/dev/null/x/clip.mp4"], "--out must lie in a folder that can be written"),
        (["t2v", "a fox", "--out", "/proc/clip.mp4"], "--out must lie in a folder that can be written"),
        (["t2v", "a fox", "--out", "a" * 300 + ".mp4"], "--out cannot be used: file name too long"),
        (["t2v", "a fox", "--out", "a" * 300 + "/clip.mp4"], "--out cannot be used: file name too long"),
        (["t2v", "a fox", "--server", "here"], "--server must be the URL of a Studio or Space; got 'here'"),
    ],
)
def test_bad_input_is_exit_2_and_one_line(
    argv: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["generate", *argv]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["plan", "t9v", "a"], "invalid choice: 't9v'"),
        (["plan", "t2v", "a", "--nosuch", "1"], "unrecognized arguments: --nosuch 1"),
        (["generate", "t2v", "a", "--weights", "big"], "argument --weights: invalid choice: 'big'"),
        (["deploy", "frobnicate"], "invalid choice: 'frobnicate'"),
        (["plan", "t2v", "a", "--nosuch", "x\ny"], r"--nosuch x\ny"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_exit_2_and_one_line(
    argv: list[str], text: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and text in error and error.count("\n") == 1 and "--help" in error


def test_what_nobody_foresaw_is_one_line_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "plan", lambda args: [][0])
    assert main(["plan", "t2v", "a"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("wan-studio: IndexError, which nobody expected") and error.count("\n") == 1
    assert "list index out of range" in caplog.text


def test_a_port_in_use_is_told_before_anything_is_loaded(capsys: pytest.CaptureFixture) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["studio", "--port", str(port)]) == 2
    assert f"--port must be free; got {port}" in capsys.readouterr().err
    assert main(["studio", "--port", "99999"]) == 2


def test_plan_of_wan_nano_needs_no_torch_and_prints_json() -> None:
    code = (
        "import sys\nfrom cli import main as cli\n"
        "rc = cli.main(['plan', 't2v', 'a fox', '--json', '--seed', '5'])\n"
        "assert 'torch' not in sys.modules and 'gradio' not in sys.modules; sys.exit(rc)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    plan = json.loads(done.stdout)
    assert (plan["width"], plan["num_frames"], plan["seed"]) == (128, 17, 5)


def test_modes_lists_every_checkpoint(capsys: pytest.CaptureFixture) -> None:
    assert main(["modes", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [m["mode"] for m in data][:2] == ["t2v", "i2v"]
    assert {c["key"] for c in data[0]["checkpoints"]} >= {"wan2.1-t2v-1.3b", "wan2.2-t2v-a14b"}


def test_a_folder_here_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.chdir("/proc/self")
    assert main(["generate", "t2v", "a fox"]) == 2
    error = capsys.readouterr().err
    assert "--out must lie in a folder that can be written; /proc/" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_results_kept_for_the_command_line_are_swept_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    old = tmp_path / "cache" / "wan-studio" / "0a" / "t2v-1.mp4"
    upload = tmp_path / "cache" / "0b" / "upload.png"
    for file in (old, upload):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x")
        os.utime(file, (0, 0))
    argv = ["generate", "t2v", "a fox", "--frames", "1", "--steps", "1", "--preset", "quality"]
    assert main([*argv, "--out", str(tmp_path / "a.mp4")]) == 0
    assert not old.parent.exists() and len(list(old.parents[2].rglob("*.mp4"))) == 1
    assert upload.exists(), "an app that serves may show it"


def test_generate_here_writes_the_file_and_tells_about_it(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "deep" / "clip.mp4"
    argv = ["generate", "t2v", "a red circle moving right on a black background", "--frames", "5"]
    assert main([*argv, "--steps", "2", "--seed", "3", "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["file"] == str(out) and said["seed"] == 3 and said["plan"]["num_frames"] == 5
    assert out.read_bytes()[4:8] == b"ftyp"


@pytest.mark.slow
def test_ctrl_c_in_the_middle_is_exit_3_and_writes_nothing(tmp_path: Path) -> None:
    root, cache = Path(__file__).parents[2], tmp_path / "cache"
    argv = ["generate", "t2v", "a red circle", "--frames", "129", "--steps", "50", "--preset", "quality"]
    code = f"import sys; from cli import main as cli; print('here', flush=True); sys.exit(cli.main({argv}))"
    (tmp_path / "here").mkdir()
    terminal, theirs = pty.openpty()  # the progress bar is drawn on a terminal alone, one that has a width
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path / "here", stdout=subprocess.PIPE, stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(root), "GRADIO_TEMP_DIR": str(cache)}, text=True,
        # As at a terminal: what a shell starts in the background ignores Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    os.close(theirs)
    said = ""

    def more() -> bool:
        nonlocal said
        try:
            said += os.read(terminal, 4096).decode(errors="replace")
        except OSError:  # the other end is closed: the process has ended
            return False
        return True

    while "2/50" not in said:
        assert more(), said
    process.send_signal(signal.SIGINT)
    while more():
        pass
    assert (process.wait(), said.splitlines()[-1]) == (3, "wan-studio: stopped by the user"), said
    assert not list((tmp_path / "here").iterdir()) and not list(cache.rglob("*.mp4"))


def test_a_missing_image_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    argv = [
        "generate",
        "i2v",
        "it moves",
        "--image",
        str(tmp_path / "none.png"),
        "--out",
        str(tmp_path / "o.mp4"),
    ]
    assert main(argv) == 2
    assert "image" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    argv = [sys.executable, "-m", "cli", "modes", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()  # as `| head` does
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_a_pipe_that_broke_elsewhere_is_told(monkeypatch, capfd) -> None:
    def worker(_: object) -> int:
        raise BrokenPipeError("a worker went away")

    monkeypatch.setitem(cli.COMMANDS, "modes", worker)
    assert main(["modes"]) == 1
    assert "BrokenPipeError" in capfd.readouterr().err
