"""Pushes through the real HfApi: first, again, after changes, in races, and interrupted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.catalog import CHECKPOINTS
from deploy import federation, plan, targets, volumes
from deploy.bundle import MARK
from deploy.errors import DeployError
from deploy.federation import Volume
from deploy.hub import Hub
from deploy.push import Push
from deploy.targets import Target
from tests.deploy.conftest import Desk
from tests.hub_stand_in import Fault
from tests.hub_stand_in.repos import Model, Repo
from tests.hub_stand_in.server import Account

ALL = ("t2v", "i2v", "router")


def outcomes(word: str) -> dict[str, str]:
    return dict.fromkeys(ALL, word)


def test_first_push_creates_everything_in_one_call_each(desk: Desk) -> None:
    """Hardware, visibility and variables come with the creation, so nothing starts half set."""
    assert desk.push() == outcomes("pushed")
    assert set(desk.server.repos) == {
        "ada/wan-studio-demo-t2v",
        "ada/wan-studio-demo-i2v",
        "ada/wan-studio-demo",
    }
    repo = desk.server.repos["ada/wan-studio-demo-t2v"]
    assert repo.writes == ["create", "commit", "tag"]
    assert (repo.hardware, repo.variables) == ("cpu-basic", {"WAN_WEIGHTS": "nano"})
    assert {"app.py", "README.md", "bundle.json", "nano/weights/dense/model.safetensors"} <= set(
        repo.head.tree
    )
    router = desk.server.repos["ada/wan-studio-demo"]
    table = '{"t2v":["ada/wan-studio-demo-t2v"],"i2v":["ada/wan-studio-demo-i2v"]}'
    assert router.variables == {"WAN_FEDERATION": table, "WAN_WEIGHTS": "nano"}


def test_push_waits_for_this_very_commit(desk: Desk) -> None:
    """After a second push the old build still says RUNNING once; the tag waits for the new one."""
    desk.push()
    desk.write("common/contract.py", "NAME = 'two'\n")
    desk.commit()
    desk.slept.clear()
    assert desk.push() == outcomes("pushed")
    assert len(desk.slept) >= 3 * 3  # stale RUNNING, BUILDING, APP_STARTING for each Space
    for repo in desk.server.repos.values():
        assert repo.head.id in repo.tags.values()


def test_push_twice_writes_nothing(desk: Desk) -> None:
    desk.push()
    before = len(desk.server.writes())
    assert desk.push() == outcomes("unchanged")
    assert desk.server.writes()[before:] == []


def test_push_after_an_unrelated_commit_writes_nothing(desk: Desk) -> None:
    """A bundle's sha is that of the last commit that touched what is in it."""
    desk.push()
    desk.write("common/unused.py", "import einops  # changed\n")
    desk.commit()
    before = len(desk.server.writes())
    assert desk.push() == outcomes("unchanged")
    assert desk.server.writes()[before:] == []


def test_push_of_a_changed_file_commits_once_to_whom_it_concerns(desk: Desk) -> None:
    desk.push()
    desk.write("spaces/i2v/i2v_engine.py", "import av  # better\n")
    desk.commit()
    assert desk.push() == {"t2v": "unchanged", "i2v": "pushed", "router": "unchanged"}
    repo = desk.server.repos["ada/wan-studio-demo-i2v"]
    assert repo.writes == ["create", "commit", "tag", "commit", "tag"]
    assert repo.head.tree["i2v_engine.py"] == b"import av  # better\n"


def test_push_deletes_what_the_bundle_no_longer_has_but_not_gitattributes(desk: Desk) -> None:
    desk.push()
    (desk.root / "common" / "table.json").unlink()
    desk.commit()
    desk.push()
    tree = desk.server.repos["ada/wan-studio-demo-t2v"].head.tree
    assert "common/table.json" not in tree
    assert ".gitattributes" in tree


def test_push_of_changed_hardware_touches_nothing_else(desk: Desk) -> None:
    desk.push()
    wanted = [
        replace(t, hardware="cpu-upgrade", sleep_seconds=900) if t.name == "t2v" else t
        for t in desk.targets()
    ]
    assert desk.push(wanted) == {"t2v": "pushed", "i2v": "unchanged", "router": "unchanged"}
    repo = desk.server.repos["ada/wan-studio-demo-t2v"]
    assert repo.writes == ["create", "commit", "tag", "hardware", "sleeptime"]
    assert (repo.hardware, repo.sleep) == ("cpu-upgrade", 900)


def test_push_writes_changed_variables_and_takes_ours_away(desk: Desk) -> None:
    """WAN_ variables that the file dropped go; one that somebody set by hand stays."""
    desk.push()
    repo = desk.server.repos["ada/wan-studio-demo-i2v"]
    repo.variables |= {"WAN_ADMIN": "1", "BY_HAND": "kept"}
    desk.push(desk.targets(variables={"WAN_WEIGHTS": "nano", "WAN_CHECKPOINTS": "wan2.2-ti2v-5b"}))
    assert repo.variables == {"WAN_WEIGHTS": "nano", "WAN_CHECKPOINTS": "wan2.2-ti2v-5b", "BY_HAND": "kept"}


def test_push_that_loses_a_race_plans_again(desk: Desk) -> None:
    """Somebody edits the README between plan and commit: 412, then a plan on top of theirs."""
    desk.push()
    repo = desk.server.repos["ada/wan-studio-demo-t2v"]

    def somebody() -> None:
        repo.commit({**repo.head.tree, "by-hand.txt": b"x"}, "hand")

    desk.server.faults.append(Fault("POST", r"demo-t2v/commit/", before=somebody))
    desk.write("spaces/t2v/app.py", "import spaces\n")
    desk.commit()
    assert desk.push()["t2v"] == "pushed"
    assert "by-hand.txt" not in repo.head.tree
    assert [c.message for c in repo.commits][-2] == "hand"
    assert any("planning again" in s for s in desk.said)


def test_push_whose_commit_went_through_unheard_does_not_commit_twice(desk: Desk) -> None:
    """The connection drops after the Hub has committed: the retry meets 412 and finds nothing left to do."""
    desk.server.faults.append(Fault("POST", r"demo-t2v/commit/", drop_after=True))
    assert desk.push() == outcomes("pushed")
    assert desk.server.repos["ada/wan-studio-demo-t2v"].writes == ["create", "commit", "tag"]


def test_push_that_fails_in_the_middle_leaves_the_router_up_and_is_resumed(desk: Desk) -> None:
    desk.server.faults.append(Fault("POST", r"demo-t2v/commit/", status=400, message="no"))
    assert desk.push() == {"t2v": "failed", "i2v": "pushed", "router": "pushed"}
    # The router keeps the failed mode in its table: it greys what does not answer and heals by itself.
    assert "demo-t2v" in desk.server.repos["ada/wan-studio-demo"].variables["WAN_FEDERATION"]
    before = len(desk.server.writes())
    assert desk.push() == {"t2v": "pushed", "i2v": "unchanged", "router": "unchanged"}
    assert [p for _, p in desk.server.writes()[before:] if "t2v" not in p] == []


def test_push_resumes_after_the_commit_without_a_second_one(desk: Desk) -> None:
    """Interrupted while waiting: the next push only waits, proves and tags."""

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Push(desk.hub, root=desk.root, probe=interrupted).run(desk.targets()[:1])
    repo = desk.server.repos["ada/wan-studio-demo-t2v"]
    assert repo.writes == ["create", "commit"]
    found = plan.plan_space(desk.hub, desk.targets()[0], desk.root)
    assert found.action == "resume"
    assert desk.push(desk.targets()[:1]) == {"t2v": "pushed"}
    assert repo.writes == ["create", "commit", "tag"]


def test_push_stopped_by_ctrl_c_does_not_wait_for_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One Space builds for ever; Ctrl-C ends its wait too, and the next push goes on."""
    monkeypatch.setattr("deploy.wait.POLL_SECONDS", 0.2)
    desk.server.outcomes["ada/wan-studio-demo-i2v"] = "APP_STARTING"
    hub = Hub(desk.hub.api, say=desk.said.append)  # with its real sleep

    def stop(_: Hub, target: Target) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Push(hub, root=desk.root, probe=stop).run(desk.targets())
    assert desk.server.repos["ada/wan-studio-demo-i2v"].writes == ["create", "commit"]
    assert "ada/wan-studio-demo" not in desk.server.repos  # the router comes after all modes
    desk.server.repos["ada/wan-studio-demo-i2v"].outcome = "RUNNING"
    desk.server.repos["ada/wan-studio-demo-i2v"].restart()
    assert desk.push() == outcomes("pushed")


def test_push_wakes_a_paused_space(desk: Desk) -> None:
    desk.push()
    repo = desk.server.repos["ada/wan-studio-demo-t2v"]
    repo.tags.clear()
    repo.stages = [("PAUSED", repo.head.id)]
    assert desk.push()["t2v"] == "pushed"
    assert repo.writes[-2:] == ["restart", "tag"]


def test_push_of_a_broken_build_shows_its_log_and_does_not_tag(desk: Desk) -> None:
    desk.server.outcomes["ada/wan-studio-demo-i2v"] = "BUILD_ERROR"
    assert desk.push() == {"t2v": "pushed", "i2v": "failed", "router": "pushed"}
    repo = desk.server.repos["ada/wan-studio-demo-i2v"]
    assert repo.tags == {}
    said = "\n".join(desk.said)
    assert "could not be built" in said and "Build queued" in said and "rollback" in said


def test_push_gives_up_waiting_with_a_way_out(desk: Desk) -> None:
    desk.server.outcomes["ada/wan-studio-demo-t2v"] = "APP_STARTING"
    assert desk.push(desk.targets()[:1], longest_wait=60) == {"t2v": "failed"}
    assert any("still APP_STARTING after 1 minutes" in s for s in desk.said)


def test_push_as_pull_requests_changes_nothing_and_opens_each_once(desk: Desk) -> None:
    desk.push()
    desk.write("common/contract.py", "NAME = 'three'\n")
    desk.commit()
    heads = {k: r.head.id for k, r in desk.server.repos.items()}
    assert desk.push(create_pr=True) == outcomes("pull request")
    assert {k: r.head.id for k, r in desk.server.repos.items()} == heads
    assert desk.push(create_pr=True) == outcomes("unchanged")
    repo = desk.server.repos["ada/wan-studio-demo-t2v"]
    assert [p.commits[-1].tree["common/contract.py"] for p in repo.pulls] == [b"NAME = 'three'\n"]


def test_push_as_pull_request_needs_a_space(desk: Desk) -> None:
    assert desk.push(desk.targets()[:1], create_pr=True) == {"t2v": "failed"}
    assert any("push once without --pr" in s for s in desk.said)


def test_push_waits_out_429_as_long_as_the_hub_says(desk: Desk) -> None:
    desk.server.faults += [
        Fault("POST", "/api/repos/create", status=429, headers={"Retry-After": "17"}),
        Fault("POST", "/api/repos/create", status=503, times=2),
    ]
    assert desk.push(desk.targets()[:1]) == {"t2v": "pushed"}
    assert desk.slept[0] == 17
    assert 2 <= desk.slept[1] < desk.slept[2] < 60


def test_push_gives_up_on_a_hub_that_is_down_with_a_sentence(desk: Desk) -> None:
    desk.server.faults.append(Fault("POST", "/api/repos/create", status=502, times=99))
    assert desk.push(desk.targets()[:1]) == {"t2v": "failed"}
    assert any("HTTP 502 6 times" in s and "goes on where it stopped" in s for s in desk.said)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (402, ("plan does not include", "credits")),
        (403, ("write access", "10 (PRO)")),
        (401, ("hf auth login",)),
    ],
)
def test_push_refused_for_plan_or_rights_says_the_way_out(
    desk: Desk, status: int, words: tuple[str, ...]
) -> None:
    desk.server.faults.append(Fault("POST", "/api/repos/create", status=status, message="because"))
    assert desk.push(desk.targets()[:1]) == {"t2v": "failed"}
    said = "\n".join(desk.said)
    assert all(w in said for w in (*words, "because"))
    assert desk.slept == []  # a refusal is not waited out


def test_push_stops_at_the_zerogpu_limit_of_the_account(desk: Desk) -> None:
    desk.server.accounts["hf_write"] = Account("ada", pro=False)
    wanted = [
        replace(t, hardware="zero-a10g", repo_id=f"ada/z{i}") for i, t in enumerate(desk.targets()[:1] * 3)
    ]
    results = [desk.push([t])["t2v"] for t in wanted]
    assert results == ["pushed", "pushed", "failed"]
    assert any("limit of 2 ZeroGPU Spaces" in s for s in desk.said)


def test_push_of_files_only_neither_reads_nor_writes_settings(desk: Desk) -> None:
    """As from CI, with a token that may commit and no more."""
    assert desk.push(files_only=True) == outcomes("failed")
    assert desk.server.repos == {}
    desk.push()
    repo = desk.server.repos["ada/wan-studio-demo-t2v"]
    repo.hardware = "cpu-upgrade"
    desk.server.faults += [Fault("GET", "/(variables|secrets)$", status=403, times=99)]
    desk.write("common/heavy.py", "import torch  # new\n")
    desk.commit()
    assert desk.push(files_only=True) == {"t2v": "pushed", "i2v": "unchanged", "router": "unchanged"}
    assert repo.writes == ["create", "commit", "tag", "commit", "tag"]


T2V = "ada/wan-studio-demo-t2v"


def stranger(desk: Desk, *, manifest: bytes | None = None) -> Repo:
    """A Space of the name of ours that no push of ours has made."""
    repo = Repo(T2V, hardware="t4-small", variables={"WAN_LIKE": "x"}, secrets={"KEY": "k"})
    files = {"app.py": b"theirs", "README.md": b"---\nsdk: gradio\n---\n"}
    if manifest is not None:
        files["bundle.json"] = manifest
    repo.commit(files, "theirs")
    desk.server.repos[T2V] = repo
    return repo


@pytest.mark.parametrize("manifest", [None, b"{}", b"[1]", b"not json"])
def test_push_leaves_a_strangers_space_alone(desk: Desk, manifest: bytes | None) -> None:
    """Ours is known by the mark in its manifest, not by the name of a file; nothing of theirs changes."""
    repo = stranger(desk, manifest=manifest)
    assert desk.push() == {"t2v": "failed", "i2v": "pushed", "router": "pushed"}
    assert desk.push(files_only=True)["t2v"] == desk.push(create_pr=True)["t2v"] == "failed"
    assert repo.writes == [] and repo.pulls == [] and len(repo.commits) == 1
    said = "\n".join(desk.said)
    assert f"{T2V} is left alone: no push of ours has made it" in said
    assert "`prefix`" in said and "--adopt t2v" in said


def test_push_takes_over_a_strangers_space_only_when_told_by_name(desk: Desk) -> None:
    repo = stranger(desk)
    found = plan.plan_space(desk.hub, desk.targets()[0], desk.root, adopt=["t2v"])
    assert (found.action, repo.writes) == ("update", []) and "taken over: 2 files" in found.notices[0]
    assert desk.push(adopt=["t2v"])["t2v"] == "pushed"
    assert MARK.encode() in repo.head.tree["bundle.json"]
    assert repo.variables == {"WAN_WEIGHTS": "nano"} and repo.hardware == "cpu-basic"
    assert desk.push() == outcomes("unchanged")  # it is ours now


def test_push_goes_on_in_a_space_that_it_had_just_made(desk: Desk) -> None:
    """Interrupted between the creation and the first commit: no manifest yet, but our variables."""
    desk.server.faults.append(Fault("POST", r"demo-t2v/commit/", status=400))
    assert desk.push()["t2v"] == "failed"
    repo = desk.server.repos[T2V]
    repo.commit({**repo.head.tree, "README.md": b"---\nsdk: gradio\n---\n"}, "the Hub's own first page")
    assert desk.push()["t2v"] == "pushed"


def test_push_survives_an_upload_that_the_client_gives_up_on(desk: Desk) -> None:
    """A refused LFS file is a RuntimeError of the client: it is that Space's failure, with the Hub's own words."""
    desk.write("spaces/t2v/logo.png", "not small")
    desk.commit()
    desk.server.faults.append(Fault("PUT", "/lfs/", status=403, message="storage is full"))
    assert desk.push() == {"t2v": "failed", "i2v": "pushed", "router": "pushed"}
    assert any(f"failed {T2V}: could not commit" in s and "storage is full" in s for s in desk.said)
    assert desk.push() == {"t2v": "pushed", "i2v": "unchanged", "router": "unchanged"}


def test_push_makes_an_unexpected_error_one_spaces_failure(desk: Desk) -> None:
    def probe(_: Hub, target: Target) -> str:
        if target.name == "t2v":
            raise ZeroDivisionError("by nothing")
        return "answers"

    results = Push(desk.hub, root=desk.root, probe=probe).run(desk.targets())
    assert [r.outcome for r in results] == ["failed", "pushed", "pushed"]
    assert "ZeroDivisionError: by nothing" in results[0].text and "--only t2v" in results[0].text


def test_push_without_a_job_token_says_what_the_job_lacks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's OIDCError becomes a sentence."""
    hub = Hub(type(desk.hub.api)(endpoint=desk.server.url), say=desk.said.append, sleep=desk.slept.append)
    monkeypatch.setenv("HF_OIDC_RESOURCE", f"spaces/{T2V}")
    for name in ("HF_OIDC_ID_TOKEN", "GITHUB_ACTIONS", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DeployError, match="id-token: write"):
        hub.call("look", lambda: hub.api.space_info(T2V))


def breaks(desk: Desk, stage: str) -> Repo:
    """A T2V Space that ran, was tagged, and then stopped with an error; a restart mends it."""
    desk.push()
    repo = desk.server.repos[T2V]
    repo.stages = [(stage, repo.head.id)]
    return repo


@pytest.mark.parametrize(("stage", "write"), [("RUNTIME_ERROR", "restart"), ("BUILD_ERROR", "factory")])
def test_push_heals_a_space_that_has_broken_since(desk: Desk, stage: str, write: str) -> None:
    """The old failure still shows for a moment after the restart, and is not taken for a new one."""
    repo = breaks(desk, stage)
    found = plan.plan_space(desk.hub, desk.targets()[0], desk.root)
    assert found.action == "heal" and f"it is {stage}: start it anew" in plan.describe([found], {})
    assert desk.push() == {"t2v": "pushed", "i2v": "unchanged", "router": "unchanged"}
    assert repo.writes == ["create", "commit", "tag", write]
    assert desk.push() == outcomes("unchanged")


def test_push_of_a_space_that_breaks_again_fails_with_its_log(desk: Desk) -> None:
    repo = breaks(desk, "RUNTIME_ERROR")
    repo.outcome = "RUNTIME_ERROR"
    assert desk.push()["t2v"] == "failed"
    assert any("stopped with an error" in s and "Build queued" in s for s in desk.said)


def test_push_that_is_overtaken_ends_at_once_and_says_by_what(desk: Desk) -> None:
    """Another commit on top of ours: ours will never run, however long one waits."""
    desk.push()
    repo = desk.server.repos[T2V]
    desk.commit_touching("common/heavy.py", "import torch  # ours\n")

    def sleep(seconds: float) -> None:
        desk.slept.append(seconds)
        if repo.head.message.startswith("Wan Studio") and len(repo.stages) > 1:
            repo.commit({**repo.head.tree, "app.py": b"theirs"}, "a later thought")

    hub = Hub(desk.hub.api, sleep=sleep, say=desk.said.append)
    results = Push(hub, root=desk.root, probe=lambda *_: "answers").run(desk.targets()[:1])
    assert results[0].outcome == "failed" and len(desk.slept) < 20
    assert f"was overtaken: {repo.head.id[:12]} (a later thought) by ada came on top" in results[0].text


def mounted(desk: Desk) -> Target:
    """T2V with real weights from a volume."""
    return next(
        t for t in targets.resolve(federation.load(), "ada", desk.root) if t.volumes and t.name == "t2v"
    )


def whole() -> Model:
    """A repack as `bake` leaves it."""
    index = b'{"transformer": ["diffusers", "W"], "transformer_2": ["diffusers", "W"], "vae": [null, null]}'
    files = {"model_index.json": index}
    sizes: dict[str, int] = {}
    for part in ("transformer", "transformer_2"):
        shards = [f"d-0000{i}-of-00002.safetensors" for i in (1, 2)]
        table = ", ".join(f'"w{i}": "{shard}"' for i, shard in enumerate(shards))
        files[f"{part}/d.safetensors.index.json"] = f'{{"weight_map": {{{table}}}}}'.encode()
        files |= {f"{part}/{shard}": b"x" for shard in shards}
        sizes |= {f"{part}/{shard}": 14_000_000_000 for shard in shards}
    return Model(files, sizes)


def test_push_takes_a_whole_volume(desk: Desk) -> None:
    desk.server.models["ada/wan2.2-t2v-a14b-bf16"] = whole()
    assert volumes.problems(desk.hub, mounted(desk)) == []
    assert desk.push([mounted(desk)]) == {"t2v": "pushed"}


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (".", "no such repository"),
        ("model_index.json", "no model_index.json"),
        ("transformer_2/", "no transformer_2/"),
        ("transformer/d-00002-of-00002.safetensors", "1 of the 2 shards of transformer/ are not there"),
    ],
)
def test_push_refuses_a_volume_that_is_not_whole(desk: Desk, gone: str, words: str) -> None:
    """Rather than a Space that then downloads 126 GB; nothing is created."""
    if gone != ".":
        model = desk.server.models["ada/wan2.2-t2v-a14b-bf16"] = whole()
        model.files = {k: v for k, v in model.files.items() if not k.startswith(gone)}
    assert desk.push([mounted(desk)]) == {"t2v": "failed"}
    assert desk.server.repos == {}
    said = "\n".join(desk.said)
    assert words in said and "wan-studio deploy bake wan2.2-t2v-a14b" in said


def test_push_refuses_a_volume_whose_weights_are_cut_short(desk: Desk) -> None:
    model = desk.server.models["ada/wan2.2-t2v-a14b-bf16"] = whole()
    model.sizes = dict.fromkeys(model.sizes, 1000000)
    assert desk.push([mounted(desk)]) == {"t2v": "failed"}
    assert any("0.0 GB of experts, at least" in s for s in desk.said)
    model.sizes = dict.fromkeys(model.sizes, 0)
    desk.push([mounted(desk)])
    assert any("d-00001-of-00002.safetensors is empty" in s for s in desk.said)


def test_push_refuses_a_volume_of_another_commit_than_the_pinned_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = desk.server.models["ada/wan2.2-t2v-a14b-bf16"] = whole()
    row = replace(CHECKPOINTS["wan2.2-t2v-a14b"], revision="a" * 40)
    monkeypatch.setitem(CHECKPOINTS, row.key, row)  # type: ignore[arg-type]
    assert volumes.problems(desk.hub, mounted(desk)) == [], "a repack of before says nothing"
    model.files["wan-studio.json"] = b'{"revision": "bbbb"}'
    (problem,) = volumes.problems(desk.hub, mounted(desk))
    assert f"it is of commit bbbb, and {'a' * 40} is pinned" in problem and "bake wan2.2-t2v-a14b" in problem
    model.files["wan-studio.json"] = b'{"revision": "%s"}' % (b"a" * 40)
    assert volumes.problems(desk.hub, mounted(desk)) == []
    direct = replace(mounted(desk), volumes=(Volume(source=row.repo, mount_path=f"/models/{row.key}"),))
    desk.server.models[row.repo] = whole()
    assert "it is of commit None" in volumes.problems(desk.hub, direct)[0]


def test_push_of_a_name_that_is_taken_out_of_sight_says_so(desk: Desk) -> None:
    """Somebody's private Space: the Hub refuses the creation, and shows nothing."""
    desk.server.faults.append(Fault("POST", "/api/repos/create", status=409, message="it exists", times=9))
    assert desk.push(desk.targets()[:1]) == {"t2v": "failed"}
    assert any("exists, and this token may not see it" in s for s in desk.said)


def test_push_of_one_space_does_not_stumble_over_the_others(desk: Desk) -> None:
    """A bundle that cannot be built, and Spaces that a job's token may not look at, are no matter of this one's."""
    desk.push()
    desk.write("spaces/i2v/app.py", "def broken(:\n")
    desk.commit_touching("common/heavy.py", "import torch  # new\n")
    desk.server.faults.append(Fault("GET", "demo-i2v/", status=403, times=99))
    assert desk.push(desk.targets()[:1], federation=desk.targets()) == {"t2v": "pushed"}
    assert "deploy-2-" in desk.server.repos[T2V].head.message
