"""Rollbacks: the tree of an earlier deployment as a new commit, with the variables that went with it."""

from __future__ import annotations

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
    assert set(rollback(desk).values()) == {"failed"}
    assert any("nothing before it" in s for s in desk.said)


def test_rollback_to_a_named_deployment_by_tag_or_sha(desk: Desk) -> None:
    versions(desk, "one", "two", "three")
    sha = desk.server.repos[T2V].head.tree["bundle.json"].decode()
    assert rollback(desk, "deploy-nonsense")["t2v"] == "failed"
    first = next(iter(desk.server.repos[T2V].tags))
    found = Rollback(desk.hub, first[:16].removeprefix("deploy-")).one(desk.targets()[0])
    assert (found.outcome, content(desk)) == ("pushed", b"NAME = 'one'\n")
    assert desk.server.repos[T2V].head.tree["bundle.json"].decode() != sha


def test_rollback_of_a_push_that_never_ran_returns_to_the_one_that_did(desk: Desk) -> None:
    versions(desk, "one")
    desk.server.repos[T2V].outcome = "RUNTIME_ERROR"
    desk.write("common/contract.py", "NAME = 'broken'\n")
    desk.commit()
    assert desk.push()["t2v"] == "failed"
    desk.server.repos[T2V].outcome = "RUNNING"
    assert Rollback(desk.hub).one(desk.targets()[0]).outcome == "pushed"
    assert content(desk) == b"NAME = 'one'\n"


def test_rollback_restores_variables_and_keeps_hardware(desk: Desk) -> None:
    old = {"WAN_WEIGHTS": "nano", "WAN_CHECKPOINTS": "wan2.2-ti2v-5b"}
    desk.push(desk.targets(variables=old))
    desk.push(desk.targets(variables={"WAN_WEIGHTS": "nano", "WAN_ADMIN": "1"}, hardware="cpu-upgrade"))
    repo = desk.server.repos[T2V]
    assert (repo.variables["WAN_ADMIN"], repo.hardware) == ("1", "cpu-upgrade")
    assert Rollback(desk.hub).one(desk.targets()[0]).outcome == "pushed"
    assert (repo.variables, repo.hardware) == (old, "cpu-upgrade")


def test_rollback_that_loses_a_race_plans_again(desk: Desk) -> None:
    versions(desk, "one", "two")
    repo = desk.server.repos[T2V]

    def somebody() -> None:
        repo.commit({**repo.head.tree, "by-hand.txt": b"x"}, "hand")

    desk.server.faults.append(Fault("POST", r"demo-t2v/commit/", before=somebody))
    assert Rollback(desk.hub).one(desk.targets()[0]).outcome == "pushed"
    assert "by-hand.txt" not in repo.head.tree and content(desk) == b"NAME = 'one'\n"


def test_push_after_a_rollback_goes_forward_again(desk: Desk) -> None:
    versions(desk, "one", "two")
    rollback(desk)
    assert set(desk.push().values()) == {"pushed"}
    assert content(desk) == b"NAME = 'two'\n"
    repo = desk.server.repos[T2V]
    assert repo.head.id in repo.tags.values()
    assert set(desk.push().values()) == {"unchanged"}
