"""The federation as a Compose file: a service for each Space, the router on a port of this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from common.errors import InputError
from deploy import documents
from deploy.containers import DATA, PORT, WEIGHTS, Container, containers, image, kept, script, services
from deploy.targets import Target

ABOUT = """Written by `wan-studio deploy compose`: change the federation file and write it anew. docs/deploy.md
The image, once, from the checkout:  docker build --target {device} --tag {image} .
docker compose --file FILE up --detach"""
FETCH = "fetch-models"


def compose(
    targets: Sequence[Target], project: str, *, port: int, host: str, gpus: int = 1, use: str | None = None
) -> str:
    """The file's text. Services with a GPU are dealt onto cards 0 to `gpus` - 1; `use` is another image."""
    if gpus < 1:
        raise InputError("--gpus", "must be 1 or more", got=gpus)
    if not 0 < port < 65536:
        raise InputError("--port", "must be between 1 and 65535", got=port, hint="try 7860")
    name = use or image(targets)
    found = containers(targets)
    cards = {c.service: i % gpus for i, c in enumerate(c for c in found if c.gpu)}
    if any(c.service == FETCH for c in found):
        raise InputError("name", f"must be another than {FETCH}, a service of its own")
    all_of_them: dict[str, Any] = {}
    if commands := list(dict.fromkeys(f for c in found for f in c.fetches)):
        all_of_them[FETCH] = _fetch(commands, name)
    for container in found:
        all_of_them[container.service] = service = _service(container, name, cards.get(container.service))
        if container.target.is_router or not any(c.target.is_router for c in found):
            service["ports"] = [f"{_address(host)}:{port}:{PORT}"]
            port += 1  # of the next one, where modes alone are chosen
        if container.target.is_router:
            others = [c.service for c in found if c is not container]
            service["depends_on"] = {other: {"condition": "service_started"} for other in others}
    volumes = {volume: {} for volume in ["weights", *(f"{c.service}-data" for c in found)]}
    about = ABOUT.format(device=image(targets).partition(":")[2], image=name)
    file = {"name": services({"": project})[""], "services": all_of_them, "volumes": volumes}
    return documents.text([file], about)


def _service(container: Container, name: str, card: int | None) -> dict[str, Any]:
    needs = container.needs
    resources: dict[str, Any] = {"limits": {"memory": f"{needs.memory_bytes // 1_000_000}M"}}
    if card is not None:
        devices = [{"driver": "nvidia", "device_ids": [str(card)], "capabilities": ["gpu"]}]
        resources["reservations"] = {"devices": devices}
    service: dict[str, Any] = {
        "image": name,
        "command": [kept(word) for word in container.command],
        "environment": {k: kept(v) for k, v in container.variables.items()}
        | {k: _secret(k, v) for k, v in container.secrets.items()},
        "volumes": [f"{container.service}-data:{DATA}"],
        "restart": "unless-stopped",
        # A Space that is told to stop finishes its job.
        "stop_grace_period": f"{needs.longest_seconds}s",
        "security_opt": ["no-new-privileges:true"],
        "cap_drop": ["ALL"],
        "deploy": {"resources": resources},
    }
    if not container.target.is_router:
        service["volumes"].append(f"weights:{WEIGHTS}")
    if container.fetches:
        service["depends_on"] = {FETCH: {"condition": "service_completed_successfully"}}
    return service


def _fetch(commands: Sequence[tuple[str, ...]], name: str) -> dict[str, Any]:
    """Fills the folder of models before anybody looks into it; what is there already is not downloaded again."""
    return {
        "image": name,
        "command": ["sh", "-c", kept(script(commands))],
        "environment": {"HF_TOKEN": "${HF_TOKEN:-}"},
        "volumes": [f"weights:{WEIGHTS}"],
        "restart": "on-failure:3",
        "healthcheck": {"disable": True},
    }


def _address(host: str) -> str:
    """An address of this machine as Compose writes it before a port."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        hint = "try 127.0.0.1, or 0.0.0.0 for all of them"
        raise InputError("--host", "must be an address of this machine", got=repr(host), hint=hint) from None
    return f"[{address}]" if address.version == 6 else str(address)


def _secret(name: str, variable: str) -> str:
    return f"${{{variable}:?must hold the secret {name}}}"

