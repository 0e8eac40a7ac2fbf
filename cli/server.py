"""Who does a mode's jobs at `--server`."""

from __future__ import annotations

import httpx

from common.errors import InputError
from common.modes.base import Mode
from common.run.remote import TIMEOUT, RemoteRunner, ask_manifest


def at(server: str, mode: Mode) -> RemoteRunner:
    """The mode of a Studio, or the mode's own Space; InputError for what is another mode's.

    Of what does not answer, the runner itself says why, once a job's media are known to be there.
    """
    if not server.startswith(("http://", "https://")):
        rule = "must be the URL of a Studio or Space"
        raise InputError("--server", rule, got=repr(server), hint="try http://127.0.0.1:7860")
    own = f"{server.rstrip('/')}/"
    studio = f"{own}{mode.key}/"
    for url in (studio, own):
        try:
            manifest = ask_manifest(url, {}, TIMEOUT)
        except httpx.TransportError:  # nobody is there, whatever the path
            break
        except (httpx.HTTPError, ValueError):
            continue
        if manifest.mode != mode.key:
            rule = f"must be a Studio, or the Space of {mode.key}"
            raise InputError("--server", rule, got=f"the Space of {manifest.mode}")
        return RemoteRunner(mode, url, manifest=manifest)
    return RemoteRunner(mode, studio)
