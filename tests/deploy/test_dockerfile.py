"""The Dockerfile against what it stands for: the same paths, ports and versions, and its own shell lines run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deploy import containers
from deploy.federation import ROOT
from deploy.front_matter import PYTHON

TEXT = (ROOT / "Dockerfile").read_text()
LINES = TEXT.replace("\\\n", " ").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def stage(name: str) -> list[str]:
    """The lines of one target."""
    start = next(i for i, line in enumerate(LINES) if re.fullmatch(rf"FROM \S+ AS {name}", line))
    rest = LINES[start + 1 :]
    return rest[: next((i for i, line in enumerate(rest) if line.startswith("FROM ")), len(rest))]


def test_it_says_what_the_manifests_say() -> None:
    base = " ".join(stage("base"))
    assert f"GRADIO_SERVER_PORT={containers.PORT}" in base
    assert f"127.0.0.1:{containers.PORT}{containers.HEALTH}" in base
    assert f"--uid {containers.USER} " in base and f"python:{PYTHON}-slim" in TEXT
    assert f'VOLUME ["{containers.WEIGHTS}", "{containers.DATA}"]' in base
    for name in ("cpu", "cuda"):
        last = [line for line in stage(name) if line][-1]
        assert last == f"USER {containers.USER}:{containers.USER}", "nobody's administrator"


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_its_own_line_reads_what_is_to_be_installed(name: str, tmp_path: Path) -> None:
    (line,) = [line for line in stage(name) if "tomllib" in line]
    shell = line.removeprefix("RUN ").partition("&&")[0].replace("/tmp/", f"{tmp_path}/")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    extras = "hopper blackwell"
    shell = re.sub(r"^python ", f"{sys.executable} ", shell)
    subprocess.run(["sh", "-ec", shell], cwd=tmp_path, env={"EXTRAS": extras}, check=True)
    optional = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *optional["hopper"], *optional["blackwell"]]
    assert (tmp_path / "requirements.txt").read_text().splitlines() == wanted
    (default,) = [re.search(r'"(.*)"', line)[1] for line in stage(name) if line.startswith("ARG EXTRAS")]  # type: ignore[index]
    assert set(default.split()) <= optional.keys()


def test_what_is_copied_is_every_package_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    packages = {p.partition(".")[0] for p in PROJECT["tool"]["setuptools"]["packages"]}
    modules = {f"{m}.py" for m in PROJECT["tool"]["setuptools"]["py-modules"]}
    assert "*" in lines and packages | modules | {"spaces", PROJECT["project"]["readme"]} <= let_in
    assert all((ROOT / name).exists() for name in let_in) and not let_in & {"tests", "docs", ".git", ".venv"}
