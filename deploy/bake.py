"""Makes a repack of a checkpoint that is published in fp32: in bf16, one file at a time, or with blocks in 8 bits."""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import hf_hub_download

from common.catalog import CHECKPOINTS, Checkpoint
from common.errors import InputError
from common.runtime.model import index
from common.runtime.model.weights import ORIGIN
from deploy.errors import Missing
from deploy.hub import Hub

Form = Literal["bf16", "fp8"]

CAST = ("transformer/", "transformer_2/", "text_encoder/")
"""VAE and CLIP stay in fp32, in which they work."""

SKIP = (".md", ".png", ".jpg", ".gif", ".mp4", ".gitattributes")


def repo_of(checkpoint: str, namespace: str, form: Form = "bf16") -> str:
    """Where the repack lies; the default federation file mounts it by this name."""
    return f"{namespace}/{checkpoint}-{form}"


def check(checkpoint: str) -> None:
    """InputError for a checkpoint that needs no repack."""
    wide = [k for k, c in CHECKPOINTS.items() if max(c.published.transformer, c.published.text_encoder) > 2]
    if checkpoint not in wide:
        rule = "must be published in fp32" if checkpoint in CHECKPOINTS else "must be one of the catalog"
        raise InputError("checkpoint", rule, got=repr(checkpoint), hint=f"try {', '.join(wide)}")


def bake(hub: Hub, checkpoint: str, namespace: str, *, private: bool = False, form: Form = "bf16") -> str:
    """Write the repack and return its repository. Run again, it goes on with what is missing, of the same commit.

    The index of shards is copied as it is: loaders read its map of names, which stays the same. In 8 bits, a
    transformer is read whole: that takes the disk for its fp32 files and the memory for it in bf16.
    """
    check(checkpoint)
    row = CHECKPOINTS[checkpoint]
    source, target = row.repo, repo_of(checkpoint, namespace, form)
    api = hub.api
    hub.call(f"create {target}", lambda: api.create_repo(target, exist_ok=True, private=private))
    try:
        have = set(hub.call(f"list the files of {target}", lambda: api.list_repo_files(target)))
    except Missing:
        have = set()
    commit = _commit(hub, row, target if ORIGIN in have else "")
    there = set(hub.call(f"list the files of {source}", lambda: api.list_repo_files(source, revision=commit)))
    missing = todo(sorted(there), have)
    hub.say(f"{source} → {target}: {len(missing)} files to go")
    with tempfile.TemporaryDirectory(prefix="wan-bake-") as folder:
        if ORIGIN not in have:
            file = Path(folder) / ORIGIN
            file.write_text(json.dumps({"repository": source, "revision": commit, "form": form}))
            send(hub, target, ORIGIN, file, form)
    for part in sorted({p.split("/")[0] for p in missing if form == "fp8" and p.startswith("transformer")}):
        files = [p for p in sorted(there) if p.startswith(f"{part}/")]
        if f"{part}/config.json" in missing:  # written last
            with tempfile.TemporaryDirectory(prefix="wan-bake-") as folder:
                _eight_bits(hub, source, commit, target, files, Path(folder))
        missing = [p for p in missing if p not in files]
    for path in missing:
        hub.say(f"  {path}")
        with tempfile.TemporaryDirectory(prefix="wan-bake-") as folder:
            _one(hub, source, commit, target, path, Path(folder), form)
    return target


def _commit(hub: Hub, row: Checkpoint, begun: str) -> str:
    """Which commit is repacked: that of a repack that was begun, the pinned one, or what is there today."""
    if begun:
        return str(hub.read_json(begun, ORIGIN).get("revision", "")) or "main"
    info = hub.call(f"look at {row.repo}", lambda: hub.api.model_info(row.repo, revision=row.revision))
    return info.sha or row.revision or "main"


def todo(there: Sequence[str], have: set[str]) -> list[str]:
    """Files still to be written, the index of the pipeline last: with it the repack is complete."""
    wanted = [p for p in there if not p.endswith(SKIP) and p not in have]
    return sorted(wanted, key=lambda p: p in index.NAMES)


def _one(hub: Hub, source: str, commit: str, target: str, path: str, folder: Path, form: Form) -> None:
    file = _fetch(hub, source, commit, path, folder)
    if path.startswith(CAST) and path.endswith(".safetensors"):
        file = cast(file, folder / "bf16.safetensors", keep() if path.startswith("transformer") else ())
    send(hub, target, path, file, form)


def _fetch(hub: Hub, source: str, commit: str, path: str, folder: Path) -> Path:
    endpoint, token = hub.api.endpoint, hub.api.token

    def fetch() -> str:
        return hf_hub_download(
            source, path, revision=commit, local_dir=folder, endpoint=endpoint, token=token
        )

    return Path(hub.call(f"read {path} of {source}", fetch))


def send(hub: Hub, target: str, path: str, file: Path, form: Form) -> None:
    """Writes one file of a repack."""

    def write() -> Any:
        return hub.api.upload_file(
            path_or_fileobj=file, path_in_repo=path, repo_id=target, commit_message=f"{form}: {path}"
        )

    hub.call(f"write {path} to {target}", write)


def keep() -> Sequence[str]:
    """Modules of a transformer that diffusers keeps in fp32: cast, they would not be what the repository holds."""
    diffusers: Any = importlib.import_module("diffusers")
    kinds = (diffusers.WanTransformer3DModel, diffusers.WanAnimateTransformer3DModel)
    return list(dict.fromkeys(name for kind in kinds for name in kind._keep_in_fp32_modules or ()))


def cast(source: Path, target: Path, kept: Sequence[str] = ()) -> Path:
    """A safetensors file with every fp32 tensor in bf16, but those of the modules `kept`; other dtypes and the
    metadata stay."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    with safe_open(source, framework="pt") as file:
        metadata = file.metadata()
        for name in file.keys():  # noqa: SIM118 - not a dictionary
            tensor = file.get_tensor(name)
            halve = tensor.dtype == torch.float32 and not {*kept} & {*name.split(".")}
            tensors[name] = tensor.to(torch.bfloat16) if halve else tensor
    save_file(tensors, target, metadata=metadata)
    return target


def _eight_bits(hub: Hub, source: str, commit: str, target: str, files: Sequence[str], folder: Path) -> None:
    for path in files:
        hub.say(f"  {path}")
        _fetch(hub, source, commit, path, folder)
    part = files[0].split("/")[0]
    made = eight_bits(folder / part, folder / "fp8")
    for file in sorted(made.iterdir(), key=lambda f: f.name == "config.json"):
        hub.say(f"  {part}/{file.name}, in 8 bits")
        send(hub, target, f"{part}/{file.name}", file, "fp8")


def eight_bits(source: Path, target: Path) -> Path:
    """A transformer's folder with the weights of its blocks in 8 bits, as `settle` would make them.

    But for a VACE block's own proj_out: diffusers takes it for the transformer's of that name, and leaves both.
    """
    import torch
    from torchao.quantization import Float8WeightOnlyConfig

    diffusers: Any = importlib.import_module("diffusers")
    config: Mapping[str, Any] = json.loads((source / "config.json").read_text())
    kind: Any = getattr(diffusers, config["_class_name"])
    with torch.device("meta"):
        linear = [n for n, m in kind.from_config(config).named_modules() if isinstance(m, torch.nn.Linear)]
    outside = [name for name in linear if not name.startswith(("blocks.", "vace_blocks."))]
    form = diffusers.TorchAoConfig(Float8WeightOnlyConfig(), modules_to_not_convert=outside)
    model = kind.from_pretrained(source, torch_dtype=torch.bfloat16, quantization_config=form)
    model.save_pretrained(target, max_shard_size="5GB")
    return target
