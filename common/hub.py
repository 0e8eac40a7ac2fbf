"""Gets files from the Hub, and says in words why it did not give them."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import WeightsError

TIMEOUT = 10.0
"""Seconds that the Hub has for a first answer."""
ON_NANO = "use the embedded demo weights with --weights nano"


def page(repo: str) -> str:
    """Where a person finds a repository."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repo}"


def cached(repo: str, revision: str | None = None, patterns: Sequence[str] | None = None) -> Path | None:
    """The folder of what was fetched of a repository before, by these patterns; None where some of it is not here.

    Without them the Hub's list of files, where one was kept, has the README too, which nobody has fetched.
    """
    from huggingface_hub import snapshot_download

    wanted = list(patterns) if patterns else None
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=wanted, local_files_only=True))
    except Exception:  # whatever the reason: it is not here
        return None


def ask(repo: str, revision: str | None = None) -> dict[str, int]:
    """The files of a repository with their bytes, where the Hub says them.

    Raises what is wrong with it, or with the way there, soon: `snapshot_download` retries for long.
    """
    from huggingface_hub import HfApi

    info = HfApi().model_info(repo, revision=revision, timeout=TIMEOUT, files_metadata=True)
    return {file.rfilename: file.size or 0 for file in info.siblings or ()}


def folder(
    repo: str,
    patterns: Sequence[str] | None = None,
    revision: str | None = None,
    *,
    bar: type[Any] | None = None,
    again: bool = False,
) -> Path:
    """The folder of a repository's files; what is there already is kept, unless it is wanted `again`.

    `bar` is told of every byte, as `tqdm` is; what it raises ends the download, and what was whole by then stays.
    """
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            repo, revision=revision, allow_patterns=list(patterns) if patterns else None, etag_timeout=TIMEOUT,
            tqdm_class=bar, force_download=again,
        )
    )  # fmt: skip


@contextmanager
def explained(name: str, where: str, otherwise: str = ON_NANO) -> Iterator[None]:
    """Whatever fails in it is a WeightsError about `name`."""
    try:
        yield
    except Exception as error:
        raise explain(error, name, where, otherwise) from error


def explain(error: Exception, name: str, where: str, otherwise: str = ON_NANO) -> WeightsError:
    """What went wrong at the Hub, as a sentence with a way out."""
    from huggingface_hub import constants, errors

    if isinstance(error, WeightsError):
        return error
    if isinstance(error, errors.GatedRepoError):
        text = f"{where} is gated: accept its licence on the Hub and log in with `hf auth login`"
    elif isinstance(error, errors.RepositoryNotFoundError):
        text = f"{where} does not exist on {constants.ENDPOINT}, or is private"
    elif isinstance(error, errors.RevisionNotFoundError | errors.RemoteEntryNotFoundError):
        text = f"{where} is not on {constants.ENDPOINT}; it may have been renamed"
    elif isinstance(error, errors.HfHubHTTPError) and _status(error) in (401, 403):
        text = (
            f"{constants.ENDPOINT} refuses this machine's token for {where}; log in again with `hf auth login`, or "
            "take HF_TOKEN away"
        )
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        text = f"the disk of {constants.HF_HUB_CACHE} is full; make room or set HF_HOME to another disk"
    elif isinstance(error, errors.OfflineModeIsEnabled):
        text = f"{where} is not in {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids downloads"
    else:
        text = f"{constants.ENDPOINT} cannot be reached ({type(error).__name__}); check the network, or {otherwise}"
    return WeightsError(f"{name}: {text}")


def _status(error: Any) -> int:
    """The HTTP status of an answer of the Hub; a repository that nobody may see has a class of its own."""
    response = getattr(error, "response", None)
    return 0 if response is None else response.status_code
