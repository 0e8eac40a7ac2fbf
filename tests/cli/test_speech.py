"""S2V on the command line: a run that is killed with -9 goes on from the clips that it had finished."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cli import main as cli
from tests.common.media import sound_files
from tests.spaces import media_for_modes as media

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = sound_files.write(
        tmp_path / "a.wav", "pcm_s16le", 16_000, "s16", "mono", sound_files.values(16_000, 1, 1.5)
    )
    argv = [
        "generate", "s2v", "a red circle on a black background", "--seed", "11", "--steps", "8", "--json",
        "--image", str(ROOT / "common/examples/red-circle.png"), "--set", f"audio={sound}",
    ]  # fmt: skip

    def made(cache: str) -> tuple[np.ndarray, list[str]]:
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / cache))
        assert cli.main([*argv, "--out", str(tmp_path / f"{cache}.mp4")]) == 0
        said = json.loads(capsys.readouterr().out)
        return media.read(said["file"]), said["notices"]

    kept = tmp_path / "killed"
    env = {**os.environ, "GRADIO_TEMP_DIR": str(kept)}
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *argv, "--out", str(tmp_path / "no.mp4")], cwd=ROOT, env=env
    )
    while not list(kept.glob("**/segments/**/*.npy")):
        assert process.poll() is None, "it ended before it had made a clip"
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -9 and not (tmp_path / "no.mp4").exists()
    frames, notices = made("killed")
    assert any("1 of 2 segments" in text for text in notices)
    whole, notices = made("whole")
    assert len(whole) == 24 and not any("segments were there" in text for text in notices)
    np.testing.assert_array_equal(frames, whole)
