"""`wan-studio deploy …`: one subcommand for each thing that can be done with a federation."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from huggingface_hub import HfApi

from common.errors import Cancelled, InputError, StudioError
from deploy import ahead, bake, doctor, drain, federation, plan, prices, status, targets, verify, wait
from deploy import destroy as destroying
from deploy import rollback as rolling
from deploy.hub import Hub
from deploy.push import Push
from deploy.restart import Restart
from deploy.result import Result
from deploy.targets import Target

ABOUT = """plan        what a push would change, without changing it
push        make the Hub like this checkout, prove that it answers
status      how every Space is
logs        the log of a Space
verify      commit, contract and one call without a GPU
restart     start Spaces anew, prove that they answer
rollback    back to the deployment before
destroy     delete the federation's Spaces
doctor      token, plan limits, quota, disk, bundles
bake        write a bf16 (or fp8) repack of an fp32 checkpoint to your account
bundle      write the bundles into a folder
spaces      name and id of every Space, as a CI job wants them
local       run the same bundles on this machine, one process each
compose     write a Compose file: the same Spaces as containers of one machine
kubernetes  write manifests for a cluster; with --ray one Studio over a Ray cluster"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Hang `deploy` and its subcommands under a parser; `run(args)` does the work."""
    parser = subparsers.add_parser(
        "deploy",
        help="push the federation to the Hub, or run its bundles here",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_commands(parser)
    return parser


def add_commands(parser: argparse.ArgumentParser) -> None:
    """The subcommands and their flags."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--file", type=Path, help="federation file (deploy/federation.toml)")
    common.add_argument("--profile", help="a profile of that file, such as demo")
    common.add_argument(
        "--namespace", help="account or organization; the file's or the token's own otherwise"
    )
    common.add_argument("--only", metavar="NAME", help="one Space, or all Spaces of one mode")
    yes = argparse.ArgumentParser(add_help=False)
    yes.add_argument("--yes", action="store_true", help="do not ask")
    sub = parser.add_subparsers(dest="deploy_command", required=True, metavar="command")

    adopt = argparse.ArgumentParser(add_help=False)
    adopt.add_argument(
        "--adopt", metavar="NAME", action="append", default=[],
        help="take over this Space although no push has made it; its other files are deleted",
    )  # fmt: skip
    waiting = argparse.ArgumentParser(add_help=False)
    waiting.add_argument(
        "--wait", type=float, default=wait.LONGEST / 60, metavar="MINUTES", help="per Space (60)"
    )
    draining = argparse.ArgumentParser(add_help=False)
    draining.add_argument(
        "--drain-seconds", type=_seconds, default=drain.LONGEST, metavar="N",
        help="how long a mode may finish its jobs first, where its WAN_ADMIN is known here (600)",
    )  # fmt: skip
    draining.add_argument(
        "--no-drain", dest="drain_seconds", action="store_const", const=0.0, help="lose the jobs that run"
    )
    p = sub.add_parser("plan", parents=[common, adopt])
    p.add_argument("--json", action="store_true", help="one JSON object")
    p.add_argument(
        "--hardware", action="store_true", help="instead: the Hub's machines that hold each checkpoint, and prices"
    )
    p = sub.add_parser("push", parents=[common, yes, adopt, waiting, draining])
    p.add_argument("--pr", action="store_true", help="open pull requests instead of committing")
    p.add_argument("--files-only", action="store_true", help="leave settings alone (trusted publishers)")
    p = sub.add_parser("status", parents=[common])
    p.add_argument("--json", action="store_true")
    p = sub.add_parser("logs", parents=[common])
    p.add_argument("--build", action="store_true", help="the build log instead of the app's")
    p.add_argument("--lines", type=int, default=60)
    p = sub.add_parser("verify", parents=[common])
    p.add_argument("--generate", action="store_true", help="also make a clip; spends your GPU quota")
    p = sub.add_parser("restart", parents=[common, waiting, draining])
    p.add_argument("--factory", action="store_true", help="build from scratch, with nothing cached")
    p = sub.add_parser("rollback", parents=[common, yes, waiting, draining])
    p.add_argument(
        "--to", metavar="DEPLOYMENT", help="its tag, number or start of its git sha; one back when left out"
    )
    sub.add_parser("destroy", parents=[common, yes])
    sub.add_parser("doctor", parents=[common])
    sub.add_parser("spaces", parents=[common])
    p = sub.add_parser("bake", parents=[common])
    p.add_argument("checkpoint", help="such as wan2.2-t2v-a14b")
    p.add_argument("--private", action="store_true")
    p.add_argument("--fp8", action="store_true", help="the weights of blocks in 8 bits")
    p.add_argument(
        "--compiled", action="store_true", help="also what torch compiles for this machine's card: an H100 or H200"
    )
    p = sub.add_parser("bundle", parents=[common])
    p.add_argument("--out", type=Path, default=Path("dist/bundles"))
    p = sub.add_parser("local", parents=[common])
    p.add_argument("--port", type=int, default=7860, help="of the router; the modes follow it")
    p.add_argument("--own-venvs", action="store_true", help="a venv for each set of requirements")
    p.add_argument(
        "--torch", metavar="REQUIREMENT", help="with --own-venvs: torch here, such as torch==2.13.0"
    )
    p.add_argument("--wan", action="store_true", help="keep the file's weights; Wan-Nano otherwise")
    written = argparse.ArgumentParser(add_help=False)
    written.add_argument("--image", help="another image than wan-studio:cuda, :cpu or :ray")
    written.add_argument("--force", action="store_true", help="write over files that are there")
    p = sub.add_parser("compose", parents=[common, written])
    p.add_argument("--out", default="dist/compose.yaml", metavar="FILE", help="- prints it (dist/compose.yaml)")
    p.add_argument("--host", default="127.0.0.1", help="this machine's address that the router's port is on")
    p.add_argument("--port", type=int, default=7860, help="of the router")
    p.add_argument("--gpus", type=int, default=1, help="cards of this machine that the Spaces are dealt onto")
    p = sub.add_parser("kubernetes", parents=[common, written])
    p.add_argument("--out", default="dist/kubernetes", metavar="FOLDER", help="- prints them (dist/kubernetes)")
    p.add_argument("--storage-class", metavar="NAME", help="of the volumes; the cluster's default when left out")
    p.add_argument("--ray", action="store_true", help="one Studio over a RayCluster (KubeRay)")
    p.add_argument("--gpus", type=int, default=1, help="with --ray: workers, each with a card")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 86_400:  # nor no number
        raise argparse.ArgumentTypeError(f"must be seconds from 0 to 86400; got {text}")
    return seconds


def run(args: argparse.Namespace, hub: Hub | None = None) -> int:
    """Do what the command line says; the exit code (0 done, 2 bad input, 3 stopped, 1 anything else)."""
    try:
        return _run(args, hub)
    except StudioError as error:
        print(f"error: {error.text}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; run the same command again, it goes on where it stopped", file=sys.stderr)
        return Cancelled.exit_code


def main(argv: list[str] | None = None) -> int:
    """`python -m deploy …`."""
    parser = argparse.ArgumentParser(
        prog="deploy", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_commands(parser)
    return run(parser.parse_args(argv))


def _run(args: argparse.Namespace, hub: Hub | None) -> int:
    file = federation.load(args.file, args.profile)
    file.namespace = args.namespace or file.namespace
    command = args.deploy_command
    if command in ("compose", "kubernetes"):
        everything = targets.resolve(file, file.namespace or federation.NOBODY)
        return _written(args, file.prefix, targets.select(everything, args.only))
    if command in ("local", "bundle", "spaces"):
        everything = targets.resolve(file, file.namespace or federation.NOBODY)
        return _here(args, targets.select(everything, args.only))
    form: bake.Form = "fp8" if command == "bake" and args.fp8 else "bf16"
    if command == "bake":
        bake.check(args.checkpoint)
        if args.compiled:
            ahead.check(args.checkpoint)
    hub = hub or Hub(HfApi(), say=lambda text: print(text, file=sys.stderr, flush=True))
    if command == "plan" and args.hardware:
        everything = targets.resolve(file, file.namespace or federation.NOBODY)
        print(prices.table(targets.select(everything, args.only), prices.ask(hub)))
        return 0
    namespace = file.namespace or _own_name(hub, command)
    if command == "bake":
        repack = bake.bake(hub, args.checkpoint, namespace, private=args.private, form=form)
        if args.compiled:
            ahead.compiled(hub, args.checkpoint, repack, form)
        print(repack)
        return 0
    everything = targets.resolve(file, namespace)
    chosen = targets.select(everything, args.only)
    skipped = {} if args.only else federation.skipped(file)
    if command == "plan":
        plans = plan.plan_all(hub, chosen, adopt=_adopted(args, everything))
        asked = prices.ask(hub)
        machines = {t.repo_id: prices.notices(t, asked) for t in chosen}
        if args.json:
            spaces = [p.as_json() | {"hardware": machines[p.target.repo_id]} for p in plans]
            print(json.dumps({"spaces": spaces, "skipped": skipped}, ensure_ascii=False))
        else:
            print(plan.describe(plans, skipped, machines))
            if asked.why:
                print(f"note: {asked.why}")
        return 1 if any(p.action == "fail" for p in plans) else 0
    if command == "push":
        return _push(args, hub, everything, chosen, skipped)
    if command == "status":
        rows = status.status(hub, chosen)
        print(json.dumps(rows) if args.json else status.table(rows))
        return 0
    if command == "logs":
        for target in chosen:
            print(
                f"{target.repo_id}\n{wait.log_tail(hub, target.repo_id, build=args.build, lines=args.lines)}"
            )
        return 0
    if command == "verify":
        return _verify(args, hub, chosen)
    if command == "restart":
        restart = Restart(hub, args.factory, longest_wait=args.wait * 60, drain_seconds=args.drain_seconds)
        return _code(restart.run(chosen))
    if command == "rollback":
        return _rollback(args, hub, chosen)
    if command == "destroy":
        return _destroy(args, hub, chosen)
    findings = doctor.examine(hub, chosen)
    for f in findings:
        print(f"{f.level:8} {f.text}")
    return 1 if any(f.level == "problem" for f in findings) else 0


def _own_name(hub: Hub, command: str) -> str:
    try:
        return str(hub.account()["name"])
    except StudioError:
        if command == "doctor":
            return "you"  # it will say that there is no token, and look at the rest
        raise


def _here(args: argparse.Namespace, chosen: list[Target]) -> int:
    from deploy import bundle, local

    if args.deploy_command == "local":
        return local.main(
            chosen, port=args.port, own_venvs=args.own_venvs, torch=args.torch, keep_weights=args.wan
        )
    if args.deploy_command == "spaces":
        modes = [{"name": t.name, "repo": t.repo_id} for t in chosen if not t.is_router]
        print(f"modes={json.dumps(modes)}")
        print("router=" + "".join(t.repo_id for t in chosen if t.is_router))
        return 0
    for target in chosen:
        folder = bundle.build(target).write(args.out / target.name)
        print(folder)
    return 0


def _written(args: argparse.Namespace, project: str, chosen: list[Target]) -> int:
    """Compose's one file, or Kubernetes' several."""
    from deploy import compose, documents, kubernetes, ray_cluster

    if args.deploy_command == "compose":
        content = compose.compose(
            chosen, project, port=args.port, host=args.host, gpus=args.gpus, use=args.image
        )
        files = {Path(args.out): content}
    elif args.ray:
        made = ray_cluster.ray_cluster(
            chosen, project, gpus=args.gpus, use=args.image, storage=args.storage_class
        )
        files = {Path(args.out, name): content for name, content in made.items()}
    else:
        made = kubernetes.kubernetes(chosen, project, use=args.image, storage=args.storage_class)
        files = {Path(args.out, name): content for name, content in made.items()}
    if args.out == "-":
        print("---\n".join(files.values()), end="")
        return 0
    documents.write_all(files, force=args.force)
    for file in files:
        print(file)
    return 0


def _push(
    args: argparse.Namespace,
    hub: Hub,
    everything: list[Target],
    chosen: list[Target],
    skipped: dict[str, str],
) -> int:
    adopt = _adopted(args, everything)
    plans = plan.plan_all(hub, chosen, files_only=args.files_only, adopt=adopt)
    print(plan.describe(plans, skipped))
    actions = {p.action for p in plans}
    if actions <= {"nothing", "refuse", "fail"}:
        return 0 if actions <= {"nothing"} else 1
    if not _confirm(args.yes, "Do this?"):
        return 3
    push = Push(
        hub,
        create_pr=args.pr,
        files_only=args.files_only,
        longest_wait=args.wait * 60,
        drain_seconds=args.drain_seconds,
        adopt=adopt,
        federation=everything,
    )
    return _code(push.run(chosen))


def _adopted(args: argparse.Namespace, everything: list[Target]) -> list[str]:
    """The Spaces named by --adopt. InputError for a name that is none of the federation's."""
    known = {word for t in everything for word in (t.name, t.repo_id)}
    for name in args.adopt:
        if name not in known:
            names = ", ".join(t.name for t in everything)
            raise InputError(
                "--adopt", "must name a Space of the federation", got=repr(name), hint=f"try {names}"
            )
    return args.adopt


def _rollback(args: argparse.Namespace, hub: Hub, chosen: list[Target]) -> int:
    rollback = rolling.Rollback(
        hub, args.to, longest_wait=args.wait * 60, drain_seconds=args.drain_seconds
    )
    steps = rollback.plan(chosen)
    print(rolling.describe(steps))
    if not _confirm(args.yes, "Do this?"):
        return 3
    return _code(rollback.apply(steps))


def _verify(args: argparse.Namespace, hub: Hub, chosen: list[Target]) -> int:
    failed = 0
    for target in chosen:
        try:
            print(f"ok      {target.repo_id}: {verify.verify(hub, target, generate=args.generate)}")
        except StudioError as error:
            failed += 1
            print(f"failed  {target.repo_id}: {error.text}")
    return 1 if failed else 0


def _destroy(args: argparse.Namespace, hub: Hub, chosen: list[Target]) -> int:
    gone, kept = destroying.doomed(hub, chosen)
    for text in kept:
        print(f"kept     {text}")
    for target in gone:
        print(f"delete   {target.repo_id} with its history and secrets")
    if not gone:
        return 0
    if not args.yes:
        _need_terminal("destroy")
        if input(f"Type {gone[0].repo_id} to delete {len(gone)} Spaces for good: ") != gone[0].repo_id:
            print("nothing was deleted")
            return 3
    destroying.destroy(hub, gone)
    return 0


def _confirm(yes: bool, question: str) -> bool:
    if yes:
        return True
    _need_terminal("do this")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _need_terminal(what: str) -> None:
    if not sys.stdin.isatty():
        raise InputError("--yes", f"is required to {what} without a terminal to ask on")


def _code(results: list[Result]) -> int:
    return 1 if any(r.outcome == "failed" for r in results) else 0
