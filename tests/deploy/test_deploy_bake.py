"""The bf16 repack: what is cast, what is left, and that a second run goes on where the first stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from common.errors import InputError
from deploy import bake, federation, targets
from deploy.hub import Hub

SHARD = "transformer/diffusion_pytorch_model-00001-of-00002.safetensors"


def test_deploy_bake_casts_fp32_alone(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(4, 4), "b": torch.ones(2, dtype=torch.int64), "c": torch.ones(2).half()}
    save_file(tensors, tmp_path / "in.safetensors", metadata={"format": "pt"})
    out = load_file(bake.cast(tmp_path / "in.safetensors", tmp_path / "out.safetensors"))
    assert {k: v.dtype for k, v in out.items()} == {"a": torch.bfloat16, "b": torch.int64, "c": torch.float16}
    assert torch.equal(out["a"], tensors["a"].bfloat16())


class FakeApi:
    """Two model repositories in memory; the stand-in Hub knows Spaces only."""

    endpoint, token = "http://nowhere", "t"

    def __init__(self, source: Path) -> None:
        self.source, self.written = source, dict[str, bytes]()

    def list_repo_files(self, repo: str) -> list[str]:
        if repo.startswith("Wan-AI/"):
            return [p.relative_to(self.source).as_posix() for p in self.source.rglob("*.*")]
        return list(self.written)

    def create_repo(self, repo: str, **_: Any) -> None:
        assert repo == "ada/wan2.2-t2v-a14b-bf16"

    def upload_file(self, *, path_or_fileobj: Path, path_in_repo: str, **_: Any) -> None:
        self.written[path_in_repo] = Path(path_or_fileobj).read_bytes()


def test_deploy_bake_writes_what_is_missing_and_the_index_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("model_index.json", "README.md", "scheduler/config.json", SHARD, "vae/model.safetensors"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".safetensors":
            save_file({"w": torch.ones(64, 64)}, file)
        else:
            file.write_text("{}")
    api = FakeApi(tmp_path)
    monkeypatch.setattr(bake, "hf_hub_download", lambda repo, path, **_: str(tmp_path / path))
    hub = Hub(api, say=lambda _: None)  # type: ignore[arg-type]
    api.written["scheduler/config.json"] = b"from an earlier run"
    assert bake.bake(hub, "wan2.2-t2v-a14b", "ada") == "ada/wan2.2-t2v-a14b-bf16"
    assert list(api.written) == ["scheduler/config.json", SHARD, "vae/model.safetensors", "model_index.json"]
    assert len(api.written[SHARD]) < len(api.written["vae/model.safetensors"])  # the VAE stays fp32
    before = dict(api.written)
    bake.bake(hub, "wan2.2-t2v-a14b", "ada")
    assert api.written == before
    with pytest.raises(InputError, match=r"try wan2\.2-t2v-a14b, wan2\.2-i2v-a14b"):
        bake.bake(hub, "nothing", "ada")


def test_deploy_bake_writes_to_where_the_default_file_mounts_from() -> None:
    mounted = {v.source for t in targets.resolve(federation.load(), "ada") for v in t.volumes}
    assert mounted == {bake.repo_of(k, "ada") for k in ("wan2.2-t2v-a14b", "wan2.2-i2v-a14b")}
