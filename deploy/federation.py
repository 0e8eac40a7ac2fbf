"""The federation as its TOML file says it: which Spaces there are, and with which settings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.catalog import CHECKPOINTS, GpuSize, Weights
from common.contract import ModeKey
from common.errors import InputError, quoted
from common.modes.all import MODES

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_FILE = Path(__file__).with_name("federation.toml")
ZEROGPU = "zero-a10g"
READ_TOKEN = "WAN_READ_TOKEN"
"""The secret by which the router reads private mode Spaces."""
SECRETS = ("WAN_ADMIN", READ_TOKEN, "WAN_ENHANCE_TOKEN", "WAN_ENGINE_KEY")
"""Never variables, which anybody can read on a public Space."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
ENV_NAME = r"[A-Z][A-Z0-9_]*"
VARIABLE_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
ROUTER = "router"
"""How the one Space that is no mode's is called among the others."""
NOBODY = "local"
"""Stands for the account where none is known, and none is asked."""

SET_BY = {"WAN_WEIGHTS": "weights", "WAN_CHECKPOINTS": "checkpoints", "WAN_GPU_SIZE": "gpu_size"}
"""Variables that follow from an entry's fields: two places for one fact could disagree."""

Visibility = Literal["public", "private", "protected"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Volume(_Table):
    """A Hub repository or bucket mounted into a Space; `{namespace}` in `source` is the deployer's."""

    source: str
    mount_path: str = Field(default="", pattern=r"^(/.*)?$")
    type: Literal["model", "dataset", "bucket"] = "model"
    revision: str | None = None
    path: str | None = None


class _Settings(_Table):
    """What an entry may set and the whole file may default."""

    weights: Weights | None = None
    hardware: str | None = None
    visibility: Visibility | None = None
    sleep_seconds: int | None = None


class SpaceEntry(_Settings):
    """One mode Space. `secrets` maps a name on the Space to the deployer's environment variable."""

    mode: ModeKey
    name: str = Field(default="", pattern=f"{NAME}|^$")
    checkpoints: list[str] = Field(default_factory=list)
    gpu_size: GpuSize | None = None
    variables: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict)
    volumes: list[Volume | str] = Field(default_factory=list)


class RouterEntry(_Table):
    """The router Space."""

    name: str = Field(default="", pattern=f"{NAME}|^$")
    hardware: str = "cpu-basic"
    visibility: Visibility = "public"
    sleep_seconds: int | None = None
    sign_in: bool = False
    variables: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict)


class Federation(_Settings):
    """The whole file under one profile; `spaces` is never empty after loading."""

    namespace: str = Field(default="", pattern=f"{NAME}|^$")
    prefix: str = Field(default="wan-studio", pattern=NAME)
    spaces: list[SpaceEntry] = Field(default_factory=list)
    router: RouterEntry = Field(default_factory=RouterEntry)


def load(path: Path | None = None, profile: str | None = None) -> Federation:
    """Read and check a federation file. InputError names the entry, the rule and the way out."""
    path = path or DEFAULT_FILE
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("--file", f"must be a readable file; {path.name}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(path.name, "must be TOML", got=str(error)) from None
    profiles = raw.pop("profiles", {})
    if profile is not None:
        if profile not in profiles:
            known = ", ".join(profiles) or "none in this file"
            raise InputError(
                "--profile", "must be one of the file's profiles", got=repr(profile), hint=f"try {known}"
            )
        # A profile stands for itself: only who and the router carry over, never the list of Spaces.
        raw = {k: raw[k] for k in ("namespace", "router") if k in raw} | profiles[profile]
    federation = _parse(raw)
    if not federation.spaces:
        federation.spaces = [SpaceEntry(mode=key) for key in MODES]
    _check(federation)
    return federation


def _parse(raw: dict[str, Any]) -> Federation:
    try:
        return Federation.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"] if not str(p)[0].isupper())
        if first["type"] == "extra_forbidden":
            table: type[_Table] = Federation
            if first["loc"][0] == "spaces":
                table = SpaceEntry
            elif first["loc"][0] == "router":
                table = RouterEntry
            known = ", ".join(table.model_fields)
            raise InputError(
                where, "is not an entry of the federation file", hint=f"known: {known}"
            ) from None
        raise InputError(where, first["msg"].lower(), got=repr(first["input"])) from None


def _check(federation: Federation) -> None:
    """Rules that need more than one field, or the catalog."""
    names = {ROUTER}
    for i, entry in enumerate(federation.spaces):
        name = entry.name or entry.mode
        if name in names:
            raise InputError(
                f"spaces.{i}.name", "must be unique", got=repr(name), hint=f"name it, such as {entry.mode}-2"
            )
        names.add(name)
        # With every key allowed, a mode lists those of the community too.
        allowed = (
            [r.key for r in MODES[entry.mode].rows(list(CHECKPOINTS))]
            if entry.mode in MODES
            else [*CHECKPOINTS]
        )
        for key in entry.checkpoints:
            if key not in allowed:
                raise InputError(
                    f"spaces.{i}.checkpoints",
                    f"must be checkpoints that {entry.mode} runs",
                    got=repr(key),
                    hint="try " + ", ".join(allowed),
                )
        hardware = entry.hardware or federation.hardware or ZEROGPU
        sleep = entry.sleep_seconds if entry.sleep_seconds is not None else federation.sleep_seconds
        if hardware.startswith("job:"):
            rule = "must be a Space's: a Job ends with its command, and no router finds it"
            hint = "`wan-studio deploy plan --hardware` lists both"
            raise InputError(f"spaces.{i}.hardware", rule, got=repr(hardware), hint=hint)
        _check_sleep(f"spaces.{i}.sleep_seconds", sleep, hardware)
        _check_secrets(f"spaces.{i}.secrets", entry.secrets)
        _check_variables(f"spaces.{i}.variables", entry.variables)
        for variable, field in SET_BY.items():
            if variable in entry.variables:
                raise InputError(
                    f"spaces.{i}.variables.{variable}", f"is set from {field}", hint=f"give {field} instead"
                )
        private = (entry.visibility or federation.visibility) == "private"
        if private and READ_TOKEN not in federation.router.secrets:
            raise InputError(
                f"spaces.{i}.visibility",
                "private needs a router that may read it",
                hint=f'under [router] add secrets = {{{READ_TOKEN} = "NAME_OF_A_VARIABLE_HOLDING_ONE"}}, '
                "or use protected (code hidden, app open)",
            )
    _check_sleep("router.sleep_seconds", federation.router.sleep_seconds, federation.router.hardware)
    _check_secrets("router.secrets", federation.router.secrets)
    _check_variables("router.variables", federation.router.variables)


def _check_sleep(where: str, sleep: int | None, hardware: str) -> None:
    if sleep is not None and hardware in ("cpu-basic", ZEROGPU):
        raise InputError(
            where, f"cannot be chosen on {hardware}, which sleeps after 48 hours", hint="leave it out"
        )


def _check_variables(where: str, variables: dict[str, str]) -> None:
    for name in SECRETS:
        if name in variables:
            rule = f"must not hold {name}: anybody can read a variable of a public Space"
            hint = f'put it under secrets: {{{name} = "NAME_OF_A_VARIABLE_HOLDING_ONE"}}'
            raise InputError(where, rule, hint=hint)
    for name in variables:
        _check_name(where, name)


def _check_name(where: str, name: str) -> None:
    if not re.fullmatch(VARIABLE_NAME, name):
        raise InputError(where, "must have names of letters, digits and _", got=quoted(name))


def _check_secrets(where: str, secrets: dict[str, str]) -> None:
    for name, variable in secrets.items():
        _check_name(where, name)
        if not re.fullmatch(ENV_NAME, variable):
            # Whatever stands here may be a pasted token: say the rule and never the value.
            raise InputError(
                f"{where}.{name}",
                "must be the name of an environment variable, never the secret itself",
                hint=f'try {name} = "WAN_STUDIO_{name}"',
            )


def skipped(federation: Federation, root: Path = ROOT) -> dict[str, str]:
    """Entries that cannot be pushed yet (name to reason): no such folder, or no such mode."""
    out: dict[str, str] = {}
    for entry in federation.spaces:
        if not (root / "spaces" / entry.mode / "app.py").is_file():
            out[entry.name or entry.mode] = f"spaces/{entry.mode}/app.py is not built yet"
        elif entry.mode not in MODES:
            out[entry.name or entry.mode] = f"{entry.mode} is not in MODES"
    return out
