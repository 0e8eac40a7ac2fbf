"""The federation as a Compose file and as manifests: every fact of the federation file, and no string misread."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient

from common.catalog import CHECKPOINTS
from common.errors import InputError
from common.modes.all import MODES
from common.page.door import own_names
from common.placement import HOST_SHARE, most_waiting
from deploy import cli, compose, containers, federation, kubernetes, ray_cluster, targets
from deploy.needs import ANY_CARD
from deploy.targets import Target
from router import federation as places
from tests.common.fakes import FakeService, space_of

STRANGE = {
    "A": "no", "B": "1e3", "C": "null", "D": "${HOME}", "E": "a\nb: c # d", "F": "it's \"so\"", "G": "$(x) $$",
    "H": "", "I": "0o17", "J": "- x", "K": "é€ ", "L": "2026-01-01", "M": "~", "N": "\u2028\x07",
    "O": "*a", "P": "1_0",
}  # fmt: skip


def file(tmp_path: Path, text: str) -> list[Target]:
    path = tmp_path / "federation.toml"
    path.write_text(text, encoding="utf-8")
    loaded = federation.load(path)
    return targets.resolve(loaded, loaded.namespace or federation.NOBODY)


def composed(found: list[Target], **more: Any) -> dict[str, Any]:
    return yaml.safe_load(compose.compose(found, "wan-studio", port=7860, host="127.0.0.1", **more))


def manifests(files: dict[str, str]) -> list[dict[str, Any]]:
    return [document for text in files.values() for document in yaml.safe_load_all(text)]


def demo() -> list[Target]:
    return targets.resolve(federation.load(profile="demo"), "ada")


def full() -> list[Target]:
    return targets.resolve(federation.load(), "ada")


def test_the_router_finds_each_mode_by_the_name_that_its_door_knows() -> None:
    made = composed(demo())["services"]
    table = places.parse(made["router"]["environment"]["WAN_FEDERATION"])
    assert table.keys() == MODES.keys()
    for mode, (place,) in table.items():
        name = place.where.removeprefix("http://").removesuffix(":7860/")
        assert made[name]["command"] == ["python", f"spaces/{mode}/app.py"]
        assert name in own_names(made[name]["environment"]["WAN_HOSTS"])
        assert place.inside and not place.public, "no browser knows it, no Space may fetch from it"
    assert made["router"]["ports"] == ["127.0.0.1:7860:7860"] and not any("ports" in made[m] for m in MODES)
    assert made["router"]["depends_on"].keys() == MODES.keys()


def test_without_a_gpu_none_is_asked_for_and_the_image_is_the_small_one() -> None:
    made = composed(demo())["services"]
    assert {s["image"] for s in made.values()} == {"wan-studio:cpu"}
    assert not any("reservations" in s["deploy"]["resources"] for s in made.values())


def test_cards_are_dealt_out_in_turn_and_the_router_has_none() -> None:
    made = composed(full(), gpus=3)["services"]
    cards = [
        s["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"][0]
        for name, s in made.items()
        if name not in ("router", compose.FETCH)
    ]
    assert cards == [str(i % 3) for i in range(len(cards))] and len(cards) == 10
    assert "reservations" not in made["router"]["deploy"]["resources"]
    assert not any("WAN_GPU_SIZE" in s["environment"] for s in made.values()), "a tier of ZeroGPU's alone"


def test_what_the_hub_mounts_is_fetched_before_its_space_starts() -> None:
    made = composed(full())["services"]
    shell = made[compose.FETCH]["command"][-1]
    words = "ada/wan2.2-t2v-a14b-bf16 --repo-type=model --local-dir=/weights/models/wan2.2-t2v-a14b"
    assert f"hf download {words} &&" in shell
    assert made["t2v"]["depends_on"] == {compose.FETCH: {"condition": "service_completed_successfully"}}
    assert made["t2v"]["environment"]["WAN_MODELS"] == "/weights/models" and "depends_on" not in made["vace"]


@pytest.mark.parametrize("kind", ["compose", "kubernetes"])
def test_strange_values_arrive_as_they_are(kind: str, tmp_path: Path) -> None:
    values = ", ".join(f"{k} = {json.dumps(v)}" for k, v in STRANGE.items())
    found = file(tmp_path, f'weights = "nano"\n[[spaces]]\nmode = "t2v"\nvariables = {{{values}}}\n')
    if kind == "compose":
        got = composed(found)["services"]["t2v"]["environment"]
    else:
        made = manifests(kubernetes.kubernetes(found, "wan-studio"))
        space = next(m for m in made if m["kind"] == "Deployment" and m["metadata"]["name"].endswith("t2v"))
        got = {e["name"]: e["value"] for e in space["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert {k: got[k].replace("$$", "$") for k in STRANGE} == STRANGE
    assert not any(re.search(r"(?<!\$)(\$\$)*\$(?!\$)", value) for value in got.values()), "nothing is put in"


def test_texts_that_other_readers_take_for_numbers_are_quoted(tmp_path: Path) -> None:
    values = 'variables = {A = "1e3", B = "no", C = "0o7"}'
    found = file(tmp_path, f'[[spaces]]\nmode = "t2v"\nweights = "nano"\n{values}\n')
    text = compose.compose(found, "wan-studio", port=1, host="::1")
    assert 'A: "1e3"' in text and 'B: "no"' in text and 'C: "0o7"' in text and '"[::1]:1:7860"' in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('variables = {"A B" = "x"}', "names of letters, digits"),
        ('variables = {"A\\nB" = "x"}', "names of letters, digits"),
        ('variables = {A = "x\\u0000"}', "NUL"),
        ('variables = {WAN_ADMIN = "0123456789abcdef"}', "must not hold WAN_ADMIN"),
        ('secrets = {WAN_ADMIN = "hf_abc"}', "never the secret itself"),
        ('secrets = {WAN_ADMIN = "NAME\\n"}', "never the secret itself"),
        ('secrets = {"A=B" = "NAME"}', "names of letters, digits"),
        ('volumes = ["--token/x"]', "owner/name"),
        ('volumes = ["a/b; rm -rf /"]', "owner/name"),
        ('volumes = ["{namespace}/b"]', "--namespace is required"),
        ('volumes = [{source = "a/b", type = "bucket"}]', "whole model or dataset"),
        ('volumes = [{source = "a/b", path = "c"}]', "whole model or dataset"),
        ('volumes = [{source = "a/b", mount_path = "/etc"}]', "below /models/"),
        ('volumes = [{source = "a/b", mount_path = "/models/../etc"}]', "below /models/"),
        (f'name = "{"a" * 70}"', "63 characters"),
        ('name = "I2V"\n[[spaces]]\nmode = "i2v"', "both are i2v"),
        ('name = "router"', "must be unique"),
        ('name = "Router"', "both are router"),
        ('name = "fetch-models"', "a service of its own"),
    ],
)
def test_what_cannot_be_a_container_is_refused_by_name(line: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        composed(file(tmp_path, f'[[spaces]]\nmode = "t2v"\n{line}\n'))
    assert said in refused.value.text and "hf_abc" not in refused.value.text


def test_a_secret_is_named_and_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_ADMIN", "0123456789abcdef")
    found = file(
        tmp_path,
        '[[spaces]]\nmode = "t2v"\nweights = "nano"\nsecrets = {WAN_ADMIN = "MY_ADMIN"}\n'
        '[router]\nsecrets = {WAN_READ_TOKEN = "MY_TOKEN"}\n',
    )
    text = compose.compose(found, "wan-studio", port=7860, host="127.0.0.1")
    made = kubernetes.kubernetes(found, "wan-studio")
    assert "WAN_ADMIN: \"${MY_ADMIN:?" in text and "0123456789abcdef" not in text + "".join(made.values())
    assert "MY_TOKEN" not in text, "it reads private Spaces, of which there are none"
    space = next(m for m in manifests(made) if m["kind"] == "Deployment")
    env = {e["name"]: e for e in space["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["WAN_ADMIN"]["valueFrom"] == {"secretKeyRef": {"name": "wan-studio", "key": "MY_ADMIN"}}
    assert '--from-literal=MY_ADMIN="$MY_ADMIN"' in made["wan-studio-t2v.yaml"]


def test_each_deployment_is_called_probed_limited_and_stopped_in_time() -> None:
    made = manifests(kubernetes.kubernetes(full(), "wan-studio"))
    kinds: dict[str, dict[str, Any]] = {}
    for m in made:
        kinds.setdefault(m["kind"], {})[m["metadata"]["name"]] = m
    assert len(kinds["Deployment"]) == 11 and kinds["Deployment"].keys() == kinds["Service"].keys()
    for name, each in kinds["Deployment"].items():
        pod = each["spec"]["template"]
        wanted = kinds["Service"][name]["spec"]["selector"]
        assert wanted.items() <= pod["metadata"]["labels"].items()
        assert wanted == each["spec"]["selector"]["matchLabels"]
        # One that finishes its last job is called still, to hand it over.
        assert kinds["Service"][name]["spec"].get("publishNotReadyAddresses", False) == (name != "wan-studio")
        (space,) = pod["spec"]["containers"]
        assert space["livenessProbe"]["httpGet"]["path"] == containers.HEALTH
        claimed = [v.get("persistentVolumeClaim") for v in pod["spec"]["volumes"]]
        claims = {claim["claimName"] for claim in claimed if claim}
        assert claims and claims <= kinds["PersistentVolumeClaim"].keys()
        assert {m["name"] for m in space["volumeMounts"]} == {v["name"] for v in pod["spec"]["volumes"]}
        assert pod["spec"]["securityContext"]["runAsNonRoot"] and not pod["spec"]["enableServiceLinks"]
        assert space["resources"]["limits"].get("nvidia.com/gpu") == (None if name == "wan-studio" else 1)
    a14b = kinds["Deployment"]["wan-studio-t2v"]["spec"]["template"]["spec"]
    limit = float(a14b["containers"][0]["resources"]["limits"]["memory"].removesuffix("G")) * 1e9
    assert a14b["terminationGracePeriodSeconds"] > 600
    assert limit * HOST_SHARE > most_waiting(CHECKPOINTS["wan2.2-t2v-a14b"], ANY_CARD) > 80e9
    assert a14b["initContainers"][0]["command"][-1].startswith("hf download ada/wan2.2-t2v-a14b-bf16 ")
    policy = kinds["NetworkPolicy"]["wan-studio-mode"]["spec"]
    (caller,) = policy["ingress"][0]["from"]
    router = kinds["Deployment"]["wan-studio"]["spec"]["template"]["metadata"]["labels"]
    assert caller["podSelector"]["matchLabels"].items() <= router.items()


def test_one_studio_over_a_ray_cluster_that_nobody_else_reaches() -> None:
    made = manifests(ray_cluster.ray_cluster(full(), "wan-studio", gpus=4))
    kinds = {m["kind"]: m for m in made}
    cluster = kinds["RayCluster"]
    (workers,) = cluster["spec"]["workerGroupSpecs"]
    assert workers["replicas"] == workers["minReplicas"] == workers["maxReplicas"] == 4
    (worker,) = workers["template"]["spec"]["containers"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1
    (studio,) = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    args = studio["args"]
    assert args[args.index("--ray") + 1] == f"ray://{cluster['metadata']['name']}-head-svc:10001"
    assert "nvidia.com/gpu" not in studio["resources"]["limits"] and "WAN_FEDERATION" not in str(studio["env"])
    assert args[args.index("--weights") + 1] == "wan" and "--only" not in args
    carried = {e["name"]: e.get("value", "") for e in studio["env"]}["WAN_CHECKPOINTS"].split(",")
    assert set(carried) <= CHECKPOINTS.keys() and all(set(carried) & set(m.checkpoints) for m in MODES.values())
    shut = kinds["NetworkPolicy"]["spec"]
    labels = cluster["spec"]["headGroupSpec"]["template"]["metadata"]["labels"]
    assert shut["podSelector"]["matchLabels"].items() <= labels.items()
    assert shut["ingress"][0]["ports"] == [{"port": 10001}]


def test_wan_nano_on_ray_asks_for_no_card_and_a_part_of_the_federation_is_refused() -> None:
    text = "".join(ray_cluster.ray_cluster(demo(), "wan-studio", gpus=2).values())
    assert "nvidia" not in text and "weights\n" not in text and "ReadWriteMany" not in text
    for part in (demo()[:1], demo()[-1:]):
        with pytest.raises(InputError, match="--only must be left out with --ray"):
            ray_cluster.ray_cluster(part, "wan-studio", gpus=2)


@pytest.mark.parametrize("command", ["compose", "kubernetes"])
def test_a_file_that_is_there_is_written_over_by_force_alone(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / ("compose.yaml" if command == "compose" else "folder")
    argv = [command, "--profile", "demo", "--out", str(out)]
    assert cli.main(argv) == 0
    written = sorted(p for p in tmp_path.rglob("*.yaml"))
    written[0].write_text("mine")
    assert cli.main(argv) == 2 and "--force" in capsys.readouterr().err and written[0].read_text() == "mine"
    assert cli.main([*argv, "--force"]) == 0 and written[0].read_text() != "mine"
    capsys.readouterr()
    assert cli.main([command, "--profile", "demo", "--out", "-"]) == 0
    assert all(yaml.safe_load_all(capsys.readouterr().out))


@pytest.mark.parametrize(("flag", "value"), [("--host", "my host"), ("--gpus", "0"), ("--port", "0")])
def test_a_wrong_word_on_the_command_line_is_one_sentence(
    flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compose", "--profile", "demo", "--out", "-", flag, value]) == 2
    assert capsys.readouterr().err.startswith(f"error: {flag} must be")


def test_the_probe_asks_for_a_line_and_needs_no_page(tmp_path: Path) -> None:
    app = gr.mount_gradio_app(FastAPI(), space_of(FakeService(MODES["t2v"], tmp_path)), path="/")
    answer = TestClient(app).get(containers.HEALTH)
    assert answer.status_code == 200 and len(answer.content) < 100
