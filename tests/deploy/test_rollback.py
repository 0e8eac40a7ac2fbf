"""Rollbacks: the tree of an earlier deployment as a new commit, with the variables that went with it."""

from __future__ import annotations

import pytest

from deploy import deployment
from deploy.errors import DeployError
from deploy.rollback import Rollback
from tests.deploy.conftest import Desk
from tests.hub_stand_in import Fault

T2V = "ada/wan-studio-demo-t2v"


def versions(desk: Desk, *names: str) -> None:
    """One deployment after the other."""
    for name in names:
        desk.write("common/contract.py", f"NAME = '{name}'\n")
        if name == "two":
            desk.write("common/new.py", "")
            desk.write(
                "spaces/t2v/app.py", "import spaces\nfrom common import contract, heavy, new\nimport nano\n"
            )
        desk.commit()
        assert "failed" not in desk.push().values()


def rollback(desk: Desk, tag: str | None = None) -> dict[str, str]:
    return {r.target.name: r.outcome for r in Rollback(desk.hub, tag).run(desk.targets())}


def content(desk: Desk, repo: str = T2V) -> bytes:
    return desk.server.repos[repo].head.tree["common/contract.py"]


def test_rollback_goes_one_deployment_back_and_then_another(desk: Desk) -> None:
    """Files come back, new ones go, LFS files too; a second rollback goes on, not forth."""
    versions(desk, "one", "two", "three")
    repo = desk.server.repos[T2V]
    weights = "nano/weights/dense/model.safetensors"
    assert rollback(desk) == {"t2v": "pushed", "i2v": "pushed", "router": "pushed"}
    assert content(desk) == b"NAME = 'two'\n"
    assert "common/new.py" in repo.head.tree
    rollback(desk)
    assert content(desk) == b"NAME = 'one'\n"
    assert "common/new.py" not in repo.head.tree and repo.head.tree[weights] == b"tiny\n"
    assert [c.message[:7] for c in repo.commits][-2:] == ["Back to", "Back to"]
    with pytest.raises(DeployError, match="nothing before it"):
        rollback(desk)


def test_rollback_to_a_named_deployment_by_tag_or_sha(desk: Desk) -> None:
    versions(desk, "one", "two", "three")
    sha = desk.server.repos[T2V].head.tree["bundle.json"].decode()
    with pytest.raises(
        DeployError, match="there is no deployment deploy-nonsense; these Spaces have deploy-1-"
    ):
        rollback(desk, "deploy-nonsense")
    first = next(d for t in desk.server.repos[T2V].tags if (d := deployment.parse(t)) and d.number == 1)
    assert set(rollback(desk, first.sha[:8]).values()) == {"pushed"}
    assert content(desk) == b"NAME = 'one'\n"
    assert desk.server.repos[T2V].head.tree["bundle.json"].decode() != sha


def test_rollback_of_a_push_that_never_ran_returns_to_the_one_that_did(desk: Desk) -> None:
    versions(desk, "one")
    desk.server.repos[T2V].outcome = "RUNTIME_ERROR"
    desk.write("common/contract.py", "NAME = 'broken'\n")
    desk.commit()
    assert desk.push()["t2v"] == "failed"
    desk.server.repos[T2V].outcome = "RUNNING"
    assert set(rollback(desk).values()) == {"pushed"}
    assert content(desk) == b"NAME = 'one'\n"


def test_rollback_restores_variables_and_keeps_hardware(desk: Desk) -> None:
    old = {"WAN_WEIGHTS": "nano", "WAN_CHECKPOINTS": "wan2.2-ti2v-5b"}
    desk.push(desk.targets(variables=old))
    desk.push(desk.targets(variables={"WAN_WEIGHTS": "nano", "WAN_ADMIN": "1"}, hardware="cpu-upgrade"))
    repo = desk.server.repos[T2V]
    assert (repo.variables["WAN_ADMIN"], repo.hardware) == ("1", "cpu-upgrade")
    assert rollback(desk)["t2v"] == "pushed"
    assert (repo.variables, repo.hardware) == (old, "cpu-upgrade")


def test_rollback_that_loses_a_race_plans_again(desk: Desk) -> None:
    versions(desk, "one", "two")
    repo = desk.server.repos[T2V]

    def somebody() -> None:
        repo.commit({**repo.head.tree, "by-hand.txt": b"x"}, "hand")

    desk.server.faults.append(Fault("POST", r"demo-t2v/commit/", before=somebody))
    assert rollback(desk)["t2v"] == "pushed"
    assert "by-hand.txt" not in repo.head.tree and content(desk) == b"NAME = 'one'\n"


def test_push_after_a_rollback_goes_forward_again(desk: Desk) -> None:
    versions(desk, "one", "two")
    rollback(desk)
    assert set(desk.push().values()) == {"pushed"}
    assert content(desk) == b"NAME = 'two'\n"
    repo = desk.server.repos[T2V]
    assert repo.head.id in repo.tags.values()
    assert set(desk.push().values()) == {"unchanged"}


def t2v_alone(desk: Desk, text: str) -> None:
    """A deployment that touches T2V and nothing else."""
    desk.commit_touching("common/heavy.py", f"import torch  # {text}\n")
    assert desk.push() == {"t2v": "pushed", "i2v": "unchanged", "router": "unchanged"}


def test_rollback_takes_back_only_what_the_last_deployment_touched(desk: Desk) -> None:
    """The Spaces that it left alone keep what they have; the next rollback takes the deployment before as one."""
    versions(desk, "one", "two")
    t2v_alone(desk, "three")
    heads = {k: r.head.id for k, r in desk.server.repos.items()}
    assert rollback(desk) == {"t2v": "pushed", "i2v": "unchanged", "router": "unchanged"}
    assert {k for k, r in desk.server.repos.items() if r.head.id != heads[k]} == {T2V}
    assert any("deploy-3" in s and "did not touch it; it is at deploy-2" in s for s in desk.said)
    assert content(desk) == b"NAME = 'two'\n"
    assert set(rollback(desk).values()) == {"pushed"}
    assert {content(desk, r) for r in desk.server.repos} == {b"NAME = 'one'\n"}


def test_rollback_does_not_return_to_what_was_taken_back(desk: Desk) -> None:
    """One, two, back to one, three: before three there was one."""
    versions(desk, "one", "two")
    rollback(desk)
    versions(desk, "three")
    rollback(desk)
    assert content(desk) == b"NAME = 'one'\n"


def test_rollback_to_a_deployment_gives_each_space_what_it_had_then(desk: Desk) -> None:
    versions(desk, "one")
    t2v_alone(desk, "first")
    versions(desk, "two")
    assert set(rollback(desk, "2").values()) == {"pushed"}
    assert b"first" in desk.server.repos[T2V].head.tree["common/heavy.py"]
    assert {content(desk, r) for r in desk.server.repos} == {b"NAME = 'one'\n"}
    assert set(rollback(desk, "3").values()) == {"pushed"}
    assert {content(desk, r) for r in desk.server.repos} == {b"NAME = 'two'\n"}


def test_a_deployment_has_one_name_over_the_federation(desk: Desk) -> None:
    """Also when it is pushed Space by Space, as CI does, or after an interruption; going back and forth counts."""
    federation = desk.targets()
    for target in federation:
        desk.push([target], federation=federation)
    assert len({t for r in desk.server.repos.values() for t in r.tags}) == 1
    versions(desk, "two")
    desk.commit_touching("common/contract.py", "import pydantic\n\nNAME = 'contract'\n")
    desk.push()
    names = sorted(desk.server.repos[T2V].tags)
    assert [n[:9] for n in names] == ["deploy-1-", "deploy-2-", "deploy-3-"]


def test_rollback_of_deployments_that_might_not_be_tagged(desk: Desk) -> None:
    """A trusted publisher's token may commit and not tag: what it deployed counts all the same."""
    versions(desk, "one")
    desk.server.faults.append(Fault("POST", "/tag/", status=403, message="no tags for you", times=99))
    for name in ("two", "three"):
        desk.commit_touching("common/contract.py", f"NAME = '{name}'\n")
        assert set(desk.push(files_only=True).values()) == {"pushed"}
    assert any("deployed but not tagged" in s and "no tags for you" in s for s in desk.said)
    assert set(desk.push(files_only=True).values()) == {"pushed"}  # proven again, and refused again
    assert set(rollback(desk).values()) == {"pushed"}
    assert content(desk) == b"NAME = 'two'\n"


def test_rollback_leaves_a_space_that_the_last_deployment_has_made(desk: Desk) -> None:
    t2v, _, router = desk.targets()
    desk.push([t2v, router])
    versions(desk, "two")
    assert rollback(desk) == {"t2v": "pushed", "i2v": "unchanged", "router": "pushed"}
    assert any("has made it, so it stays" in s for s in desk.said)
