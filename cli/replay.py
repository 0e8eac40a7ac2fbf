"""`wan-studio replay` and `recipe`: a file's steps made again with a knob changed, or saved to be made again."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from cli import knobs
from cli.finding import Finder
from cli.opened import opened
from common import cache
from common.errors import InputError
from common.recipe import Recipe


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """The two commands with their arguments."""
    replay = commands.add_parser("replay", help="make a video again from its file, or from a recipe")
    replay.add_argument("file", metavar="FILE", help="an mp4 of Wan Studio, or a recipe (JSON)")
    replay.add_argument(
        "--set", action="append", default=[], metavar="[STEP.]KEY=VALUE",
        help="change one value, or file, of the last step, or of STEP: its number, or its mode",
    )  # fmt: skip
    replay.add_argument(
        "--input", action="append", default=[], metavar="FILE",
        help="a file that it was made from, known by its content; repeatable",
    )  # fmt: skip
    replay.add_argument("--weights", choices=["nano", "wan"], help="other weights than it was made with")
    replay.add_argument("-o", "--out", help="file to write (./<mode>-<seed>-replay.mp4)")
    replay.add_argument(
        "--server", help="URL of a Studio or a mode's Space, instead of working in this process"
    )
    replay.add_argument(
        "--dry-run", action="store_true", help="say what would be made, and how long it takes"
    )
    replay.add_argument("--json", action="store_true", help="print one JSON object")

    recipe = commands.add_parser("recipe", help="save the steps that led to a video as a recipe (JSON)")
    recipe.add_argument("file", metavar="FILE", help="an mp4 of Wan Studio, or a recipe to give another name")
    recipe.add_argument("--name", help="what it is called")
    recipe.add_argument("-o", "--out", metavar="FILE.json", help="file to write (it is printed)")


def recipe_command(args: argparse.Namespace) -> int:
    """Print or write the recipe of a file, with the names of what it was made from where those are known."""
    target = Path(args.out) if args.out else None
    if target is not None and target.suffix.lower() != ".json":
        raise InputError(
            "--out", "must end in .json", got=repr(args.out), hint=f"try {target.with_suffix('.json')}"
        )
    source = opened(args.file, args.name)
    recipe = _with_names(source.recipe, Finder([], source.path.absolute().parent))
    if target is None:
        print(recipe.written(), end="")
        return 0
    try:
        if target.is_dir():
            raise InputError("--out", "must be a file", got=repr(args.out))
        with cache.whole(target) as part:
            part.write_text(recipe.written(), "utf-8")
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise InputError("--out", f"cannot be written: {why}", hint="try another name and folder") from None
    print(target)
    return 0


def _with_names(recipe: Recipe, finder: Finder) -> Recipe:
    def named(source: Any) -> Any:
        found = finder.find(source.sha256) if source.sha256 and not source.name else None
        name = found.name if found and found.name.isprintable() else ""
        return source.model_copy(update={"name": name[:200]}) if name else source

    steps = [s.model_copy(update={"sources": [named(source) for source in s.sources]}) for s in recipe.steps]
    return recipe.model_copy(update={"steps": steps})


def replay_command(args: argparse.Namespace) -> int:
    """Make a file's steps again, or say what that would be."""
    from cli import replaying

    source = opened(args.file)
    turns = knobs.turned(source.recipe, args.set)
    told = replaying.replay(source, turns, args)
    if args.json:
        print(json.dumps(told, ensure_ascii=False))
    elif args.dry_run:
        print(replaying.text(told))
    else:
        print(told["file"])
    sys.stdout.flush()
    return 0
