"""The command line of deploy, secrets, destroy, doctor, status and verify on the stand-in Hub."""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.errors import StudioError
from deploy import cli, doctor, federation, plan, secrets, status, targets, verify
from deploy import destroy as destroying
from deploy.hub import Hub
from deploy.restart import Restart
from deploy.targets import Target
from tests.deploy.conftest import Desk
from tests.hub_stand_in.repos import Repo
from tests.hub_stand_in.server import Account

SECRET = "hf_very_secret_value"


def command(desk: Desk, *words: str) -> int:
    parser = argparse.ArgumentParser()
    cli.add_to(parser.add_subparsers(dest="command"))
    return cli.run(parser.parse_args(["deploy", *words]), desk.hub)


@pytest.fixture
def here(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The command line working on the small checkout."""
    for module in (targets, federation):
        monkeypatch.setattr(module, "ROOT", desk.root)
    resolve, plan_all = targets.resolve, plan.plan_all
    monkeypatch.setattr(targets, "resolve", lambda f, n, root=desk.root: resolve(f, n, root))
    monkeypatch.setattr(plan, "plan_all", lambda h, t, root=desk.root, **k: plan_all(h, t, root, **k))
    return desk


def with_secret(desk: Desk) -> list[Target]:
    return [replace(t, secrets={"WAN_READ_TOKEN": "READ_ONLY"}) if t.is_router else t for t in desk.targets()]


def test_deploy_plan_prints_everything_and_writes_nothing(
    here: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(here, "plan", "--profile", "demo", "--json") == 0
    out = json.loads(capsys.readouterr().out)
    first = out["spaces"][0]
    assert (first["space"], first["action"]) == ("ada/wan-studio-demo-t2v", "create")
    assert "app.py" in first["files"]["add"]
    assert {"name": "hardware", "before": None, "after": "cpu-basic"} in first["settings"]
    assert here.server.writes() == [] and here.server.repos == {}


def test_deploy_plan_of_a_change_names_files_and_settings(
    here: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    here.push()
    here.write("spaces/t2v/app.py", "import spaces\n")
    here.commit()
    here.server.repos["ada/wan-studio-demo-i2v"].hardware = "cpu-upgrade"
    command(here, "plan", "--profile", "demo")
    out = capsys.readouterr().out
    assert "update   ada/wan-studio-demo-t2v" in out and "~ app.py" in out and "- common/heavy.py" in out
    assert "hardware: cpu-upgrade → cpu-basic" in out
    assert "nothing  ada/wan-studio-demo: nothing to do" in out


def test_deploy_without_a_terminal_wants_yes(here: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(here, "push", "--profile", "demo") == 2
    assert "--yes is required" in capsys.readouterr().err
    assert here.server.repos == {}


def test_deploy_unknown_space_is_named(here: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(here, "plan", "--profile", "demo", "--only", "t9v") == 2
    assert (
        "--only must name a Space of the federation; got 't9v', try t2v, i2v, router"
        in capsys.readouterr().err
    )


def test_deploy_secret_comes_from_the_named_variable_and_shows_nowhere(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(desk.push(with_secret(desk), env={"READ_ONLY": SECRET}).values()) == {"pushed"}
    repo = desk.server.repos["ada/wan-studio-demo"]
    assert repo.secrets == {"WAN_READ_TOKEN": SECRET}
    everything = "\n".join(desk.said) + capsys.readouterr().out
    plans = plan.plan_all(desk.hub, with_secret(desk), desk.root)
    everything += plan.describe(plans, {}) + json.dumps([p.as_json() for p in plans])
    assert SECRET not in everything and "hf_write" not in everything
    for other in desk.server.repos.values():
        assert not any(SECRET.encode() in d or b"hf_write" in d for d in other.head.tree.values())
    # It is there, and its value cannot be read: pushing again asks for nothing.
    assert set(desk.push(with_secret(desk), env={}).values()) == {"unchanged"}


def test_deploy_secret_that_is_missing_or_the_deployers_own_is_refused(desk: Desk) -> None:
    assert desk.push(with_secret(desk), env={})["router"] == "failed"
    assert any("$READ_ONLY is not set here" in s for s in desk.said)
    assert desk.push(with_secret(desk), env={"READ_ONLY": "hf_write"})["router"] == "failed"
    assert any("the very token that pushes" in s for s in desk.said)
    assert "ada/wan-studio-demo" not in desk.server.repos


def test_deploy_secret_added_later_is_set_on_its_own(desk: Desk) -> None:
    desk.push()
    assert desk.push(with_secret(desk), env={"READ_ONLY": SECRET})["router"] == "pushed"
    assert desk.server.repos["ada/wan-studio-demo"].writes[3:] == ["secrets", "variables"]


def test_deploy_secret_that_was_rotated_is_sent_again(desk: Desk) -> None:
    """Its value cannot be read back: a digest beside it, keyed by the deploy token, tells the new one."""
    desk.push(with_secret(desk), env={"READ_ONLY": SECRET})
    assert desk.push(with_secret(desk), env={"READ_ONLY": SECRET})["router"] == "unchanged"
    assert desk.push(with_secret(desk), env={"READ_ONLY": "hf_rotated"})["router"] == "pushed"
    repo = desk.server.repos["ada/wan-studio-demo"]
    assert repo.secrets == {"WAN_READ_TOKEN": "hf_rotated"}
    assert desk.push(with_secret(desk), env={"READ_ONLY": "hf_rotated"})["router"] == "unchanged"
    digest = json.loads(repo.variables[secrets.SENT])["WAN_READ_TOKEN"]
    plain = hashlib.sha256(f"{repo.id}\0WAN_READ_TOKEN\0hf_rotated".encode()).hexdigest()
    assert digest and digest not in plain


def test_deploy_destroy_takes_ours_router_first_and_leaves_strangers(here: Desk) -> None:
    here.push()
    stranger = here.server.repos["ada/wan-studio-demo-i2v"]
    stranger.commit({"app.py": b"theirs"}, "theirs")
    gone, kept = destroying.doomed(here.hub, here.targets())
    assert [t.name for t in gone] == ["router", "t2v"] and "not one of ours" in kept[0]
    assert command(here, "destroy", "--profile", "demo") == 2
    assert command(here, "destroy", "--profile", "demo", "--yes") == 0
    assert set(here.server.repos) == {"ada/wan-studio-demo-i2v"}


def test_deploy_status_tells_what_runs(desk: Desk) -> None:
    desk.push(desk.targets()[:1])
    rows = status.status(desk.hub, desk.targets())
    assert [r["stage"] for r in rows] == ["RUNNING", "ABSENT", "ABSENT"]
    assert rows[0]["current"] and rows[0]["tag"].startswith("deploy-")
    assert "cpu-basic" in status.table(rows)


def test_deploy_verify_wants_this_commit_running(desk: Desk) -> None:
    target = desk.targets()[0]
    with pytest.raises(StudioError, match="does not exist"):
        verify.verify(desk.hub, target)
    desk.push([target])
    repo = desk.server.repos[target.repo_id]
    assert "answers at " in verify.verify(desk.hub, target, probe=lambda *_: "answers")
    repo.stages = [("RUNNING", "0" * 40)]
    with pytest.raises(StudioError, match="still runs 000000000000"):
        verify.verify(desk.hub, target, probe=lambda *_: "answers")
    repo.stages = [("RUNTIME_ERROR", repo.head.id)]
    with pytest.raises(StudioError, match="is RUNTIME_ERROR, not RUNNING"):
        verify.verify(desk.hub, target)


def test_deploy_doctor_counts_zerogpu_places_and_disk(desk: Desk) -> None:
    wanted = targets.resolve(federation.load(), "ada", desk.root)
    texts = {f.text: f.level for f in doctor.examine(desk.hub, wanted, desk.root)}
    assert texts["5 ZeroGPU Spaces here and 0 elsewhere in ada; plan pro has 10"] == "ok"
    assert texts["ZeroGPU quota: 30 of 40 minutes left"] == "ok"
    desk.server.accounts["hf_write"] = Account("ada", pro=False)
    hub = Hub(type(desk.hub.api)(endpoint=desk.server.url, token="hf_write"), say=desk.said.append)
    found = doctor.examine(hub, wanted, desk.root)
    assert any(f.level == "problem" and "plan free has 2" in f.text for f in found)
    missing = [x for x in texts if "the volume ada/wan2.2-t2v-a14b-bf16 holds no complete pipeline" in x]
    assert texts[missing[0]] == "problem"
    assert missing[0].endswith("; run `wan-studio deploy bake wan2.2-t2v-a14b` first")
    naked = [replace(t, volumes=()) for t in wanted]
    assert any(f.level == "problem" and "do not fit" in f.text for f in doctor.examine(hub, naked, desk.root))


def test_deploy_doctor_knows_the_hardware(desk: Desk) -> None:
    odd = desk.targets(hardware="gpu9000")
    found = [f for f in doctor.examine(desk.hub, odd, desk.root) if "gpu9000" in f.text]
    assert {f.level for f in found} == {"warning"} and len(found) == len(odd) - 1
    assert not any("is not known here" in f.text for f in doctor.examine(desk.hub, desk.targets(), desk.root))


def test_deploy_doctor_without_write_access_says_so(desk: Desk) -> None:
    desk.hub.api.token = "hf_read"
    assert any("may only read" in f.text for f in doctor.examine(desk.hub, desk.targets(), desk.root))
    desk.hub.api.token = "hf_wrong"
    assert any(f.level == "problem" for f in doctor.examine(desk.hub, desk.targets(), desk.root))


def test_deploy_bundle_command_writes_folders(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(desk, "bundle", "--profile", "demo", "--only", "t2v", "--out", str(tmp_path)) == 0
    assert (tmp_path / "t2v" / "app.py").is_file()


def test_deploy_spaces_lists_what_the_workflow_pushes(here: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(here, "spaces", "--profile", "demo", "--namespace", "ada") == 0
    modes, router = capsys.readouterr().out.splitlines()
    found = json.loads(modes.removeprefix("modes="))
    assert {"name": "t2v", "repo": "ada/wan-studio-demo-t2v"} in found
    assert router == "router=ada/wan-studio-demo"


def test_deploy_workflow_pushes_with_trusted_publisher_tokens_and_no_secret() -> None:
    """Every push job asks for an id token and one Space; nothing is read from the repository's secrets."""
    text = (federation.ROOT / ".github" / "workflows" / "deploy.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    assert jobs["spaces"]["needs"] == "test" and "secrets." not in text and "HF_TOKEN" not in text
    for name in ("modes", "router"):
        job = jobs[name]
        assert job["permissions"]["id-token"] == "write"
        assert job["env"]["HF_OIDC_RESOURCE"].startswith("spaces/")
        line = job["steps"][-1]["run"].removeprefix("python -m deploy ").replace('"', "")
        parser = argparse.ArgumentParser()
        cli.add_commands(parser)
        args = parser.parse_args(line.split())
        assert (args.deploy_command, args.yes, args.files_only) == ("push", True, True)
    assert jobs["router"]["needs"] == ["spaces", "modes"]


def account(desk: Desk, **changes: Any) -> list[doctor.Finding]:
    """What the doctor says to another kind of account."""
    desk.server.accounts["hf_other"] = Account("ada", **changes)
    hub = Hub(type(desk.hub.api)(endpoint=desk.server.url, token="hf_other"), say=desk.said.append)
    return doctor.examine(hub, desk.targets(), desk.root)


@pytest.mark.parametrize(
    ("scoped", "level", "words"),
    [
        ({"ada": ["repo.content.read", "repo.write"]}, "ok", "token of ada (fineGrained)"),
        ({"ada": ["repo.content.read"]}, "problem", "no write access to ada; at hf.co/settings/tokens"),
        ({"other-org": ["repo.write"]}, "problem", "no write access to ada"),
        ({}, "problem", "no write access to ada"),
        ({"ada/wan-studio-demo": ["repo.write"]}, "warning", "make no new ones"),
    ],
)
def test_deploy_doctor_reads_a_fine_grained_token(
    desk: Desk, scoped: dict[str, list[str]], level: str, words: str
) -> None:
    assert [f.level for f in account(desk, scoped=scoped) if words in f.text] == [level]


def test_deploy_doctor_has_a_way_out_for_a_free_account(desk: Desk) -> None:
    """The demo profile is no way out there: its Spaces are on cpu-basic, which Gradio gets with PRO."""
    texts = [f.text for f in account(desk, pro=False) if f.level == "problem"]
    assert any("t2v, i2v, router: on cpu-basic" in t and "wan-studio deploy local" in t for t in texts)
    assert not any("--profile demo" in t for t in texts)
    assert not any("cpu-basic" in f.text for f in account(desk, pro=True))


def test_deploy_doctor_misses_a_secret_that_the_first_push_needs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("READ_ONLY", raising=False)
    assert any("$READ_ONLY is not set here" in f.text for f in doctor.examine(desk.hub, with_secret(desk)))


def test_deploy_destroy_knows_ours_by_the_mark_and_not_by_a_file_of_that_name(here: Desk) -> None:
    repo = Repo("ada/wan-studio-demo-t2v")
    repo.commit({"app.py": b"theirs", "bundle.json": b'{"name": "a bundler"}'}, "theirs")
    empty = Repo("ada/wan-studio-demo-i2v")
    empty.commit({".gitattributes": b""}, "initial commit")
    here.server.repos |= {r.id: r for r in (repo, empty)}
    assert command(here, "destroy", "--profile", "demo", "--yes") == 0
    assert set(here.server.repos) == {repo.id, empty.id}


def test_deploy_restart_starts_anew_and_asks(desk: Desk) -> None:
    """Broken or not; with a way out where there is nothing to restart, and never a stranger's."""
    desk.push(desk.targets()[:1])
    repo = desk.server.repos["ada/wan-studio-demo-t2v"]
    repo.stages = [("RUNTIME_ERROR", repo.head.id)]
    theirs = Repo("ada/wan-studio-demo-i2v")
    theirs.commit({"app.py": b"theirs"}, "theirs")
    desk.server.repos[theirs.id] = theirs
    results = Restart(desk.hub, probe=lambda *_: "answers").run(desk.targets())
    assert [r.outcome for r in results] == ["restarted", "failed", "failed"]
    assert repo.writes[-1] == "restart" and theirs.writes == []
    assert (
        "no push of ours has made it" not in results[0].text and "`wan-studio deploy push`" in results[2].text
    )
    Restart(desk.hub, factory=True, probe=lambda *_: "answers").run(desk.targets()[:1])
    assert repo.writes[-1] == "factory"


def test_deploy_adopt_names_a_space_of_the_federation(here: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(here, "plan", "--profile", "demo", "--adopt", "everything") == 2
    assert "--adopt must name a Space of the federation; got 'everything'" in capsys.readouterr().err


def test_deploy_push_with_nothing_but_a_strangers_space_fails(
    here: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = Repo("ada/wan-studio-demo-t2v")
    repo.commit({"app.py": b"theirs"}, "theirs")
    here.server.repos[repo.id] = repo
    assert command(here, "push", "--profile", "demo", "--only", "t2v", "--yes") == 1
    out = capsys.readouterr().out
    assert "refuse   ada/wan-studio-demo-t2v: no push of ours has made it" in out and "--adopt t2v" in out
    assert "not one of ours" in status.table(status.status(here.hub, here.targets()))
    assert repo.writes == []


def test_deploy_plan_of_one_space_that_fails_shows_the_others(
    here: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    here.commit_touching("spaces/i2v/app.py", "def broken(:\n")
    assert command(here, "plan", "--profile", "demo") == 1
    out = capsys.readouterr().out
    assert "create   ada/wan-studio-demo-t2v" in out and "create   ada/wan-studio-demo:" in out
    assert "fail     ada/wan-studio-demo-i2v: spaces/i2v/app.py line 1 must be valid Python" in out
    assert command(here, "push", "--profile", "demo", "--only", "i2v", "--yes") == 1
    assert here.server.repos == {}
