"""The federation as containers of one image, each with a name: what Compose and Kubernetes are told alike."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from common.errors import InputError
from common.page.door import VARIABLE as HOSTS
from deploy.federation import NOBODY, READ_TOKEN
from deploy.needs import Needs, needs, on_gpu
from deploy.targets import FEDERATION_VARIABLE, MODELS_ROOT, Target, federation_table

PORT = 7860
HEALTH = "/gradio_api/app_id"
"""Answers in a line, wakes nothing, and is no page: the Dockerfile asks it as well."""
USER = 1000
DATA = "/data"
"""A Space's own files, and what a Studio remembers."""
WEIGHTS = "/weights"
"""The Hub's cache, and below `models` what the federation file mounts on the Hub."""
MODELS = f"{WEIGHTS}/models"
IMAGE = "wan-studio"
_ZEROGPU_ALONE = "WAN_GPU_SIZE"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Container:
    """One of them. `secrets` maps a name inside to a variable outside; `fetches` are the arguments of `hf download`
    for each repository that it wants on disk before it starts.
    """

    service: str
    target: Target
    command: tuple[str, ...]
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    gpu: bool
    needs: Needs
    fetches: tuple[tuple[str, ...], ...] = field(default=())


def containers(targets: Sequence[Target], names: Mapping[str, str] | None = None) -> list[Container]:
    """One for each target. `names` gives each target's service; its own name made fit for DNS where left out."""
    names = names or services({t.name: t.name for t in targets})
    modes = [t for t in targets if t.mode is not None]
    addresses = {t.name: f"http://{names[t.name]}:{PORT}" for t in modes}
    return [_container(t, names[t.name], federation_table(modes, addresses)) for t in targets]


def script(fetches: Iterable[Sequence[str]]) -> str:
    """What a shell does to have them all on disk."""
    return " && ".join(shlex.join(["hf", "download", *arguments]) for arguments in fetches)


def kept(text: str) -> str:
    """A text that stays as it is where Compose, or Kubernetes, puts in variables: both find them by a dollar."""
    return text.replace("$", "$$")


def image(targets: Sequence[Target]) -> str:
    """The image that serves all of them, as the Dockerfile's targets are called."""
    return f"{IMAGE}:cuda" if any(on_gpu(t) for t in targets) else f"{IMAGE}:cpu"


def services(names: Mapping[str, str]) -> dict[str, str]:
    """Each name as one of DNS, by which others call it. InputError for two that become one, or for too long a one."""
    found: dict[str, str] = {}
    for name, wanted in names.items():
        service = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")
        service = service if service[:1].isalpha() else f"wan-{service}"
        if not _LABEL.fullmatch(service):
            raise InputError("name", "must be at most 63 characters as a name of DNS", got=repr(wanted))
        if service in found.values():
            raise InputError("name", f"must be another than that of the rest: both are {service}", got=repr(wanted))
        found[name] = service
    return found


def _container(target: Target, service: str, table: str) -> Container:
    variables = {k: v for k, v in target.variables.items() if k != _ZEROGPU_ALONE}
    if target.is_router:
        variables[FEDERATION_VARIABLE] = table
        command = ("python", "-m", "router.app")
    else:
        # The router calls it by this name, which the door would not know.
        variables[HOSTS] = ",".join(filter(None, (service, variables.get(HOSTS, ""))))
        command = ("python", f"spaces/{target.mode}/app.py")
    if target.volumes:
        variables["WAN_MODELS"] = MODELS
    for name, value in variables.items():
        if "\0" in value:
            raise InputError(f"{target.name}.variables.{name}", "must not hold a NUL character")
    return Container(
        service,
        target,
        command,
        variables,
        # Private Spaces there are none.
        {name: variable for name, variable in target.secrets.items() if name != READ_TOKEN},
        on_gpu(target),
        needs(target),
        tuple(_fetch(target, i) for i in range(len(target.volumes))),
    )


def _fetch(target: Target, index: int) -> tuple[str, ...]:
    volume = target.volumes[index]
    below = volume.mount_path.removeprefix(MODELS_ROOT).strip("/")
    where = f"{target.name}.volumes.{index}"
    if volume.type == "bucket" or volume.path:
        raise InputError(where, "must be a whole model or dataset: `hf download` fills it", got=repr(volume.source))
    if not volume.mount_path.startswith(f"{MODELS_ROOT}/") or ".." in below.split("/"):
        rule = f"must be mounted below {MODELS_ROOT}/ to come along into a container"
        raise InputError(where, rule, got=repr(volume.mount_path))
    if volume.source.startswith(f"{NOBODY}/"):
        raise InputError("--namespace", f"is required: {target.name} mounts {volume.source.partition('/')[2]} of it")
    if not _REPOSITORY.fullmatch(volume.source):
        hint = "where it stands, `{namespace}` is `namespace` of the file, or --namespace"
        raise InputError(where, "must be a repository's id, owner/name", got=repr(volume.source), hint=hint)
    revision = (f"--revision={volume.revision}",) if volume.revision else ()
    return (volume.source, f"--repo-type={volume.type}", *revision, f"--local-dir={MODELS}/{below}")
