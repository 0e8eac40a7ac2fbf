"""The federation on Kubernetes: a Deployment and a Service for each Space, modes reached by the router alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deploy import documents
from deploy.containers import DATA, PORT, WEIGHTS, Container, containers, image, kept, services
from deploy.manifests import (
    COMPONENT,
    CONFINED,
    Manifest,
    claim,
    deployment,
    environment,
    fetching,
    labelled,
    only_from,
    pod,
    probes,
    resources,
    service,
    size,
)
from deploy.targets import Target

ABOUT = """Written by `wan-studio deploy kubernetes`: change the federation file and write it anew. docs/deploy.md
To see it without an Ingress:  kubectl port-forward service/{router} 7860:{port}
An Ingress of yours leads to that Service, and the router's WAN_HOSTS names the host that it has."""
SECRETS = "The secrets, once:  kubectl create secret generic {name} {literals}"
def kubernetes(
    targets: Sequence[Target], project: str, *, use: str | None = None, storage: str | None = None
) -> dict[str, str]:
    """The files by name. `use` is the image as a cluster pulls it, `storage` a StorageClass but its default."""
    names = services({t.name: t.repo_id.split("/")[1] for t in targets})
    part_of = services({"": project})[""]
    name = use or image(targets)
    found = containers(targets, names)
    files: dict[str, list[Manifest]] = {}
    for container in found:
        labels = labelled(container.service, part_of, "router" if container.target.is_router else "mode")
        claims = [claim(*c, labels, storage) for c in _claims(container)]
        pod = _pod(container, name, part_of)
        files[f"{container.service}.yaml"] = [*claims, deployment(labels, pod), service(labels)]
    files["network-policy.yaml"] = [only_from(part_of, {COMPONENT: "mode"}, {COMPONENT: "router"})]
    return written(files, [names[t.name] for t in targets if t.is_router], part_of, found)


def written(
    files: Mapping[str, Sequence[Manifest]], routers: Sequence[str], part_of: str, found: Sequence[Container]
) -> dict[str, str]:
    """Each file's text, under a comment that says what is to be done before and after."""
    about = ABOUT.format(router=routers[0] if routers else next(iter(files)).removesuffix(".yaml"), port=PORT)
    if wanted := list(dict.fromkeys(v for c in found for v in c.secrets.values())):
        literals = " ".join(f'--from-literal={v}="${v}"' for v in wanted)
        about += "\n" + SECRETS.format(name=part_of, literals=literals)
    return {file: documents.text(manifests, about) for file, manifests in files.items()}


def _claims(container: Container) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    if container.needs.weights_bytes:
        found.append((f"{container.service}-weights", container.needs.weights_bytes))
    if container.target.is_router:
        found.append((f"{container.service}-data", container.needs.files_bytes))
    return found


def _pod(container: Container, name: str, secret: str) -> Manifest:
    claimed = {c.rpartition("-")[2]: {"persistentVolumeClaim": {"claimName": c}} for c, _ in _claims(container)}
    # A mode's files go with it, as a Space's do; the router keeps those of its visitors.
    volumes = {"data": {"emptyDir": {"sizeLimit": size(container.needs.files_bytes)}}, **claimed}
    mounts = {"data": DATA, "weights": WEIGHTS}
    space = {
        "name": container.target.mode or "router",
        "image": name,
        "args": [kept(word) for word in container.command],
        "env": environment(container, secret),
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": resources(container),
        "securityContext": CONFINED,
        "volumeMounts": [{"name": v, "mountPath": mounts[v]} for v in volumes],
        **probes(),
    }
    return pod(
        [space],
        container.needs.longest_seconds,
        before=fetching(container, name, secret),
        volumes=[{"name": v, **source} for v, source in volumes.items()],
    )


