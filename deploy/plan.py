"""What a push would change, Space by Space: files, settings, secrets; nothing is written here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from huggingface_hub import Volume

from deploy import bundle as bundles
from deploy import remote as remotes
from deploy import secrets, volumes
from deploy.bundle import Bundle
from deploy.errors import DeployError
from deploy.federation import ROOT
from deploy.hub import Hub
from deploy.remote import Remote
from deploy.targets import Target
from deploy.wait import FAILED


@dataclass(frozen=True)
class Change:
    """One setting: what it is called, what it is, what it will be (None: not set)."""

    name: str
    before: object
    after: object


@dataclass
class SpacePlan:
    """What one Space needs. `remote` is None when the Space has to be created.

    `refusals` are the reasons why a push must not touch it, each with its way out.
    """

    target: Target
    bundle: Bundle
    remote: Remote | None
    add: list[str] = field(default_factory=list)
    change: list[str] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)
    settings: list[Change] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def files_differ(self) -> bool:
        """Whether a commit is needed."""
        return bool(self.add or self.change or self.delete)

    @property
    def same(self) -> bool:
        """Whether there is nothing to write."""
        return self.remote is not None and not (self.files_differ or self.settings or self.secrets)

    @property
    def broken(self) -> bool:
        """Whether its head commit has failed, so that the Space has to be started anew."""
        r = self.remote
        return r is not None and r.stage in FAILED and r.running_sha in (None, r.sha)

    @property
    def settled(self) -> bool:
        """Nothing to write, and the commit that is there was seen running by an earlier push, and still does."""
        return self.remote is not None and self.same and bool(self.remote.deployed) and not self.broken

    def as_json(self) -> dict[str, Any]:
        """For `plan --json`; secrets by name only."""
        return {
            "space": self.target.repo_id,
            "mode": self.target.mode,
            "action": self.action,
            "files": {"add": self.add, "change": self.change, "delete": self.delete},
            "settings": [{"name": c.name, "before": c.before, "after": c.after} for c in self.settings],
            "secrets": self.secrets,
            "notices": self.notices,
            "version": self.bundle.version,
            "refusals": self.refusals,
            "bytes": sum(len(d) for d in self.bundle.files.values()),
        }

    @property
    def action(self) -> str:
        """refuse, create, update, heal (it is broken), resume (waiting and proving is left) or nothing."""
        if self.refusals:
            return "refuse"
        if self.remote is None:
            return "create"
        if not self.same:
            return "update"
        return "nothing" if self.settled else "heal" if self.broken else "resume"


@dataclass(frozen=True)
class Unplanned:
    """A Space whose plan could not be made, and why; the others' plans stand."""

    target: Target
    text: str
    action: ClassVar[str] = "fail"

    def as_json(self) -> dict[str, Any]:
        """For `plan --json`."""
        return {
            "space": self.target.repo_id,
            "mode": self.target.mode,
            "action": self.action,
            "error": self.text,
        }


def plan_space(
    hub: Hub,
    target: Target,
    root: Path = ROOT,
    *,
    files_only: bool = False,
    adopt: Collection[str] = (),
    env: Mapping[str, str] | None = None,
) -> SpacePlan:
    """Compare the bundle, and unless `files_only` the settings, with what the Hub has.

    `adopt` names the Spaces that may be taken over although no push of ours has made them.
    """
    bundle = bundles.build(target, root)
    plan = diff(target, bundle, remotes.read(hub, target.repo_id, settings=not files_only))
    if plan.remote is not None and not plan.remote.ours:
        count = len(plan.delete) + len(plan.change)
        if target.name in adopt or target.repo_id in adopt:
            plan.notices.append(f"taken over: {count} files that are not ours are deleted or written over")
        else:
            plan.refusals.append(
                f"no push of ours has made it, and {count} of its files would be lost; give the Space another "
                "`name` or the federation another `prefix` in the file, or take this one over with "
                f"`wan-studio deploy push --adopt {target.name}`"
            )
    if files_only:
        plan.settings, plan.secrets = [], []
        plan.notices.append("only files: settings are neither compared nor written")
        return plan
    plan.secrets = secrets.due(hub, target, plan.remote, env)
    if not plan.settled:
        plan.refusals += volumes.problems(hub, target)
    return plan


def plan_all(
    hub: Hub,
    targets: Sequence[Target],
    root: Path = ROOT,
    *,
    files_only: bool = False,
    adopt: Collection[str] = (),
) -> list[SpacePlan | Unplanned]:
    """Every Space's plan, in the order given."""

    def one(target: Target) -> SpacePlan | Unplanned:
        try:
            return plan_space(hub, target, root, files_only=files_only, adopt=adopt)
        except DeployError as error:
            return Unplanned(target, error.text)

    return hub.each(one, targets)


def diff(target: Target, bundle: Bundle, remote: Remote | None) -> SpacePlan:
    """The plan from both sides, without secrets; pure."""
    plan = SpacePlan(target, bundle, remote)
    if bundle.manifest["git_sha"].endswith("-dirty"):
        plan.notices.append("this bundle holds changes that are not committed")
    here = {path: remotes.content_id(data) for path, data in bundle.files.items()}
    there: Mapping[str, tuple[str, ...]] = remote.files if remote else {}
    plan.add = [p for p in here if p not in there]
    plan.change = [p for p in here if p in there and there[p][0] not in here[p]]
    plan.delete = sorted(p for p in there if p not in here)
    plan.settings = setting_changes(target, remote, plan.notices)
    return plan


def setting_changes(target: Target, remote: Remote | None, notices: list[str]) -> list[Change]:
    """Settings that differ; what cannot be compared becomes a notice."""
    mounts = tuple(sorted(remotes.volume_id(v) for v in hub_volumes(target)))
    if remote is None:
        wanted: dict[str, object] = {"hardware": target.hardware, "visibility": target.visibility}
        wanted |= {f"variable {k}": v for k, v in target.variables.items()}
        if target.sleep_seconds is not None:
            wanted["sleep_seconds"] = target.sleep_seconds
        if mounts:
            wanted["volumes"] = [v.to_uri() for v in hub_volumes(target)]
        return [Change(name, None, value) for name, value in wanted.items()]
    out: list[Change] = []
    if remote.hardware != target.hardware:
        out.append(Change("hardware", remote.hardware, target.hardware))
    if target.sleep_seconds is not None and remote.sleep_seconds != target.sleep_seconds:
        out.append(Change("sleep_seconds", remote.sleep_seconds, target.sleep_seconds))
    visible = remote.visibility or ("private" if remote.private else None)
    if visible is None and target.visibility == "private":
        visible = "public"
    if visible is None:
        notices.append(
            f"the Hub does not say whether it is public or protected; {target.visibility} is assumed"
        )
    elif visible != target.visibility:
        out.append(Change("visibility", visible, target.visibility))
    for name, value in target.variables.items():
        if remote.variables.get(name) != value:
            out.append(Change(f"variable {name}", remote.variables.get(name), value))
    for name in remote.variables:
        # Ours go when the file drops them; a stranger's stay, for somebody set them by hand.
        if name.startswith("WAN_") and name not in target.variables and name != secrets.SENT:
            out.append(Change(f"variable {name}", remote.variables[name], None))
    if mounts and mounts != remote.volumes:
        out.append(Change("volumes", [":".join(v) for v in remote.volumes], [":".join(v) for v in mounts]))
    elif remote.volumes and not mounts:
        notices.append("volumes are attached that the federation file does not name; they are left alone")
    return out


def hub_volumes(target: Target) -> list[Volume]:
    """The target's volumes as the Hub's client wants them."""
    return [Volume(**v.model_dump(exclude_none=True)) for v in target.volumes]


def describe(
    plans: Sequence[SpacePlan | Unplanned],
    skipped: Mapping[str, str],
    machines: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """The plan as people read it; `machines` says of each Space's hardware what there is to say."""
    lines: list[str] = []
    for p in plans:
        if isinstance(p, Unplanned):
            lines.append(f"{p.action:8} {p.target.repo_id}: {p.text}")
            continue
        files = f"{len(p.add)} new, {len(p.change)} changed, {len(p.delete)} deleted files"
        detail = {
            "nothing": "nothing to do",
            "resume": "wait until it runs, prove it, tag it",
            "heal": f"it is {p.remote.stage if p.remote else ''}: start it anew, prove it",
            "refuse": "; ".join(p.refusals),
        }.get(p.action, files)
        lines.append(f"{p.action:8} {p.target.repo_id}: {detail}")
        lines += [f"           {text}" for text in (machines or {}).get(p.target.repo_id, ())]
        if p.refusals:
            continue
        if p.action == "update":
            lines += [f"           + {f}" for f in p.add] + [f"           ~ {f}" for f in p.change]
            lines += [f"           - {f}" for f in p.delete]
        for c in p.settings:
            lines.append(f"           {c.name}: {_show(c.before)} → {_show(c.after)}")
        for name in p.secrets:
            again = " (again: it is another one)" if p.remote and name in p.remote.secrets else ""
            lines.append(f"           secret {name} from ${p.target.secrets[name]}{again}")
        lines += [f"           note: {n}" for n in p.notices]
    lines += [f"skipped  {name}: {reason}" for name, reason in skipped.items()]
    return "\n".join(lines)


def _show(value: object) -> str:
    return "not set" if value is None else str(value)
