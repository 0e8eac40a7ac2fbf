"""No small input takes an app down: bombs are refused by their headers, and what is cancelled lets go."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.common.media.clip_files import repeated
from tests.common.panels.test_mask import bomb
from tests.security.attacker import META, Attacker
from tests.security.conftest import House
from tests.spaces import media_for_modes as material

pytestmark = pytest.mark.slow
ROOM = 400_000_000
"""Bytes that a process may take for a refusal and a tiny clip: a bomb took 1.7 GB, a clip 2.2."""
SHORT = {"prompt": "a red square", "num_inference_steps": 1, "num_frames": 5, "submode": "gray"}


class Memory:
    """How far the memory of processes rises above what it is now, by the kernel's own mark."""

    def __init__(self, pids: list[int]) -> None:
        self.pids = pids
        for pid in pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.before = {pid: self._read(pid, "VmRSS") for pid in pids}

    def _read(self, pid: int, name: str) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    def risen(self) -> int:
        return max(self._read(pid, "VmHWM") - self.before[pid] for pid in self.pids)


def below(pids: list[int]) -> list[int]:
    """The processes that do the work: a program of `deploy local` stands below its leash."""
    found = list(pids)
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += below([int(child) for child in (task / "children").read_text().split()])
    return found


def test_a_picture_of_26_kb_that_is_13000_pixels_wide(house: House, tmp_path: Path) -> None:
    content = bomb()
    assert len(content) < 30_000
    file = tmp_path / "bomb.png"
    file.write_bytes(content)
    memory, tried = Memory(below(house.pids)), 0
    data_url = "data:image/png;base64," + base64.b64encode(content).decode()
    for url in house.apps:
        attacker = Attacker(url)
        handle = {"path": attacker.upload(file), **META}
        config = attacker.config()
        parts = {part["id"]: part for part in config["components"]}
        for dependency in config["dependencies"]:
            inputs, outputs = ([parts[i]["type"] for i in dependency[end]] for end in ("inputs", "outputs"))
            if inputs == ["textbox"] and "imageeditor" in outputs:
                attacker.call(dependency["id"], [data_url])
                tried += 1
            elif inputs == ["imageeditor"]:
                drawing = {"background": handle, "layers": [handle], "composite": handle, "id": None}
                attacker.call(dependency["id"], [drawing])
                tried += 1
            elif "image" in inputs and dependency["queue"] is False:
                attacker.call(dependency["id"], [handle if kind == "image" else None for kind in inputs])
                tried += 1
    answer = Attacker(house.modes["vace"]).named(
        "generate",
        **{**SHORT, "submode": "firstframe"},
        image={"path": Attacker(house.modes["vace"]).upload(file), **META},
    )
    assert "megapixels" in answer
    assert tried >= 3
    assert memory.risen() < ROOM, f"{memory.risen() / 1e6:.0f} MB"


@pytest.mark.parametrize(
    ("width", "height", "frames", "fps", "rule"),
    [
        (4000, 4000, 600, 10, "megapixels"),
        (64, 64, 8000, 60, "frames"),
        (64, 64, 700, 1, "s long"),
    ],
)
def test_a_small_clip_of_much_work(
    house: House, tmp_path: Path, width: int, height: int, frames: int, fps: int, rule: str
) -> None:
    file = repeated(tmp_path / "clip.mp4", width, height, frames, fps)
    assert file.stat().st_size < 20_000_000
    attacker = Attacker(house.modes["vace"])
    handle = {"path": attacker.upload(file), **META}
    memory = Memory(below(house.pids))
    for name in ("generate", "prepare"):
        assert rule in attacker.named(name, **SHORT, video=handle), name
    assert memory.risen() < ROOM, f"{memory.risen() / 1e6:.0f} MB"


def test_six_cancelled_clips_do_not_hold_up_the_next_job(house: House, tmp_path: Path) -> None:
    """The clips are within every limit, and take long; the next job ends, which it would not before them."""
    url = house.modes["vace"]
    attacker = Attacker(url)
    long = repeated(tmp_path / "long.mp4", 3840, 2160, 1200, 5)
    slow = {"path": attacker.upload(long), **META}
    quick = {"path": attacker.upload(Path(material.clip(tmp_path / "quick.mp4")["path"])), **META}
    config = attacker.config()
    number = next(d["id"] for d in config["dependencies"] if d["api_name"] == "generate")
    fields = attacker.http.get(f"{url}gradio_api/info").json()["named_endpoints"]["/generate"]["parameters"]
    values: dict[str, Any] = {p["parameter_name"]: p.get("parameter_default") for p in fields}
    values |= {**SHORT, "submode": "firstclip", "num_frames": 17, "video": slow}
    for index in range(6):
        session = f"cancelled{index}"
        body = {"fn_index": number, "data": list(values.values()), "session_hash": session}
        joined = httpx.post(f"{url}gradio_api/queue/join", json=body, timeout=30).json()
        stop = {"session_hash": session, "fn_index": number, "event_id": joined["event_id"]}
        assert httpx.post(f"{url}gradio_api/cancel", json=stop, timeout=30).status_code == 200
    assert "event: complete" in attacker.named("generate", **SHORT, video=quick)
