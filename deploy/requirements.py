"""The requirements of a bundle: pinned, complete, and without what the platform brings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from deploy.errors import DeployError
from deploy.federation import ROOT
from deploy.trace import Closure

PLATFORM = ("gradio", "spaces", "huggingface-hub")
"""Installed by the Space itself, in the version of `sdk_version`: naming them here breaks the build."""

TORCH = {"torch": "2.11.0", "torchvision": "0.26.0"}
"""The newest that ZeroGPU offers (2.8.0, 2.9.1, 2.10.0, 2.11.0); constraints.txt has the laptop's."""

WITH_GRADIO = frozenset({
    "gradio", "gradio_client", "spaces", "huggingface_hub", "pydantic", "pydantic_core", "httpx", "numpy",
    "PIL", "pandas", "fastapi", "starlette", "uvicorn", "anyio", "yaml", "packaging", "requests",
    "typing_extensions", "orjson", "jinja2", "tomlkit", "tqdm", "filelock", "fsspec", "mcp", "safehttpx",
})  # fmt: skip
"""Modules that a Space has anyway, through gradio[oauth,mcp] and its dependencies."""

_DISTRIBUTIONS = {"cv2": "opencv-python-headless", "sklearn": "scikit-learn"}
_COMES_WITH = {"safetensors": "diffusers", "tokenizers": "transformers", "regex": "transformers"}
_HEAVY = frozenset({"torch", "torchvision", "diffusers", "transformers", "accelerate", "peft", "torchao"})


@cache
def pins(root: Path = ROOT) -> Mapping[str, str]:
    """Name to the version that was tested here (constraints.txt), with the platform's torch."""
    found: dict[str, str] = {}
    for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition("==")
        if version:
            found[canonicalize_name(name.strip())] = version.strip()
    return found | TORCH


def gradio_version(root: Path = ROOT) -> str:
    """The `sdk_version` of every Space."""
    return pins(root)["gradio"]


def requirements(source: Path, found: Closure, root: Path = ROOT) -> str:
    """The text of a bundle's requirements.txt: the folder's own lines, each pinned.

    A folder without one gets a line for each import. DeployError when a line names a platform package, or an
    import has no line.
    """
    lines: list[str] = []
    named: set[str] = set()
    given = source.is_file()
    text = source.read_text(encoding="utf-8") if given else ""
    where = source.relative_to(root)
    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        name = _name(line, where)
        if name in PLATFORM:
            raise DeployError(f"{where} must not name {name}: the Space brings its own; delete the line")
        named.add(name)
        lines.append(_pinned(line, name, root))
    for module, file in sorted({**found.late, **found.foreign}.items()):
        dist = canonicalize_name(_COMES_WITH.get(module, _DISTRIBUTIONS.get(module, module)))
        # A late import of what this checkout is not tested with is an extra: its caller says how to get it.
        extra = module in found.late and dist not in pins(root)
        if module in WITH_GRADIO or dist in named or extra:
            continue
        if not given:
            named.add(dist)
            lines.append(_pinned(dist, dist, root))
        else:
            raise DeployError(f"{where} must name {dist}: {file.relative_to(root)} imports {module}; add it")
    return "".join(f"{line}\n" for line in lines)


def _name(line: str, where: Path) -> str:
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        raise DeployError(f"{where} must hold one requirement a line; got {line!r}") from None


def _pinned(line: str, name: str, root: Path) -> str:
    # What Gradio itself depends on stays a range: the platform has chosen a version already.
    if "==" in line or name in {canonicalize_name(n) for n in WITH_GRADIO} | {"pillow"}:
        return line
    version = pins(root).get(name)
    if version is None:
        raise DeployError(f"{name} must have a version; write {name}==… or add it to constraints.txt")
    return f"{name}=={version}"


def refuse_heavy(found: Closure, root: Path = ROOT) -> None:
    """The router draws and calls; anything that loads torch does not belong in its bundle."""
    every = {**found.late, **found.foreign}
    for module in sorted(_HEAVY & set(every)):
        file = every[module].relative_to(root)
        raise DeployError(
            f"the router's bundle must be free of {module}; {file} imports it: move it to runtime"
        )
