"""A stand-in Hub, a patient `Hub` that does not really sleep, and a checkout small enough to read."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from deploy import federation, targets
from deploy.hub import Hub
from deploy.push import Push
from deploy.targets import Target
from tests.hub_stand_in import Hub as StandIn

FILES = {
    "constraints.txt": "gradio==6.31.0\nav==18.1.0\ntorch==2.13.0\n",
    "common/__init__.py": '"""Shared."""\n',
    "common/contract.py": "import pydantic\n\nNAME = 'contract'\n",
    "common/heavy.py": "import torch\n",
    "common/table.json": "{}\n",
    "common/unused.py": "import einops\n",
    "nano/__init__.py": "import av\n",
    "nano/weights/dense/model.safetensors": "tiny\n",
    "router/__init__.py": "",
    "router/app.py": "from common import contract\n\nprint(contract.NAME)\n",
    "spaces/t2v/app.py": "import spaces\nfrom common import contract, heavy\nimport nano\n",
    "spaces/t2v/requirements.txt": "# what the platform has not\ntorch\nav\n",
    "spaces/i2v/app.py": "import spaces\nfrom common import contract\n\ndef late():\n    import i2v_engine\n",
    "spaces/i2v/i2v_engine.py": "import av\n",
    "spaces/i2v/requirements.txt": "av>=16\n",
}


@dataclass
class Desk:
    """What a test works with: the stand-in, our Hub on it, the checkout, and what was said and slept."""

    server: StandIn
    hub: Hub
    root: Path
    said: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def targets(self, **changes: object) -> list[Target]:
        """The demo federation of account ada; `changes` go into every mode target."""
        file = federation.load(profile="demo")
        found = targets.resolve(file, "ada", self.root)
        return [t if t.is_router else replace(t, **changes) for t in found]  # type: ignore[arg-type]

    def push(self, wanted: list[Target] | None = None, **kwargs: object) -> dict[str, str]:
        """Push and give each Space's outcome by name."""
        push = Push(self.hub, root=self.root, probe=lambda *_: "answers", **kwargs)  # type: ignore[arg-type]
        return {r.target.name: r.outcome for r in push.run(self.targets() if wanted is None else wanted)}

    def write(self, path: str, text: str) -> None:
        """Change the checkout."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit_touching(self, path: str, text: str) -> str:
        """Change one file and commit; the sha."""
        self.write(path, text)
        return self.commit()

    def commit(self) -> str:
        """Commit everything in the checkout; the sha."""
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run([*git, "add", "-A"], cwd=self.root, check=True)
        subprocess.run([*git, "commit", "-qm", "change"], cwd=self.root, check=True)
        out = subprocess.run(
            [*git, "rev-parse", "HEAD"], cwd=self.root, check=True, capture_output=True, text=True
        )
        return out.stdout.strip()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A fresh stand-in Hub and checkout."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the stand-in speaks plain LFS
    said: list[str] = []
    slept: list[float] = []
    with StandIn().serve() as server:
        api = HfApi(endpoint=server.url, token="hf_write")
        hub = Hub(api, sleep=slept.append, say=said.append)
        desk = Desk(server, hub, tmp_path / "checkout", said, slept)
        for path, text in FILES.items():
            desk.write(path, text)
        subprocess.run(["git", "init", "-q", str(desk.root)], check=True)
        desk.commit()
        yield desk
