"""An engine once more, in another process: the file of the app that made it, and that app imported by its path.

In a checkout that is `spaces/<mode>/app.py`, in a bundle `app.py`; the folder `spaces` is no package.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

PREFIX = "wan_space_"


def source(engine: object) -> Path:
    """The file that an engine's class stands in: that of its app, whatever has started it."""
    return Path(inspect.getfile(type(engine))).resolve()


def load(path: Path) -> ModuleType:
    """Imports an app by its path, once a process; it has `service`, the engine, and `demo`, its page.

    What lies beside it is importable, as in a bundle.
    """
    path = path.resolve()
    name = PREFIX + path.parent.name
    if name in sys.modules and sys.modules[name].__file__ != str(path):  # of another folder of that name
        name += f"_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def loaded() -> list[Any]:
    """The engines of all apps that this process has imported so."""
    modules = [module for name, module in sys.modules.items() if name.startswith(PREFIX)]
    return [module.service for module in modules if hasattr(module, "service")]
