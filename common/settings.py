"""What a Space is told by its environment: weights, checkpoints, tier. Read once, at import.

WAN_WEIGHTS       nano (default) | wan
WAN_CHECKPOINTS   comma-separated keys that this Space carries; all of the mode's when empty
WAN_GPU_SIZE      large | xlarge; the first checkpoint's own tier when empty
WAN_DEVICE        cpu where a GPU is there and must not be used; else it is
WAN_CARDS         cards that this process owns and each of its jobs is shared by; 1 when empty. On a CPU: processes
WAN_SPEED         exact where nothing may be compiled, rounded, left out, or done by another kernel for speed
WAN_ENGINE        ray, or a Ray cluster's address (ray://host:10001): who makes the videos, where that is not this
                  process; needs the extra `ray`. Or the address of a vLLM-Omni or SGLang server (http://host:8000)
WAN_ENGINE_KEY    a secret: the key of that server, where it wants one
WAN_REPLICAS      workers of such a pool, each of which makes one video at a time; one a card when empty. Of a server:
                  how many videos it is asked for at once, 1 when empty
WAN_ADMIN         a secret; who gives it to /admin may clear caches, unload, fetch and delete models, and drain the
                  Space. The launcher draws one for a Studio of one's own
WAN_MODELS        a folder of checkpoints by key (a mounted volume), looked into before the Hub
WAN_ANNOTATORS    a folder of VACE's depth, pose, flow and mask models by key; see common/catalog.py
WAN_STATE         a folder for what a Studio remembers (jobs, favourites); nothing outlives it where it is empty
WAN_ENHANCE_URL   an OpenAI-compatible server (llama.cpp, Ollama), which ✨ Enhance asks; see common/enhance/writer.py
WAN_ENHANCE_MODEL the model that it asks; with a token and no URL: one of the Hub's inference providers
WAN_ENHANCE_TOKEN a secret: the Hub's token with "Make calls to Inference Providers", or the key of that server
WAN_GIT_SHA       the commit of this code; the bundle's own, or git's, when empty
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, cast, get_args

from common.catalog import CHECKPOINTS, GpuSize, Weights
from common.errors import InputError, quoted

SECRET_CHARACTERS = 16
MOST = 999
SERVER = r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d{1,5})?(/[\w.~/-]*)?"
_BUNDLE = Path(__file__).resolve().parents[1] / "bundle.json"


@dataclass(frozen=True)
class SpaceSettings:
    """The environment of one mode Space."""

    weights: Weights = "nano"
    checkpoints: tuple[str, ...] | None = None
    gpu_size: GpuSize | None = None
    device: Literal["", "cpu"] = ""
    speed: Literal["", "exact"] = ""
    engine: str = ""
    engine_key: str = field(default="", repr=False)
    replicas: int = 0
    cards: int = 1
    admin: str = field(default="", repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> SpaceSettings:
        """Read `env` (os.environ); InputError for a value that is not on the list."""
        env = os.environ if env is None else env
        keys = tuple(k.strip() for k in env.get("WAN_CHECKPOINTS", "").split(",") if k.strip())
        for key in keys:
            if key not in CHECKPOINTS:
                raise InputError("WAN_CHECKPOINTS", "must name checkpoints of the catalog", got=repr(key))
        size = _one_of(env, "WAN_GPU_SIZE", get_args(GpuSize), "")
        return cls(
            weights=cast(Weights, _one_of(env, "WAN_WEIGHTS", get_args(Weights), "nano")),
            checkpoints=keys or None,
            gpu_size=cast(GpuSize, size) if size else None,
            device=cast(Literal["", "cpu"], _one_of(env, "WAN_DEVICE", ("cpu",), "")),
            speed=cast(Literal["", "exact"], _one_of(env, "WAN_SPEED", ("exact",), "")),
            engine=_engine(env),
            engine_key=_key(env, "WAN_ENGINE_KEY"),
            replicas=_count(env, "WAN_REPLICAS"),
            cards=_count(env, "WAN_CARDS") or 1,
            admin=_secret(env, "WAN_ADMIN"),
        )

    def tier(self, first_checkpoint: str) -> GpuSize:
        """The ZeroGPU tier of this Space's one decorated function."""
        return self.gpu_size or CHECKPOINTS[first_checkpoint].gpu_size


def _secret(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if value and len(value) < SECRET_CHARACTERS:
        rule = f"must be a secret of at least {SECRET_CHARACTERS} characters, since anybody may try"
        raise InputError(name, rule, hint="try `python -c 'import secrets; print(secrets.token_hex(16))'`")
    return value


def _engine(env: Mapping[str, str]) -> str:
    value = env.get("WAN_ENGINE", "").strip()
    if value.startswith(("http://", "https://")):
        if not re.fullmatch(SERVER, value):  # never quoted: a password may stand in it
            rule = "must be a plain address, without user, query or fragment"
            raise InputError("WAN_ENGINE", rule, hint="try http://host:8000, and WAN_ENGINE_KEY for a key")
        return value.rstrip("/").removesuffix("/v1")
    if value and value != "ray" and not re.fullmatch(r"(ray://)?[A-Za-z0-9.-]+:\d{1,5}", value):
        rule = "must be ray, or the address of a cluster"
        raise InputError("WAN_ENGINE", rule, got=quoted(value), hint="try ray://host:10001")
    return value


def _key(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if not re.fullmatch(r"[!-~]{0,4096}", value):
        raise InputError(name, "must be a key, which has no spaces and no letters beyond ASCII")
    return value


def _count(env: Mapping[str, str], name: str) -> int:
    value = env.get(name, "").strip()
    if value and not (re.fullmatch(r"[0-9]{1,3}", value) and int(value)):
        raise InputError(name, f"must be a whole number from 1 to {MOST}", got=quoted(value))
    return int(value or 0)


def _one_of(env: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = env.get(name, "").strip() or default
    if value and value not in allowed:
        raise InputError(name, "must be " + " or ".join(allowed), got=repr(value))
    return value


def state_folder() -> Path | None:
    """Where a Studio keeps what shall outlive it, made if need be; None where nothing shall.

    Never in the cache: what lies there is served to who can name it.
    """
    if not (text := os.environ.get("WAN_STATE", "").strip()):
        return None
    folder = Path(text).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise InputError("WAN_STATE", f"must be a folder that can be written: {why}") from None
    return folder


def bundled() -> bool:
    """Whether this code is a Space's bundle, whose commit is the last one that touched its own files."""
    return _BUNDLE.is_file()


@cache
def git_sha() -> str:
    """The commit that this code comes from, or `unknown`."""
    if sha := os.environ.get("WAN_GIT_SHA"):
        return sha
    if bundled():
        return str(json.loads(_BUNDLE.read_text("utf-8"))["git_sha"])
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
