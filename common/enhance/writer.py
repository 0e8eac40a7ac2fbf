"""Who writes for ✨ Enhance, as the environment says: a server of the chat API, the Hub's providers, or nobody.

WAN_ENHANCE_URL alone, or with WAN_ENHANCE_MODEL and WAN_ENHANCE_TOKEN (its key): that server, by the OpenAI API
WAN_ENHANCE_TOKEN and WAN_ENHANCE_MODEL: that model over the Hub's inference providers, on the token's bill
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from common.errors import InputError

PREFIX = "WAN_ENHANCE_"
NO_KEY = "none"
"""In place of a token: without any, huggingface_hub sends the one that this machine is logged in with."""


@dataclass(frozen=True)
class Writer:
    """A model and where it is asked. Without `url` that is the Hub's inference providers."""

    model: str
    url: str = ""
    token: str = field(default=NO_KEY, repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Writer | None:
        """The one that `env` (os.environ) names, None where it names none; InputError for half of one."""
        env = os.environ if env is None else env
        url, model, token = (env.get(PREFIX + name, "").strip() for name in ("URL", "MODEL", "TOKEN"))
        for name, value in (("MODEL", model), ("TOKEN", token)):
            if not re.fullmatch(r"[\x21-\x7e]{0,200}", value):
                raise InputError(PREFIX + name, "must be up to 200 characters without spaces")
        if url:
            return cls(model or "default", _server(url), token or NO_KEY)
        if not token and not model:
            return None
        if not token.startswith("hf_"):
            raise InputError(
                f"{PREFIX}TOKEN", "must be a token of the Hub (hf_…) where there is no WAN_ENHANCE_URL"
            )
        if not model or model.startswith(("http://", "https://")):
            raise InputError(f"{PREFIX}MODEL", "must name a model of the Hub", hint="such as owner/model")
        return cls(model, token=token)

    @property
    def here(self) -> bool:
        """Whether it is this machine, so that the prompt goes to nobody else."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def name(self) -> str:
        """The model and where it is, in words."""
        where = "on this machine" if self.here else f"at {urlsplit(self.url).hostname}" if self.url else ""
        model = "a model" if self.model == "default" else self.model
        return f"{model} {where or 'over Hugging Face’s inference providers'}"


def _server(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise InputError(f"{PREFIX}URL", "must be an http address", hint="such as http://127.0.0.1:11434/v1")
    return url.rstrip("/")
