"""YAML that every reader takes as it was meant, and files that are not written over by accident."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from common.errors import InputError

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Read as something else than text by one version of YAML or the other, as numbers are ("1e3", "0o7", "1_0")."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def text(documents: Iterable[Mapping[str, Any]], about: str) -> str:
    """One file of them, under `about` as its comment."""
    head = "".join(f"# {line}".rstrip() + "\n" for line in about.splitlines())
    made = [yaml.dump(d, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=118) for d in documents]
    return head + "---\n".join(made)


def write_all(files: Mapping[Path, str], *, force: bool) -> None:
    """Write files and their folders; InputError where one of them is there already, unless `force`."""
    if there := [file for file in files if file.exists() and not (force and file.is_file())]:
        rule = "must not be there yet" if there[0].is_file() else "must be no folder"
        raise InputError("--out", f"{rule}: {there[0]}", hint="--force writes over files")
    for file, content in files.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise InputError("--out", f"must be a place that can be written: {file}: {why}") from None
