"""The flags that have a pool of workers make the videos: what they mean as settings."""

from __future__ import annotations

import argparse
import os

from common.errors import InputError
from common.settings import SpaceSettings


def add_to(command: argparse.ArgumentParser) -> None:
    """`--gpus`, `--replicas`, `--ray`."""
    pool = command.add_argument_group("several cards or machines, with Ray (the extra `ray`)")
    pool.add_argument("--gpus", type=int, metavar="N", help="cards to use; 0: workers on the CPU")
    pool.add_argument(
        "--replicas", type=int, metavar="N", help="videos made at once; one a card, or each on several cards"
    )
    pool.add_argument("--ray", metavar="ADDRESS", help="of a cluster, such as ray://head:10001; else this machine")


def settings(args: argparse.Namespace) -> dict[str, str]:
    """What the environment is to say; nothing where none of the flags is given. InputError for what cannot be."""
    gpus, replicas = args.gpus, args.replicas
    if gpus is None and replicas is None and args.ray is None:
        return {}
    if gpus is not None and gpus < 0:
        raise InputError("--gpus", "must not be negative", got=str(gpus), hint="0 is for workers on the CPU")
    if gpus and not args.ray:
        import torch  # takes seconds, and is needed anyway

        if gpus > (have := torch.cuda.device_count()):
            rule = f"must be at most {have}, which this machine has"
            raise InputError("--gpus", rule, got=str(gpus), hint="0 is for workers on the CPU")
    if replicas is not None and replicas < 1:
        raise InputError("--replicas", "must be at least 1", got=str(replicas))
    found = {"WAN_ENGINE": args.ray or "ray"}
    if replicas or gpus is not None:
        found["WAN_REPLICAS"] = str(replicas or gpus or 1)
    if gpus == 0:
        found["WAN_DEVICE"] = "cpu"
    elif gpus and replicas:
        if gpus % replicas:
            rule = f"must divide {gpus} cards evenly"
            ways = [str(n) for n in range(1, gpus + 1) if not gpus % n]
            raise InputError("--replicas", rule, got=str(replicas), hint=f"try {', '.join(ways)}")
        found["WAN_CARDS"] = str(gpus // replicas)
    SpaceSettings.from_env({**os.environ, **found})  # says what is wrong with an address
    return found
