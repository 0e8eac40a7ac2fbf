"""`wan-studio`: the command line. Thin: every rule and default comes from the modes themselves."""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
from typing import Any, NoReturn

from cli import replay, workers
from cli.knobs import SHORT
from common.errors import InputError, shown
from common.modes.all import MODES
from common.modes.base import drawn
from deploy import cli as deploy_cli


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, as all bad input is."""

    def error(self, message: str) -> NoReturn:
        self.exit(InputError.exit_code, f"wan-studio: {shown(message, 500)}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    top = Parser(prog="wan-studio", description=__doc__)
    commands: argparse._SubParsersAction[Any] = top.add_subparsers(dest="command", metavar="COMMAND")

    studio = commands.add_parser("studio", help="run the Studio on this machine (the default)")
    studio.add_argument("--host", default="127.0.0.1")
    studio.add_argument("--port", type=int, default=7860)
    studio.add_argument(
        "--only", nargs="+", choices=list(MODES), metavar="MODE", help="mount these modes alone"
    )
    _weights(studio)
    workers.add_to(studio)

    generate = commands.add_parser(
        "generate", help="make one video: wan-studio generate t2v 'a red circle …'"
    )
    _request(generate)
    generate.add_argument("-o", "--out", help="file to write (./<mode>-<seed>.mp4)")
    generate.add_argument(
        "--server", help="URL of a Studio or a mode's Space, instead of working in this process"
    )
    generate.add_argument("--json", action="store_true", help="print one JSON object")

    plan = commands.add_parser("plan", help="say what a request would do, without doing it")
    _request(plan)
    plan.add_argument("--server", help="URL of the Studio or Space that would do it, instead of this machine")
    plan.add_argument("--json", action="store_true", help="print the Plan as JSON")

    replay.add_to(commands)

    modes = commands.add_parser("modes", help="list modes, checkpoints and presets")
    form = modes.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--markdown", action="store_true", help="the tables of the README")
    deploy_cli.add_to(commands)
    return top


def _weights(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--weights", choices=["nano", "wan"], default="nano", help="embedded Wan-Nano, or the real ones"
    )


def _request(command: argparse.ArgumentParser) -> None:
    command.add_argument("mode", choices=list(MODES), metavar="MODE", help=" | ".join(MODES))
    command.add_argument("words", nargs="?", metavar="PROMPT", help="same as --prompt")
    _weights(command)
    command.add_argument("--size", metavar="WxH", help="same as --width W --height H")
    command.add_argument("--reference", action="append", metavar="FILE", help="a reference image; repeatable")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other parameter"
    )
    names = dict.fromkeys(name for mode in MODES.values() for name in mode.request_type.model_fields)
    short = {full: s for s, full in SHORT.items()}
    for name in names:
        if name == "reference_images":
            continue
        flags = [f"--{name.replace('_', '-')}"] + ([f"--{short[name]}"] if name in short else [])
        command.add_argument(*flags, dest=f"field_{name}", metavar="VALUE")


def values(args: argparse.Namespace) -> dict[str, Any]:
    """The request's raw values from the command line; InputError for a flag that cannot be read."""
    mode = MODES[args.mode]
    raw: dict[str, Any] = {
        name.removeprefix("field_"): value
        for name, value in vars(args).items()
        if name.startswith("field_") and value is not None
    }

    def put(name: str, value: Any) -> None:
        if name in raw:
            raise InputError(name, "is given twice", hint="say it once")
        raw[name] = value

    if args.words is not None:
        put("prompt", args.words)
    if args.size is not None:
        width, _, height = args.size.lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise InputError("size", "must be WIDTHxHEIGHT", got=repr(args.size), hint="try 832x480")
        put("width", width)
        put("height", height)
    if args.reference:
        put("reference_images", args.reference)
    for pair in args.set:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError("set", "must be KEY=VALUE", got=repr(pair))
        put(key.replace("-", "_"), value)
    raw.setdefault("prompt", "")
    for slot in mode.slots:
        given = raw.get(slot.name)
        if isinstance(given, str):
            raw[slot.name] = [{"path": given}] if slot.many else {"path": given}
        elif isinstance(given, list):
            raw[slot.name] = [{"path": path} for path in given]
    return raw


def plan_command(args: argparse.Namespace) -> int:
    """Print the Plan of a request, for the machine that would run it."""
    from cli import planning

    mode, raw = MODES[args.mode], values(args)
    if args.server:
        from cli import server

        plan, backend = planning.there(server.at(args.server, mode), raw)
    else:
        plan, backend = planning.here(mode, raw, args.weights)
    print(plan.model_dump_json(indent=2) if args.json else planning.text(plan, backend))
    return 0


def generate_command(args: argparse.Namespace) -> int:
    """Make a video, here or on a server."""
    from cli.terminal import check_target, follow
    from common import cache

    mode = MODES[args.mode]
    raw = values(args)
    request = mode.parse(raw)
    raw["seed"] = drawn(request.seed)  # here, so that it can be named where the job ends early
    check_target(args.out)
    if args.server:
        from cli import server

        runner = server.at(args.server, mode)
    else:
        # The quick no, before torch is imported: of rules alone, for which machine this is, torch knows.
        mode.plan(request, weights=args.weights)
        import launch

        launch.prepare_environment(args.weights)
        cache.check_free()
        cache.sweep(cache.results())  # here nobody serves, and so nobody else looks after what is kept
        if args.weights == "wan":
            print(launch.download_notice("wan", [mode.key]), file=sys.stderr)
        from common.run.local import LocalRunner

        runner = LocalRunner(launch.load_space(mode.key).service)
    result = follow(runner, raw, args.out)
    print(json.dumps(result, ensure_ascii=False) if args.json else result["file"])
    return 0


def modes_command(args: argparse.Namespace) -> int:
    """List the modes."""
    from cli import tables

    if args.json:
        print(json.dumps(tables.as_data(), ensure_ascii=False, indent=2))
    else:
        print(tables.markdown() if args.markdown else tables.text())
    return 0


def studio_command(args: argparse.Namespace) -> int:
    """Serve the Studio until Ctrl-C."""
    import launch
    from common import ports

    os.environ.update(workers.settings(args))
    ports.check(args.port, host=args.host)
    launch.serve(args.host, args.port, args.weights, args.only)
    return 0


COMMANDS = {
    "studio": studio_command,
    "generate": generate_command,
    "plan": plan_command,
    "replay": replay.replay_command,
    "recipe": replay.recipe_command,
    "modes": modes_command,
    "deploy": deploy_cli.run,
}


def _heard() -> bool:
    """Whether somebody still reads what is printed: `| head` has seen enough, and that is no error to tell."""
    poll = select.poll()
    poll.register(sys.stdout, select.POLLOUT)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return True
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
    return False


def main(argv: list[str] | None = None) -> int:
    """Entry point: 0 done, 2 bad input, 3 cancelled, 1 anything else."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help")):
        argv = ["studio", *argv]
    args = parser().parse_args(argv)
    try:
        code = COMMANDS[args.command](args)
        sys.stdout.flush()  # while somebody still listens to what goes wrong with it
        return code
    except KeyboardInterrupt:
        print("wan-studio: stopped by the user", file=sys.stderr)
        return 3
    except Exception as error:
        if isinstance(error, BrokenPipeError) and not _heard():
            return 1
        from common.run.runner import explain

        known = explain(error)
        print(f"wan-studio: {known}", file=sys.stderr)
        if getattr(args, "json", False):
            print(json.dumps({"failed": known.facts()}, ensure_ascii=False))
        return known.exit_code


if __name__ == "__main__":
    sys.exit(main())
