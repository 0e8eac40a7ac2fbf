"""CONTRIBUTING's page on adding a mode, followed to the letter in a copy of the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

CODE = """
import importlib.util, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
spec = importlib.util.spec_from_file_location("wan_space_postcard", "spaces/postcard/app.py")
app = importlib.util.module_from_spec(spec); sys.modules[spec.name] = app; spec.loader.exec_module(app)
assert Path(app.service.mode.__class__.__module__.replace(".", "/") + ".py").is_file()
request = app.service.mode.parse({"prompt": "a red circle", "num_inference_steps": 1, "seed": 1})
*_, (path, event) = app.service.generate(request, app.service.plan(request))
print(event.type, event.plan.num_frames, path)
"""


def add(file: Path, before: str, line: str) -> None:
    text = file.read_text()
    assert text.count(before) == 1, (file, before)
    file.write_text(text.replace(before, line + before))


def test_a_mode_is_added_by_what_the_page_says(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    names = ("common", "nano", "spaces", "router", "deploy", "cli", "launch.py")
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    page = (ROOT / "CONTRIBUTING.md").read_text()
    for path, code in re.findall(r"```python\n# (\S+)\n(.*?)```", page, re.DOTALL):
        (copy / path).write_text(code)
    shutil.copytree(copy / "spaces" / "t2v", copy / "spaces" / "postcard")
    app = copy / "spaces" / "postcard" / "app.py"
    app.write_text(app.read_text().replace("t2v", "postcard").replace("T2V", "Postcard"))
    add(copy / "common" / "contract.py", '"t2v", "i2v"', '"postcard", ')
    add(
        copy / "common" / "modes" / "all.py",
        '    "t2v": t2v.MODE,\n',
        '    "postcard": postcard.MODE,\n',
    )
    add(
        copy / "common" / "modes" / "all.py",
        "from common.modes.base",
        "from common.modes import postcard\n",
    )
    add(
        copy / "common" / "panels" / "all.py",
        '    "t2v": T2VPanel,\n',
        '    "postcard": PostcardPanel,\n',
    )
    add(
        copy / "common" / "panels" / "all.py",
        "from common.panels.t2v",
        "from common.panels.postcard import PostcardPanel\n",
    )

    def run(*command: str) -> str:
        env = {"GRADIO_TEMP_DIR": str(tmp_path / "gradio"), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
        done = subprocess.run(
            [sys.executable, *command], cwd=copy, env={**env, "PYTHONPATH": str(copy)},
            capture_output=True, text=True, timeout=280,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    assert run("-c", CODE).splitlines()[-1].startswith("done 5 ")
    assert "Postcard: A prompt becomes five frames." in run("-m", "cli", "modes")
