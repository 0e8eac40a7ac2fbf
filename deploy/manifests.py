"""The pieces that manifests of Kubernetes are put together from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deploy.containers import HEALTH, PORT, USER, WEIGHTS, Container, kept, script

Manifest = dict[str, Any]
GPU = "nvidia.com/gpu"
COMPONENT = "app.kubernetes.io/component"
WRITABLE_BYTES = 2_000_000_000
"""What a container writes beside its volumes: temporary files and its log."""
SPARE = 1.1
"""Of a volume: a file system keeps some of it for itself."""


def labelled(service: str, part_of: str, component: str) -> dict[str, str]:
    """Kubernetes' own recommended labels."""
    return {
        "app.kubernetes.io/name": service, "app.kubernetes.io/part-of": part_of, COMPONENT: component,
    }  # fmt: skip


def size(count: float) -> str:
    """Bytes as a quantity of Kubernetes."""
    return f"{math.ceil(count / 1e9)}G"


def claim(
    name: str, count: float, labels: Mapping[str, str], storage: str | None, access: str = "ReadWriteOnce"
) -> Manifest:
    """A PersistentVolumeClaim of so many bytes."""
    spec: dict[str, Any] = {"accessModes": [access], "resources": {"requests": {"storage": size(SPARE * count)}}}
    if storage:
        spec["storageClassName"] = storage
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "labels": {**labels}},
        "spec": spec,
    }  # fmt: skip


def deployment(labels: Mapping[str, str], pod: Manifest) -> Manifest:
    """One pod, which ends before its next one starts: both would want the same card and the same disk."""
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": labels["app.kubernetes.io/name"], "labels": {**labels}},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app.kubernetes.io/name": labels["app.kubernetes.io/name"]}},
            "template": {"metadata": {"labels": {**labels}}, "spec": pod},
        },
    }  # fmt: skip


def service(labels: Mapping[str, str]) -> Manifest:
    """The name by which it is called, inside of the cluster alone.

    A mode that ends its last job is still called by it, to hand over the result: the router asks each how it is.
    """
    name = labels["app.kubernetes.io/name"]
    spec: Manifest = {
        "selector": {"app.kubernetes.io/name": name},
        "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
    }
    if labels[COMPONENT] == "mode":
        spec["publishNotReadyAddresses"] = True
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {**labels}}, "spec": spec,
    }  # fmt: skip


def only_from(part_of: str, to: Mapping[str, str], by: Mapping[str, str], port: int | None = PORT) -> Manifest:
    """Pods with the labels `to` are called by those with the labels `by`, and by nobody else."""
    ours = {"app.kubernetes.io/part-of": part_of}
    rule: dict[str, Any] = {"from": [{"podSelector": {"matchLabels": {**ours, **by}}}]}
    if port:
        rule["ports"] = [{"port": port}]
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": f"{part_of}-{next(iter(to.values()))}", "labels": {**ours}},
        "spec": {
            "podSelector": {"matchLabels": {**ours, **to}}, "policyTypes": ["Ingress"], "ingress": [rule],
        },
    }  # fmt: skip


def environment(container: Container, secret: str) -> list[Manifest]:
    """Variables as they are, secrets by where they lie."""
    plain = [{"name": k, "value": kept(v)} for k, v in container.variables.items()]
    return plain + [
        {"name": k, "valueFrom": {"secretKeyRef": {"name": secret, "key": v}}} for k, v in container.secrets.items()
    ]


def fetching(container: Container, name: str, secret: str) -> list[Manifest]:
    """Fills the folder of models before the Space looks into it; what is there is not downloaded again."""
    if not container.fetches:
        return []
    token = {"secretKeyRef": {"name": secret, "key": "HF_TOKEN", "optional": True}}
    return [
        {
            "name": "fetch-models",
            "image": name,
            "command": ["sh", "-c", kept(script(container.fetches))],
            "env": [{"name": "HF_TOKEN", "valueFrom": token}],
            "resources": {"limits": {"memory": "4G"}, "requests": {"cpu": "1", "memory": "2G"}},
            "securityContext": CONFINED,
            "volumeMounts": [{"name": "weights", "mountPath": WEIGHTS}],
        }
    ]


CONFINED: Manifest = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
AS_USER: Manifest = {
    "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip


def resources(container: Container) -> Manifest:
    """Limits. Of memory all is asked for: a Space that has its model loaded needs it. The CPU has no limit."""
    memory = size(container.needs.memory_bytes)
    disk = size(WRITABLE_BYTES + (0 if container.target.is_router else container.needs.files_bytes))
    limits: dict[str, Any] = {"memory": memory, "ephemeral-storage": disk}
    if container.gpu:
        limits[GPU] = 1
    return {
        "limits": limits,
        "requests": {"cpu": "2" if container.gpu else "1", "memory": memory, "ephemeral-storage": disk},
    }


def probes() -> Manifest:
    """Asks for a line that wakes nothing; a busy Space has minutes to give it."""
    get = {"httpGet": {"path": HEALTH, "port": "http"}, "timeoutSeconds": 10}
    return {
        "startupProbe": {**get, "periodSeconds": 10, "failureThreshold": 60},
        "readinessProbe": {**get, "periodSeconds": 10, "failureThreshold": 6},
        "livenessProbe": {**get, "periodSeconds": 30, "failureThreshold": 10},
    }


def pod(
    containers: list[Manifest], grace: int, *, before: Sequence[Manifest] = (), volumes: Sequence[Manifest]
) -> Manifest:
    """A pod that is nobody's administrator. Told to stop, a Space finishes its job within `grace` seconds."""
    spec: Manifest = {
        "automountServiceAccountToken": False,
        # Else the name of each Service makes variables that begin with WAN_, as our own do.
        "enableServiceLinks": False,
        "securityContext": AS_USER,
        "terminationGracePeriodSeconds": grace,
    }
    if before:
        spec["initContainers"] = [*before]
    spec["containers"] = containers
    if any(GPU in c["resources"]["limits"] for c in containers):
        spec["tolerations"] = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
    spec["volumes"] = [*volumes]
    return spec
