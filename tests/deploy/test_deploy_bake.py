"""The bf16 repack: what is cast, what is left, and that a second run goes on where the first stopped."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file, save_file
from transformers import UMT5EncoderModel

from common.catalog import CHECKPOINTS
from common.contract import Backend, Placement
from common.errors import InputError
from common.runtime.device.residency import Residency
from common.runtime.model import configs, load, lora, settle, weights, whole
from deploy import bake, federation, targets
from deploy.hub import Hub
from tests.common.runtime.model.tiny_rows import copied, shrink

TEXT = "text_encoder/model.safetensors"
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
        self.source, self.written, self.sha = source, dict[str, bytes](), "a" * 40
        self.asked = set[str | None]()

    def list_repo_files(self, repo: str, revision: str | None = None) -> list[str]:
        if repo.startswith("Wan-AI/"):
            return [p.relative_to(self.source).as_posix() for p in self.source.rglob("*.*")]
        return list(self.written)

    def model_info(self, repo: str, revision: str | None = None) -> Any:
        return SimpleNamespace(sha=revision or self.sha)

    def create_repo(self, repo: str, **_: Any) -> None:
        self.made = repo

    def upload_file(self, *, path_or_fileobj: Path, path_in_repo: str, **_: Any) -> None:
        self.written[path_in_repo] = Path(path_or_fileobj).read_bytes()


def test_deploy_bake_writes_what_is_missing_and_the_index_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "model_index.json",
        "README.md",
        "scheduler/config.json",
        SHARD,
        TEXT,
        "vae/model.safetensors",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".safetensors":
            save_file({"w": torch.ones(64, 64)}, file)
        else:
            file.write_text("{}")
    api, hub = served(tmp_path, monkeypatch)
    api.written["scheduler/config.json"] = b"from an earlier run"
    assert bake.bake(hub, "wan2.2-t2v-a14b", "ada") == "ada/wan2.2-t2v-a14b-bf16"
    first = ["scheduler/config.json", weights.ORIGIN]
    assert list(api.written) == [*first, TEXT, SHARD, "vae/model.safetensors", "model_index.json"]
    origin = {"repository": "Wan-AI/Wan2.2-T2V-A14B-Diffusers", "revision": "a" * 40, "form": "bf16"}
    assert json.loads(api.written[weights.ORIGIN]) == origin
    assert len(api.written[TEXT]) == len(api.written[SHARD])
    assert len(api.written[SHARD]) < len(api.written["vae/model.safetensors"])  # the VAE stays fp32
    before = dict(api.written)
    del api.written["model_index.json"]
    api.sha = "b" * 40  # the source moved on: what was begun is ended from the same commit
    bake.bake(hub, "wan2.2-t2v-a14b", "ada")
    assert api.written == before and api.asked == {"a" * 40}


def test_deploy_bake_knows_what_needs_a_repack() -> None:
    bake.check("wan2.1-t2v-14b")
    with pytest.raises(InputError, match=r"one of the catalog; got 'nothing', try wan2\.1-t2v-1\.3b, "):
        bake.check("nothing")
    with pytest.raises(InputError, match="must be published in fp32"):
        bake.check("wan2.2-s2v-14b")


def published(kind: str, target: Path) -> Path:
    """A Wan-Nano model in fp32, as Wan-AI publishes, with more in it than bf16 holds."""
    folder = copied(kind, target)
    for file in folder.rglob("*.safetensors"):
        tensors = {k: v.float() * (1 + 1e-4) for k, v in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})
    return folder


def repacked(api: FakeApi, target: Path) -> Path:
    for name, data in api.written.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)
    return target


def test_deploy_bake_of_2_1_loads_as_the_original_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = published("dense", tmp_path / "s")
    api, hub = served(source, monkeypatch)
    assert bake.bake(hub, "wan2.1-t2v-14b", "ada") == "ada/wan2.1-t2v-14b-bf16"
    made = repacked(api, tmp_path / "r")
    assert whole.is_whole(made) and weights.revision(made, "wan") == "a" * 40 + "+bf16"
    for part, kind in (("transformer", WanTransformer3DModel), ("text_encoder", UMT5EncoderModel)):
        one, two = (kind.from_pretrained(f / part, dtype=torch.bfloat16).state_dict() for f in (source, made))
        assert [k for k in one if one[k].dtype != two[k].dtype or not torch.equal(one[k], two[k])] == []
        sizes = [sum(f.stat().st_size for f in (x / part).glob("*.safetensors")) for x in (source, made)]
        assert 0.49 < sizes[1] / sizes[0] < 0.75
    assert (made / "vae/config.json").read_bytes() == (source / "vae/config.json").read_bytes()


@pytest.mark.parametrize("kind", ["dense", "vace"])
def test_deploy_bake_in_8_bits_is_what_loading_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    key, pipeline = {
        "dense": ("wan2.1-t2v-1.3b", "WanPipeline"),
        "vace": ("wan2.1-vace-1.3b", "WanVACEPipeline"),
    }[kind]
    source = published(kind, tmp_path / "s")
    api, hub = served(source, monkeypatch)
    assert bake.bake(hub, key, "ada", form="fp8") == f"ada/{key}-fp8"
    names = [name for name in api.written if name.startswith("transformer/")]
    assert names[-1] == "transformer/config.json" and list(api.written)[-1] == "model_index.json"
    made = repacked(api, tmp_path / "r")
    before = dict(api.written)
    bake.bake(hub, key, "ada", form="fp8")
    assert api.written == before
    assert whole.is_whole(made) and weights.revision(made, "wan") == "a" * 40 + "+fp8"
    shrink(monkeypatch)
    configs.check(made, CHECKPOINTS[key], "wan")
    placed = Placement(
        precision={"transformer": "float8", "vae_decode": "float32"}, peak_bytes=0, weight_bytes=0
    )
    monkeypatch.setattr(load, "dtype_of", lambda part, _: torch.float32 if part == "vae" else torch.bfloat16)
    pipes = [load.build(pipeline, f, Backend(), Residency("cpu")) for f in (source, made)]
    for pipe in pipes:
        settle.settle(pipe, placed, Backend())
    one, two = (wide(p.transformer) for p in pipes)
    # Of VACE's hints, diffusers leaves proj_in or proj_out as they are where those of the whole model stay.
    other = {k for k in one if not torch.equal(one[k], two[k])}
    assert all(k.startswith("vace_blocks.") and ".proj_" in k for k in other)
    assert kind == "vace" or not other
    assert sum("Float8" in type(p.data).__name__ for p in pipes[1].transformer.parameters()) > 20


def test_deploy_bake_in_8_bits_takes_loras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attached to a repack, they are the same beside the same: A14B has one in its Fast preset."""
    shrink(monkeypatch)
    row = CHECKPOINTS["wan2.2-t2v-a14b"]
    source = published("moe", tmp_path / "s")
    api, hub = served(source, monkeypatch)
    bake.bake(hub, row.key, "ada", form="fp8")
    monkeypatch.setenv("WAN_MODELS", str(tmp_path / "r"))
    made = repacked(api, tmp_path / "r" / row.key)
    assert weights.in_8_bits([row]) == [row.key]
    placed = Placement(precision={"transformer": "float8", "vae_decode": "float32"}, peak_bytes=0, weight_bytes=0)
    monkeypatch.setattr(load, "dtype_of", lambda part, _: torch.float32 if part == "vae" else torch.bfloat16)
    states: list[dict[str, torch.Tensor]] = []
    for folder in (source, made):
        pipe = load.build("WanPipeline", folder, Backend(), Residency("cpu"))
        for key in row.attachable("nano"):
            lora.attach(pipe, key, row, "nano", None)
        settle.settle(pipe, placed, Backend())
        states.append({f"{i}.{k}": v for i, t in enumerate(load.transformers(pipe)) for k, v in wide(t).items()})
    one, two = states
    assert one.keys() == two.keys() and sum(".lora_" in k for k in one) > 20
    assert [k for k in one if one[k].dtype != two[k].dtype or not torch.equal(one[k], two[k])] == []


def wide(module: Any) -> dict[str, torch.Tensor]:
    return {k: v.dequantize() if "Float8" in type(v).__name__ else v for k, v in module.state_dict().items()}


def served(source: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeApi, Hub]:
    api = FakeApi(source)

    def fetch(repo: str, path: str, *, revision: str, local_dir: Path, **_: Any) -> str:
        api.asked.add(revision)
        target = Path(local_dir) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((source / path).read_bytes())
        return str(target)

    monkeypatch.setattr(bake, "hf_hub_download", fetch)
    monkeypatch.setattr(Hub, "read_json", lambda self, repo, path, *_: json.loads(api.written[path]))
    return api, Hub(api, say=lambda _: None)  # type: ignore[arg-type]


def test_deploy_bake_writes_to_where_the_default_file_mounts_from() -> None:
    mounted = {v.source for t in targets.resolve(federation.load(), "ada") for v in t.volumes}
    assert mounted == {bake.repo_of(k, "ada") for k in ("wan2.2-t2v-a14b", "wan2.2-i2v-a14b")}
