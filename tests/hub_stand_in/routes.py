"""The API of the stand-in Hub: the part of the real one that a Space deploy uses."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from tests.hub_stand_in.git import git_route, lfs_batch, model_file, model_tree, resolve
from tests.hub_stand_in.repos import GITATTRIBUTES, PullRequest, Repo
from tests.hub_stand_in.wire import Call, Reply, missing

if TYPE_CHECKING:
    from tests.hub_stand_in.server import Hub

DATE = "2026-11-22T00:00:00.000Z"


def answer(hub: Hub, call: Call) -> Reply:
    """Route a request; writes need a token with the write role."""
    path = call.path
    if call.has_token and call.account is None:
        return Reply(401, {"error": "Invalid username or password."})
    writing = call.method in ("POST", "PUT", "DELETE") and "paths-info" not in path
    if writing and path != "/api/validate-yaml" and not path.startswith("/lfs/"):
        if call.account is None:
            return Reply(401, {"error": "Invalid username or password."})
        if call.account.role != "write":
            return Reply(403, {"error": "This token has no write access."})
    if path == "/api/whoami-v2":
        return whoami(call)
    if path == "/api/validate-yaml":
        return Reply(200, {"errors": [], "warnings": []})
    if path == "/api/spaces/zero-gpu/quota":
        return Reply(200, hub.quota)
    if path in ("/api/spaces/hardware", "/api/jobs/hardware"):
        return Reply(200, [machine(*m) for m in hub.machines[path.split("/")[2]]])
    if path == "/api/spaces":
        author = call.query.get("author", [""])[0]
        return Reply(200, [info(r, None) for r in hub.repos.values() if r.id.startswith(author + "/")])
    if path == "/api/repos/create":
        return create(hub, call)
    if path == "/api/repos/delete":
        d = call.json()
        repo = hub.repos.pop(f"{d.get('organization') or account_name(call)}/{d['name']}", None)
        return Reply(200) if repo else missing("RepoNotFound")
    if m := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
        if hashlib.sha256(call.body).hexdigest() != m[1]:
            return Reply(400, {"error": "sha256 mismatch"})
        hub.lfs[m[1]] = call.body
        return Reply(200)
    if m := re.fullmatch(r"/spaces/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
        return lfs_batch(hub, call)
    if m := re.fullmatch(r"/spaces/([^/]+/[^/]+)/resolve/([^/]+|refs/pr/\d+)/(.+)", path):
        return resolve(hub, call, m[1], m[2], m[3])
    if m := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+(?:/(.*))?", path):
        return model_tree(hub, m[1], m[2] or "")
    if m := re.fullmatch(r"/((?!spaces/|api/)[^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
        return model_file(hub, m[1], m[2])
    if m := re.fullmatch(r"/api/spaces/([^/]+/[^/]+)(?:/(.*))?", path):
        repo = hub.repos.get(m[1])
        if repo is None or (repo.visibility == "private" and call.account is None):
            return missing("RepoNotFound")
        return space(hub, call, repo, m[2] or "")
    return missing(f"no route {path}")


def machine(name: str, ram: str, an_hour: float, card: str | None) -> dict[str, Any]:
    """A kind of hardware, billed by the minute."""
    gpu = {"type": "gpu", "model": card, "quantity": "1", "vram": "", "manufacturer": "Nvidia"}
    return {
        "name": name, "prettyName": name, "cpu": "8 vCPU", "ram": ram, "ephemeralStorage": "100 GB",
        "accelerator": gpu if card else None, "unitLabel": "minute",
        "unitCostUSD": an_hour / 60, "unitCostMicroUSD": int(an_hour / 60 * 1e6),
    }  # fmt: skip


def account_name(call: Call) -> str:
    return call.account.name if call.account else ""


def whoami(call: Call) -> Reply:
    if call.account is None:
        return Reply(401, {"error": "Invalid username or password."})
    a = call.account
    body = {"name": a.name, "type": "user", "isPro": a.pro, "canPay": a.pro}
    body["orgs"] = [{"name": o, "plan": "team"} for o in a.orgs]
    token: dict[str, Any] = {"role": a.role, "displayName": "test"}
    if a.scoped is not None:
        scoped = [{"entity": {"name": n}, "permissions": p} for n, p in a.scoped.items()]
        token |= {"role": "fineGrained", "fineGrained": {"global": [], "scoped": scoped}}
    body["auth"] = {"type": "access_token", "accessToken": token}
    return Reply(200, body)


def create(hub: Hub, call: Call) -> Reply:
    d = call.json()
    name = f"{d.get('organization') or account_name(call)}/{d['name']}"
    owner = name.split("/")[0]
    url = f"{call.base}/spaces/{name}"
    assert call.account is not None
    if name in hub.repos:
        return Reply(409, {"error": "You already created this space repo", "url": url})
    if owner != call.account.name and owner not in call.account.orgs:
        return Reply(403, {"error": f"You don't have the rights to create a space under {owner}"})
    if d.get("hardware") == "zero-a10g":
        have = sum(r.hardware == "zero-a10g" and r.id.startswith(owner + "/") for r in hub.repos.values())
        limit = 10 if call.account.pro else 2
        if have >= limit:
            return Reply(403, {"error": f"You have reached the limit of {limit} ZeroGPU Spaces"})
    repo = Repo(
        id=name,
        visibility=d.get("visibility") or "public",
        hardware=d.get("hardware") or "cpu-basic",
        sleep=d.get("sleepTimeSeconds"),
        volumes=d.get("volumes") or [],
        variables={v["key"]: v["value"] for v in d.get("variables") or []},
        secrets={s["key"]: s["value"] for s in d.get("secrets") or []},
        outcome=hub.outcomes.get(name, "RUNNING"),
        host=hub.hosts.get(name),
    )
    repo.commit({".gitattributes": GITATTRIBUTES}, "initial commit")
    repo.writes.append("create")
    hub.repos[name] = repo
    return Reply(200, {"url": url, "name": name})


def info(repo: Repo, ref: str | None) -> dict[str, Any]:
    commit = repo.find(ref or "main")
    assert commit is not None
    return {
        "id": repo.id,
        "sha": commit.id,
        "private": repo.visibility == "private",
        "visibility": repo.visibility,
        "sdk": "gradio",
        "host": repo.host,
        "subdomain": repo.id.replace("/", "-"),
        "siblings": [{"rfilename": f} for f in commit.tree],
        "runtime": repo.runtime(moves=False) if ref is None else None,
        "tags": [],
        "likes": 0,
    }


def space(hub: Hub, call: Call, repo: Repo, sub: str) -> Reply:
    """Everything under /api/spaces/<id>/."""
    head, _, rest = sub.partition("/")
    if head in ("", "revision"):
        return (
            Reply(200, info(repo, rest or None)) if repo.find(rest or "main") else missing("RevisionNotFound")
        )
    if head in ("preupload", "commit", "tree", "paths-info"):
        return git_route(hub, call, repo, head, rest)
    if head == "commits":
        return Reply(200, [{"id": c.id, "title": c.message, "message": "", "authors": [{"user": "ada"}],
                            "date": c.date.strftime("%Y-%m-%dT%H:%M:%S.000Z")}
                           for c in reversed(repo.commits)])  # fmt: skip
    if head == "tag" and call.method == "DELETE":
        return Reply(200) if repo.tags.pop(rest, None) else missing("RevisionNotFound")
    if head == "tag":
        if call.json()["tag"] in repo.tags:
            return Reply(409, {"error": "tag already exists"})
        target = repo.find(rest)
        if target is None:
            return missing("RevisionNotFound")
        repo.tags[call.json()["tag"]] = target.id
        repo.writes.append("tag")
        return Reply(200)
    if sub == "refs":
        return refs(repo)
    if head == "discussions":
        found = [discussion(repo, p) for p in repo.pulls]
        return Reply(200, {"discussions": found, "count": len(found), "start": 0})
    if head == "logs":
        events = "".join(f"data: {json.dumps({'data': x, 'timestamp': DATE})}\n\n" for x in repo.log)
        return Reply(200, events.encode(), content_type="text/event-stream")
    if sub == "runtime":
        return Reply(200, repo.runtime())
    return settings(call, repo, sub)


def refs(repo: Repo) -> Reply:
    tags = [{"name": k, "ref": f"refs/tags/{k}", "targetCommit": v} for k, v in repo.tags.items()]
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.id}
    return Reply(200, {"branches": [main], "converts": [], "tags": tags})


def discussion(repo: Repo, pull: PullRequest) -> dict[str, Any]:
    return {
        "num": pull.number,
        "title": pull.title,
        "status": pull.status,
        "author": {"name": repo.id.split("/")[0]},
        "isPullRequest": True,
        "createdAt": DATE,
        "repo": {"name": repo.id, "type": "space"},
    }


def settings(call: Call, repo: Repo, sub: str) -> Reply:
    """Everything that can be set on a Space; all but visibility restarts it."""
    d = call.json() if call.body else {}
    if sub == "variables":
        if call.method == "POST":
            repo.variables[d["key"]] = d["value"]
        elif call.method == "DELETE":
            repo.variables.pop(d["key"], None)
        body: Any = {k: {"value": v} for k, v in repo.variables.items()}
    elif sub == "secrets":
        if call.method == "POST":
            repo.secrets[d["key"]] = d["value"]
        body = {k: {"updatedAt": DATE} for k in repo.secrets}
    elif sub == "hardware":
        repo.hardware, body = d["flavor"], None
    elif sub == "sleeptime":
        repo.sleep, body = d["seconds"], None
    elif sub == "volumes":
        repo.volumes, body = d.get("volumes", []) if call.method == "PUT" else [], {}
    elif sub == "settings":
        repo.visibility, body = d.get("visibility", repo.visibility), {}
    elif sub in ("restart", "pause"):
        body = None
        if call.query.get("factory"):
            sub = "factory"
    else:
        return missing(f"no route {sub}")
    if call.method != "GET":
        repo.writes.append(sub)
        if sub != "settings":
            repo.restart()
        if sub == "pause":
            repo.stages = [("PAUSED", repo.head.id)]
    return Reply(200, repo.runtime() if body is None else body)
