"""Who may import whom, as the folders promise; and that `spaces` stays the package of that name."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BANNED = {
    # who: what it may not import
    "common/catalog.py": ("common",),
    "common/errors.py": ("common",),
    "common/contract.py": ("common.modes", "common.panels", "common.runtime", "gradio", "torch"),
    "common/modes": ("common.panels", "common.runtime", "common.annotate", "gradio", "torch", "router"),
    "common/panels": ("common.runtime", "common.annotate", "torch", "diffusers", "router", "nano"),
    "common/runner.py": ("common.panels", "common.runtime", "gradio", "torch"),
    "common/remote.py": ("common.panels", "common.runtime", "gradio", "torch"),
    "common/space.py": ("common.runtime", "common.annotate", "torch", "router"),
    "common/runtime": ("common.panels", "router", "gradio"),
    "router": ("common.runtime", "common.annotate", "torch", "diffusers", "transformers", "nano", "spaces"),
    "deploy": ("common.runtime", "diffusers", "spaces"),  # `bake` imports torch, when it is asked to
}


def files(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.suffix else sorted(path.rglob("*.py"))


def imports(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("place", BANNED)
def test_layers(place: str) -> None:
    for file in files(place):
        for name in imports(file):
            for banned in BANNED[place]:
                assert name != banned and not name.startswith(banned + "."), f"{file} imports {name}"


def test_files_of_strangers_are_opened_in_one_place() -> None:
    own = {
        "common/opening.py",
        "common/annotate/cache.py",
        "common/runtime/video.py",
    }  # the last two: our own
    for place in ("common", "router", "spaces", "launch.py", "cli.py"):
        for file in files(place):
            if file.relative_to(ROOT).as_posix() not in own:
                text = file.read_text()
                assert "Image.open(" not in text and "av.open(" not in text, f"{file} opens media by itself"


def test_nobody_imports_a_space() -> None:
    for place in ("common", "router", "deploy", "nano", "bench"):
        for file in files(place):
            assert not any(n == "spaces" or n.startswith("spaces.") for n in imports(file)), file


def test_the_folder_spaces_does_not_shadow_the_package() -> None:
    assert not (ROOT / "spaces" / "__init__.py").exists()
    code = "import spaces; print(spaces.__file__); spaces.GPU"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "site-packages" in done.stdout


def test_what_plans_draws_and_asks_loads_no_torch() -> None:
    modules = (
        "common.catalog", "common.contract", "common.modes", "common.runner", "common.remote", "common.panels",
        "common.space", "router.app",
    )  # fmt: skip
    code = (
        "import importlib, sys\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        "    assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules), name\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
