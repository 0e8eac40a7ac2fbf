"""Waits until a Space runs a given commit, and shows its log when it does not."""

from __future__ import annotations

from itertools import takewhile

from deploy.errors import DeployError
from deploy.hub import Hub

POLL_SECONDS = 5.0
LONGEST = 60 * 60.0
FAILED = {
    "BUILD_ERROR": "could not be built",
    "RUNTIME_ERROR": "stopped with an error",
    "CONFIG_ERROR": "has a configuration error",
    "NO_APP_FILE": "has no app file",
    "DELETING": "is being deleted",
}
STALE_SECONDS = 60.0
"""How long after a restart the stage may still be that of before."""
_LOG_LINES = 15


def until_running(
    hub: Hub, repo_id: str, sha: str, *, longest: float = LONGEST, restarted: bool = False
) -> None:
    """Return once `repo_id` runs `sha`. DeployError with the end of its log when it fails or takes too long,
    and at once when another commit has come on top: then `sha` will never run.

    The stage alone will not do: for a while after a commit it is still the old build's RUNNING, and after a
    restart (`restarted`) the old failure.
    """
    waited, woken, last = 0.0, False, ""
    while True:
        runtime = hub.call(f"ask how {repo_id} is", lambda: hub.api.get_space_runtime(repo_id))
        stage = str(getattr(runtime.stage, "value", runtime.stage))
        running = runtime.raw.get("sha")
        current = running is None or running == sha
        if stage == "RUNNING" and current:
            return
        if not current:
            _check_overtaken(hub, repo_id, sha)
        if stage not in FAILED:
            restarted = False
        elif current and not (restarted and waited < STALE_SECONDS):
            tail = log_tail(hub, repo_id, build=stage in ("BUILD_ERROR", "CONFIG_ERROR"))
            raise DeployError(
                f"{repo_id} {FAILED[stage]} at {sha[:12]}; `wan-studio deploy rollback` takes it back. "
                f"The end of its log:\n{tail}"
            )
        if stage in ("PAUSED", "STOPPED", "SLEEPING") and not woken:
            woken = True
            hub.say(f"  {repo_id} is {stage.lower()}; starting it")
            hub.call(f"start {repo_id}", lambda: hub.api.restart_space(repo_id))
        if waited >= longest:
            raise DeployError(
                f"{repo_id} is still {stage} after {longest / 60:.0f} minutes; "
                "see `wan-studio deploy logs`, or run the same command again to go on waiting"
            )
        if stage != last:
            hub.say(f"  {repo_id}: {stage}")
            last = stage
        hub.sleep(POLL_SECONDS)
        waited += POLL_SECONDS


def _check_overtaken(hub: Hub, repo_id: str, sha: str) -> None:
    commits = hub.call(
        f"list the commits of {repo_id}", lambda: list(hub.api.list_repo_commits(repo_id, repo_type="space"))
    )
    later = list(takewhile(lambda c: c.commit_id != sha, commits))
    if not later or len(later) == len(commits):
        return  # it is the last one, or the list does not know it yet
    by = ", ".join(later[0].authors) or "somebody"
    raise DeployError(
        f"{repo_id} was overtaken: {later[0].commit_id[:12]} ({later[0].title}) by {by} came on top of {sha[:12]}, "
        "which will not run; `wan-studio deploy plan` says what a push would change of it"
    )


def log_tail(hub: Hub, repo_id: str, *, build: bool, lines: int = _LOG_LINES) -> str:
    """The last lines of the build or run log, indented; a sentence when there is none to be had."""
    try:
        text = hub.call(
            f"read the log of {repo_id}", lambda: "".join(hub.api.fetch_space_logs(repo_id, build=build))
        )
    except DeployError as error:
        return f"    ({error.text})"
    tail = text.splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in tail) or "    (empty)"
