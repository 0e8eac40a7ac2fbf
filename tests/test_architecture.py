"""Who may import whom, as the folders promise; and that `spaces` stays the package of that name."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from deploy.trace import closure

ROOT = Path(__file__).parents[1]

FLOORS = (
    # from the ground up: a file imports from its own floor and from those below. A folder is the files in it, and
    # `/**` those of its folders too
    "common/__init__.py", "common/errors.py", "common/budgets.py", "common/speech.py", "common/shortcuts.py",
    "common/catalog.py",
    "common/nano_words.py", "common/ports.py", "common/hub.py", "common/quota.py", "common/versions.py",
    "common/contract.py", "common/settings.py", "common/cache.py",
    "common/cost.py", "common/memory.py", "common/placement.py",
    "common/modes",
    "common/recipe.py", "common/retrace.py",
    "common/enhance",
    "common/media",
    "nano",
    "common/annotate",
    "common/control",
    "common/driving",
    "common/run",
    "common/runtime/__init__.py", "common/runtime/again.py", "common/runtime/together.py", "common/runtime/fast",
    "common/runtime/device", "common/runtime/pipelines/s2v",
    "common/runtime/model",
    "common/runtime/job.py", "common/runtime/crew", "common/runtime/sample", "common/runtime/pipelines",
    "common/runtime/reader.py", "common/runtime/zerogpu.py", "common/runtime/spoken.py",
    "common/runtime/lending",
    "common/runtime/stocked.py",
    "common/runtime/engine.py", "common/runtime/segmented.py", "common/runtime/joined.py",
    "nano/train", "nano/judge",
    "common/page",
    "common/panels",
    "common/space.py",
    "spaces/**",
    "router/**",
    "launch.py",
    "deploy",
    "cli",
    "bench", "bench/gpu",
)  # fmt: skip

LIGHT = ("common/space.py", "common/retrace.py", "common/panels/all.py", "common/run/remote.py", "router/app.py")
"""What they reach, in functions too, is free of torch: it plans, draws and asks."""

DEAF = ("common/runtime/engine.py", "common/control/makers.py", "common/driving/prepare.py",
        "common/modes/all.py", "common/enhance/enhancer.py", "common/run/local.py")  # fmt: skip
"""What they reach is free of gradio: it works, plans and waits."""


@cache
def product() -> tuple[Path, ...]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    files = [Path(line) for line in listed.stdout.splitlines()]
    return tuple(f for f in files if f.parts[0] not in ("tests", "docs") and (ROOT / f).exists())


def floors_of(file: Path) -> list[int]:
    def lives(floor: str) -> bool:
        if floor.endswith("/**"):
            return file.is_relative_to(floor.removesuffix("/**"))
        return str(file) == floor or (not floor.endswith(".py") and str(file.parent) == floor)

    return [i for i, floor in enumerate(FLOORS) if lives(floor)]


@cache
def imported(file: Path) -> frozenset[Path]:
    """Files of ours that a file imports, anywhere in it; a package only where something of its own is meant."""
    found: set[Path | None] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            found |= {file_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = file_of(node.module)
            found |= {file_of(f"{node.module}.{alias.name}") or whole for alias in node.names}
    return frozenset(f for f in found if f is not None and f != file)


def file_of(name: str) -> Path | None:
    path = Path(*name.split("."))
    names = (path.with_suffix(".py"), path / "__init__.py")
    return next((f for f in names if (ROOT / f).is_file() and path.parts[0] != "spaces"), None)


def test_every_file_has_its_floor() -> None:
    lost = {str(file): floors_of(file) for file in product() if len(floors_of(file)) != 1}
    assert not lost
    empty = set(range(len(FLOORS))) - {floors_of(file)[0] for file in product()}
    assert not [FLOORS[i] for i in empty]


def test_nobody_imports_from_a_floor_above() -> None:
    for file in product():
        for other in imported(file):
            assert floors_of(other) <= floors_of(file), f"{file} imports {other}"


def test_no_import_goes_in_a_circle() -> None:
    graph = {str(file): [str(other) for other in imported(file)] for file in product()}
    TopologicalSorter(graph).prepare()  # CycleError names the files


@pytest.mark.parametrize("start", LIGHT)
def test_what_plans_draws_and_asks_reaches_no_torch(start: str) -> None:
    found = closure(ROOT, [ROOT / start])
    assert not {"torch", "diffusers", "transformers"} & {*found.foreign, *found.late}


@pytest.mark.parametrize("start", DEAF)
def test_what_works_reaches_no_gradio(start: str) -> None:
    found = closure(ROOT, [ROOT / start])
    assert "gradio" not in {*found.foreign, *found.late}


def test_what_plans_draws_and_asks_loads_no_torch() -> None:
    """Through what others import as well."""
    modules = [Path(start).with_suffix("").as_posix().replace("/", ".") for start in LIGHT]
    code = (
        "import importlib, sys\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        "    assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules), name\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_files_of_strangers_are_opened_in_one_place() -> None:
    own = {
        "common/media/opening.py",
        "common/control/cache.py",
        "common/media/lossless.py",
        "common/media/write.py",
    }  # the last three: our own
    for file in product():
        if file.parts[0] in ("common", "router", "spaces", "launch.py", "cli") and str(file) not in own:
            text = (ROOT / file).read_text()
            assert "Image.open(" not in text and "av.open(" not in text, f"{file} opens media by itself"


def test_what_lies_beside_an_app_has_a_name_of_its_own() -> None:
    """The launcher imports it from one path for all modes."""
    beside = [file.stem for file in product() if file.parts[0] == "spaces" and file.name != "app.py"]
    assert len(beside) == len(set(beside))
    assert not set(beside) & {*sys.stdlib_module_names, "common", "router", "nano", "deploy", "cli", "launch"}


def test_the_folder_spaces_does_not_shadow_the_package() -> None:
    assert not (ROOT / "spaces" / "__init__.py").exists()
    code = "import spaces; print(spaces.__file__); spaces.GPU"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "site-packages" in done.stdout
