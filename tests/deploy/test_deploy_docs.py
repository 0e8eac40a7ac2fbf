"""docs/deploy.md against the command line: every command that it shows is one, and no command or flag is left out."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import pytest

from deploy import cli
from deploy.federation import ROOT, Federation, RouterEntry, SpaceEntry

TEXT = (ROOT / "docs" / "deploy.md").read_text()
STANDS_FOR = {"NAME": "t2v", "CHECKPOINT": "wan2.2-t2v-a14b", "MINUTES": "5"}
SHOWN = sorted(
    {
        line.partition("#")[0].strip()
        for line in re.findall(r"wan-studio deploy ([a-z][^`\n]*)", TEXT.replace("&&", "\n"))
    }
)


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser()
    cli.add_commands(parser)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


@pytest.mark.parametrize("line", SHOWN)
def test_deploy_docs_show_commands_that_exist(line: str) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    cli.add_commands(parser)
    parser.parse_args([STANDS_FOR.get(word, word) for word in line.split()])


def test_deploy_docs_leave_out_no_command_and_no_flag() -> None:
    commands = dict(parsers())
    assert len(SHOWN) > 5 and commands.keys() <= set(re.findall(r"^\| `([a-z]+)", TEXT, re.M))
    flags = {f for p in commands.values() for a in p._actions for f in a.option_strings if f.startswith("--")}
    assert {f for f in flags - {"--help"} if not re.search(rf"{f}(?![\w-])", TEXT)} == set()


@pytest.mark.parametrize("table", [Federation, SpaceEntry, RouterEntry])
def test_deploy_docs_leave_out_no_entry_of_the_file(table: type) -> None:
    known = table.model_fields.keys() - {"spaces", "router"}  # type: ignore[attr-defined]
    assert {name for name in known if not re.search(rf"`{name}`|^{name} =", TEXT, re.M)} == set()
