"""Workers under Ray: this machine's own, started and ended with this process, or those of a cluster.

Ray is an extra and is imported here alone, once somebody asks for it (WAN_ENGINE).
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import secrets
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from common import cache
from common.errors import InputError, StudioError, UnavailableError
from common.run.runner import explain
from common.runtime.lending.pool import Lost, Pool, Unreachable
from common.runtime.lending.replica import ROOT, Replica
from common.settings import SpaceSettings, git_sha

log = logging.getLogger(__name__)

REACH_SECONDS = 5.0
CALLS_AT_ONCE = 8
"""Threads of a worker: a stop must get in while somebody waits for more of a job."""
STORE_BYTES = 200_000_000
"""Ray's memory for what is passed by reference: we pass a few pictures, and it would take 30% of the machine's."""
OWN = (
    "WAN_ENGINE", "WAN_ENGINE_KEY", "WAN_REPLICAS", "WAN_ADMIN", "WAN_STATE", "WAN_FEDERATION", "WAN_ENHANCE_TOKEN",
)  # fmt: skip
"""What is for who asks, not for who works."""
PASSED_ON = ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_PROGRESS_BARS", "TORCHAO_FORCE_SKIP_LOADING_SO_FILES")
LEFT_OUT = ["/.git", "/.venv", "/.github", "/tests", "/docs", "/bench", "/nano/train", "/nano/judge", "__pycache__"]
"""Of this code, what no worker needs."""


def pool(settings: SpaceSettings) -> Pool:
    """The pool that WAN_ENGINE names; InputError or UnavailableError with the way out where there is none."""
    here = settings.engine == "ray"
    ray = _ray(here)
    try:
        if not ray.is_initialized():
            _begin(ray, settings)
        cards = int(ray.cluster_resources().get("GPU", 0))
    except StudioError:
        raise
    except Exception as error:  # of a dozen kinds: other versions, a wrong token, no memory
        log.debug("no Ray", exc_info=True)
        said = str(error).strip().splitlines()
        raise UnavailableError(f"Ray does not work here: {(said or [type(error).__name__])[0][:300]}") from None
    each = 0 if settings.device == "cpu" or (here and not cards) else settings.cards
    if each and not cards:
        raise InputError("WAN_ENGINE", f"needs cards; the cluster at {settings.engine} has none", hint="try --gpus 0")
    count = settings.replicas or (cards // each if each else 1)
    if count * each > cards or not count:
        wanted = max(count, 1) * each
        raise InputError("WAN_REPLICAS", f"must fit {cards} cards", got=f"{wanted}", hint="try --gpus or --replicas")
    told = _environment(each)
    if here and "OMP_NUM_THREADS" not in os.environ:  # Ray would give a worker one thread: it asks for no cores
        told["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // count))
    workers = [RayWorker(ray, f"worker {number + 1} of {count}", each, told) for number in range(count)]
    return Pool(workers, own_disk=here)


class RayWorker:
    """A `Replica` as an actor; a dead one is begun anew by Ray, for as long as this process lives."""

    def __init__(self, ray: Any, name: str, cards: int, told: Mapping[str, str]) -> None:
        self.name = name
        self._ray = ray
        self._actor = (
            ray.remote(Replica)
            .options(num_cpus=0, num_gpus=cards, max_restarts=-1, max_concurrency=CALLS_AT_ONCE,
                     runtime_env={"env_vars": dict(told)})
            .remote()
        )  # fmt: skip

    def ask(self, method: str, *args: Any, **named: Any) -> Any:
        """Begins a call."""
        try:
            return getattr(self._actor, method).remote(*args, **named)
        except Exception as error:
            return error  # told where an answer is waited for

    def answer(self, call: Any, seconds: float) -> Any:
        """What a call gave; TimeoutError while it has not."""
        errors = self._ray.exceptions
        try:
            if isinstance(call, Exception):
                raise call
            return self._ray.get(call, timeout=seconds)
        except errors.GetTimeoutError:
            raise TimeoutError from None
        except errors.ActorUnavailableError:
            raise Unreachable(self.name) from None
        except errors.RayTaskError as error:
            raise explain(error.cause) from None
        except Exception as error:  # the actor, its machine, or the whole cluster
            log.debug("%s is lost", self.name, exc_info=True)
            raise Lost(f"{self.name}: {type(error).__name__}") from None

    def end(self) -> None:
        """Kills the process; Ray begins another."""
        try:
            self._ray.kill(self._actor, no_restart=False)
        except Exception:
            log.warning("%s could not be ended", self.name, exc_info=True)


def _ray(here: bool) -> Any:
    if importlib.util.find_spec("ray") is None:
        raise InputError("WAN_ENGINE", "needs Ray, which is not installed", hint="try pip install 'wan-studio[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if here:
        # Ray listens on every address of a machine, and so whoever knows no token is sent away; read at import.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    return importlib.import_module("ray")


def _begin(ray: Any, settings: SpaceSettings) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if settings.engine == "ray":
        ray.init(
            address="local", include_dashboard=False, object_store_memory=STORE_BYTES, _node_ip_address="127.0.0.1",
            **quiet,
        )  # fmt: skip
        return
    where = urlsplit(settings.engine if "://" in settings.engine else f"//{settings.engine}")
    try:
        socket.create_connection((where.hostname or "", where.port or 10001), REACH_SECONDS).close()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UnavailableError(
            f"no Ray cluster answers at {settings.engine} ({why}); start one with `ray start --head`, or go without"
        ) from None
    ray.init(settings.engine, runtime_env={"working_dir": str(ROOT), "excludes": LEFT_OUT}, **quiet)


def _environment(cards: int) -> dict[str, str]:
    """What a worker is told: what this process was, but that it does the work itself."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("WAN_") and name not in OWN}
    ours |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    ours |= {"GRADIO_TEMP_DIR": str(cache.root()), "WAN_GIT_SHA": git_sha()}
    ours |= dict.fromkeys(OWN, "")  # or a worker has them from whoever has started Ray
    if not cards:
        ours |= {"WAN_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    return ours
