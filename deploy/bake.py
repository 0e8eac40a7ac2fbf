"""Makes a bf16 repack of a checkpoint whose transformers are published in fp32, one file at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download

from common.catalog import CHECKPOINTS
from common.errors import InputError
from deploy.errors import Missing
from deploy.hub import Hub

CAST = ("transformer/", "transformer_2/")
"""Only the experts are cast: the VAE encodes in fp32, and UMT5 is bf16 already."""

SKIP = (".md", ".png", ".jpg", ".gif", ".mp4", ".gitattributes")


def repo_of(checkpoint: str, namespace: str) -> str:
    """Where the repack lies; the default federation file mounts it by this name."""
    return f"{namespace}/{checkpoint}-bf16"


def check(checkpoint: str) -> None:
    """InputError for a checkpoint that is not published in fp32, and so needs no repack."""
    known = [k for k, c in CHECKPOINTS.items() if c.repo_bytes_per_parameter > 2]
    if checkpoint not in known:
        rule = "must be published in fp32" if checkpoint in CHECKPOINTS else "must be one of the catalog"
        raise InputError("checkpoint", rule, got=repr(checkpoint), hint=f"try {', '.join(known)}")


def bake(hub: Hub, checkpoint: str, namespace: str, *, private: bool = False) -> str:
    """Write the repack and return its repository. Run again, it goes on with what is missing.

    The index of shards is copied as it is: loaders read its map of names, which stays the same.
    """
    check(checkpoint)
    source, target = CHECKPOINTS[checkpoint].repo, repo_of(checkpoint, namespace)
    api = hub.api
    there = set(hub.call(f"list the files of {source}", lambda: api.list_repo_files(source)))
    hub.call(f"create {target}", lambda: api.create_repo(target, exist_ok=True, private=private))
    try:
        have = set(hub.call(f"list the files of {target}", lambda: api.list_repo_files(target)))
    except Missing:
        have = set()
    missing = todo(sorted(there), have)
    hub.say(f"{source} → {target}: {len(missing)} files to go")
    for path in missing:
        hub.say(f"  {path}")
        with tempfile.TemporaryDirectory(prefix="wan-bake-") as folder:
            _one(hub, source, target, path, Path(folder))
    return target


def todo(there: Sequence[str], have: set[str]) -> list[str]:
    """Files still to be written, the index of the pipeline last: with it the repack is complete."""
    wanted = [p for p in there if not p.endswith(SKIP) and p not in have]
    return sorted(wanted, key=lambda p: p == "model_index.json")


def _one(hub: Hub, source: str, target: str, path: str, folder: Path) -> None:
    def fetch() -> str:
        return hf_hub_download(source, path, local_dir=folder, endpoint=hub.api.endpoint, token=hub.api.token)

    file = Path(hub.call(f"read {path} of {source}", fetch))
    if path.startswith(CAST) and path.endswith(".safetensors"):
        file = cast(file, folder / "bf16.safetensors")

    def send() -> Any:
        return hub.api.upload_file(
            path_or_fileobj=file, path_in_repo=path, repo_id=target, commit_message=f"bf16: {path}"
        )

    hub.call(f"write {path} to {target}", send)


def cast(source: Path, target: Path) -> Path:
    """A safetensors file with every fp32 tensor in bf16; other dtypes and the metadata stay."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    with safe_open(source, framework="pt") as file:
        metadata = file.metadata()
        for name in file.keys():  # noqa: SIM118 - not a dictionary
            tensor = file.get_tensor(name)
            tensors[name] = tensor.to(torch.bfloat16) if tensor.dtype == torch.float32 else tensor
    save_file(tensors, target, metadata=metadata)
    return target
