"""The whole Studio on Kubernetes over a Ray cluster that KubeRay runs: one page, and a worker for each card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from common.errors import InputError
from common.modes.all import MODES
from deploy.containers import DATA, IMAGE, PORT, WEIGHTS, Container, containers, services
from deploy.kubernetes import written
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
from deploy.needs import LEAST_SECONDS, PROCESS_BYTES, Needs
from deploy.requirements import pins
from deploy.targets import Target

CLIENT = 10001
"""Where the head of a cluster takes programs from. Who reaches it runs what they like: the studio alone may."""

ALIVE: Manifest = {
    "exec": {"command": ["ray", "health-check"]},
    "initialDelaySeconds": 30, "timeoutSeconds": 20, "periodSeconds": 30, "failureThreshold": 10,
}  # fmt: skip
"""KubeRay's own probes want wget and Ray's dashboard, neither of which is in the image."""


def ray_cluster(
    targets: Sequence[Target], project: str, *, gpus: int, use: str | None = None, storage: str | None = None
) -> dict[str, str]:
    """The files by name: a RayCluster of `gpus` workers with a card each, and the Studio that gives them work."""
    if gpus < 1:
        raise InputError("--gpus", "must be 1 or more", got=gpus)
    name = use or f"{IMAGE}:ray"
    part_of = services({"": project})[""]
    head = services({"": f"{part_of}-ray-head-svc"})[""]  # the name that KubeRay gives it
    cluster = head.removesuffix("-head-svc")
    found = containers(targets)
    modes = [c for c in found if c.target.mode is not None]
    if not modes or len(modes) == len(found):
        raise InputError("--only", "must be left out with --ray: the Studio is one program")
    worker = _worker(modes)
    studio = _studio(found, modes, f"ray://{head}:{CLIENT}")
    labels = labelled(part_of, part_of, "studio")
    data, weights = f"{part_of}-data", f"{cluster}-weights"
    claims = [claim(data, studio.needs.files_bytes, labels, storage)]
    if worker.needs.weights_bytes:  # all workers read the same models, wherever they run
        claims.append(claim(weights, worker.needs.weights_bytes, labels, storage, "ReadWriteMany"))
    files: dict[str, list[Manifest]] = {
        "studio.yaml": [*claims, deployment(labels, _studio_pod(studio, name, part_of, data)), service(labels)],
        "ray-cluster.yaml": [
            {
                "apiVersion": "ray.io/v1",
                "kind": "RayCluster",
                "metadata": {"name": cluster, "labels": labelled(cluster, part_of, "ray")},
                "spec": _cluster(worker, name, part_of, weights, gpus),
            }
        ],
        "network-policy.yaml": [_inside(part_of)],
    }
    return written(files, [part_of], part_of, found)


def _inside(part_of: str) -> Manifest:
    policy = only_from(part_of, {COMPONENT: "ray"}, {COMPONENT: "studio"}, CLIENT)
    among = {"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": part_of, COMPONENT: "ray"}}}
    policy["spec"]["ingress"].append({"from": [among]})
    return policy


def _worker(modes: Sequence[Container]) -> Container:
    """One that can do the work of every mode: the most memory that one of them takes, the weights of all."""
    each = {c.target.checkpoints: c.needs.weights_bytes for c in modes}
    needs = Needs(
        max(c.needs.memory_bytes for c in modes),
        sum(each.values()),
        max(c.needs.files_bytes for c in modes),
        max(c.needs.longest_seconds for c in modes),
    )
    variables = {k: v for c in modes for k, v in c.variables.items() if k in ("WAN_WEIGHTS", "WAN_MODELS")}
    variables |= _carried(modes)
    fetches = tuple(dict.fromkeys(f for c in modes for f in c.fetches))
    return replace(
        modes[0],
        service="ray",
        variables=variables,
        secrets={},
        gpu=any(c.gpu for c in modes),
        needs=needs,
        fetches=fetches,
    )


def _carried(modes: Sequence[Container]) -> dict[str, str]:
    """The checkpoints of all modes, which is what there is room for; Wan-Nano has room for every one."""
    keys = dict.fromkeys(key for c in modes for key in c.target.checkpoints)
    return {"WAN_CHECKPOINTS": ",".join(keys)} if keys else {}


def _studio(found: Sequence[Container], modes: Sequence[Container], address: str) -> Container:
    router = next(c for c in found if c.target.is_router)
    wan = any(c.target.weights == "wan" for c in modes)
    keys = list(dict.fromkeys(str(c.target.mode) for c in modes))
    only = ("--only", *keys) if len(keys) < len(MODES) else ()
    command = ("wan-studio", "studio", "--host", "0.0.0.0", "--ray", address)
    variables = {k: v for k, v in router.variables.items() if k not in ("WAN_FEDERATION", "WAN_WEIGHTS")}
    variables |= _carried(modes)
    longest = max(c.needs.longest_seconds for c in modes)
    needs = replace(router.needs, memory_bytes=PROCESS_BYTES, longest_seconds=longest)
    return replace(
        router,
        command=(*command, "--weights", "wan" if wan else "nano", *only),
        variables=variables,
        secrets={k: v for c in found for k, v in c.secrets.items()},
        needs=needs,
    )


def _studio_pod(studio: Container, name: str, secret: str, data: str) -> Manifest:
    page = {
        "name": "studio",
        "image": name,
        "args": list(studio.command),
        "env": environment(studio, secret),
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": resources(studio),
        "securityContext": CONFINED,
        "volumeMounts": [{"name": "data", "mountPath": DATA}],
        **probes(),
    }
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": data}}]
    return pod([page], studio.needs.longest_seconds, volumes=volumes)


def _cluster(worker: Container, name: str, part_of: str, weights: str, gpus: int) -> Manifest:
    spec: dict[str, Any] = {"rayVersion": version} if (version := pins().get("ray")) else {}
    least = replace(worker.needs, memory_bytes=PROCESS_BYTES, weights_bytes=0, longest_seconds=LEAST_SECONDS)
    head = replace(worker, gpu=False, fetches=(), needs=least)
    return spec | {
        "headGroupSpec": {
            # It keeps the books, and does no work.
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},
            "template": _ray_pod(head, "ray-head", name, part_of, weights, [6379, 8265, CLIENT]),
        },
        "workerGroupSpecs": [
            {
                "groupName": "gpu", "replicas": gpus, "minReplicas": gpus, "maxReplicas": gpus,
                "rayStartParams": {"num-gpus": "1" if worker.gpu else "0"},
                "template": _ray_pod(worker, "ray-worker", name, part_of, weights, []),
            }
        ],
    }  # fmt: skip


def _ray_pod(
    container: Container, called: str, name: str, part_of: str, weights: str, ports: Sequence[int]
) -> Manifest:
    sources: dict[str, tuple[str, Manifest]] = {
        "data": (DATA, {"emptyDir": {"sizeLimit": size(container.needs.files_bytes)}}),
        "memory": ("/dev/shm", {"emptyDir": {"medium": "Memory", "sizeLimit": "2G"}}),
    }
    if container.needs.weights_bytes:
        sources["weights"] = (WEIGHTS, {"persistentVolumeClaim": {"claimName": weights}})
    ray: Manifest = {
        "name": called,
        "image": name,
        "env": environment(container, part_of),
        "resources": resources(container),
        "securityContext": CONFINED,
        "volumeMounts": [{"name": v, "mountPath": path} for v, (path, _) in sources.items()],
        "readinessProbe": ALIVE,
        "livenessProbe": ALIVE,
    }
    if ports:
        ray["ports"] = [{"containerPort": port} for port in ports]
    spec = pod(
        [ray],
        container.needs.longest_seconds,
        before=fetching(container, name, part_of),
        volumes=[{"name": v, **source} for v, (_, source) in sources.items()],
    )
    return {"metadata": {"labels": labelled(called, part_of, "ray")}, "spec": spec}
