"""The git side of the stand-in Hub: trees, files, LFS and commits."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tests.hub_stand_in.repos import LFS_BYTES, PullRequest, Repo, git_oid, is_lfs
from tests.hub_stand_in.wire import Call, Reply, missing

if TYPE_CHECKING:
    from tests.hub_stand_in.server import Hub


def lfs_batch(hub: Hub, call: Call) -> Reply:
    out: list[dict[str, Any]] = []
    for o in call.json()["objects"]:
        entry = {"oid": o["oid"], "size": o["size"]}
        if o["oid"] not in hub.lfs:
            entry["actions"] = {"upload": {"href": f"{call.base}/lfs/{o['oid']}"}}
        out.append(entry)
    return Reply(200, {"transfer": "basic", "objects": out})


def resolve(hub: Hub, call: Call, name: str, ref: str, path: str) -> Reply:
    repo = hub.repos.get(name)
    if repo is None or (repo.visibility == "private" and call.account is None):
        return missing("RepoNotFound")
    commit = repo.find(ref)
    if commit is None:
        return missing("RevisionNotFound")
    if path not in commit.tree:
        return missing("EntryNotFound")
    data = commit.tree[path]
    headers = {"ETag": f'"{git_oid(data)}"', "X-Repo-Commit": commit.id}
    return Reply(200, data, headers, "application/octet-stream")


def model_tree(hub: Hub, name: str, below: str) -> Reply:
    """The files of a model repository, below a folder."""
    if name not in hub.models:
        return missing("RepoNotFound")
    model = hub.models[name]
    return Reply(
        200,
        [
            {"type": "file", "path": p, "size": model.sizes.get(p, len(b)), "oid": git_oid(b)}
            for p, b in sorted(model.files.items())
            if p.startswith(below)
        ],
    )


def model_file(hub: Hub, name: str, path: str) -> Reply:
    """One file of a model repository."""
    if name not in hub.models:
        return missing("RepoNotFound")
    if path not in hub.models[name].files:
        return missing("EntryNotFound")
    data = hub.models[name].files[path]
    headers = {"ETag": f'"{git_oid(data)}"', "X-Repo-Commit": "0" * 40}
    return Reply(200, data, headers, "application/octet-stream")


def git_route(hub: Hub, call: Call, repo: Repo, head: str, ref: str) -> Reply:
    """Trees and commits at a ref."""
    commit = repo.find(ref.strip("/"))
    if commit is None:
        return missing("RevisionNotFound")
    if head == "tree":
        return Reply(200, [repo.file_info(k, b) for k, b in sorted(commit.tree.items())])
    if head == "paths-info":
        wanted = parse_qs(call.body.decode()).get("paths", [])
        return Reply(200, [repo.file_info(p, commit.tree[p]) for p in wanted if p in commit.tree])
    if head == "preupload":
        files = [
            {
                "path": f["path"],
                "uploadMode": "lfs" if is_lfs(f["path"], f["size"]) else "regular",
                "shouldIgnore": False,
                "oid": git_oid(commit.tree[f["path"]]) if f["path"] in commit.tree else None,
            }
            for f in call.json()["files"]
        ]
        return Reply(200, {"files": files})
    return add_commit(hub, call, repo, ref)


def add_commit(hub: Hub, call: Call, repo: Repo, ref: str) -> Reply:
    base = repo.find(ref)
    assert base is not None
    tree, message, to_pr = dict(base.tree), "", call.query.get("create_pr") == ["1"]
    for line in call.body.splitlines():
        item = json.loads(line)
        value = item["value"]
        if item["key"] == "header":
            message = value["summary"]
            parent = value.get("parentCommit")
            if parent and not to_pr and not base.id.startswith(parent):
                return Reply(412, {"error": "A commit has happened since. Please refresh and try again."})
        elif item["key"] == "file":
            data = base64.b64decode(value["content"])
            if len(data) > LFS_BYTES:
                return Reply(400, {"error": f"{value['path']} is over 10 MB: use LFS"})
            tree[value["path"]] = data
        elif item["key"] == "lfsFile":
            if value["oid"] not in hub.lfs:
                return Reply(400, {"error": f"LFS object {value['oid']} was not uploaded"})
            tree[value["path"]] = hub.lfs[value["oid"]]
        elif item["key"] == "deletedFile" and tree.pop(value["path"], None) is None:
            return missing("EntryNotFound")
    pull = None
    if to_pr:
        pull = PullRequest(len(repo.pulls) + 1, message, [])
        repo.pulls.append(pull)
    new = repo.commit(tree, message, pull)
    repo.writes.append("pull request" if pull else "commit")
    url = f"{call.base}/spaces/{repo.id}"
    pr_url = f"{url}/discussions/{pull.number}" if pull else None
    return Reply(200, {"commitUrl": f"{url}/commit/{new.id}", "commitOid": new.id, "pullRequestUrl": pr_url})
