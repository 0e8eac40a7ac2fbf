"""Whether the ports that an app is to listen on are free, asked before anything slow is started."""

from __future__ import annotations

import ipaddress
import socket

from common.errors import InputError


def check(first: int, count: int = 1, host: str = "127.0.0.1") -> None:
    """InputError when one of `count` ports from `first` on cannot be listened on.

    Another program that holds one might even answer in our place.
    """
    for port in range(first, first + count):
        if not 0 < port < 65536:
            raise InputError("--port", "must be between 1 and 65535", got=port, hint="try 7860")
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except socket.gaierror:
                raise InputError(
                    "--host", "must be an address of this machine", got=host, hint="try 127.0.0.1"
                ) from None
            except OSError as error:
                rule = f"and the {count - 1} ports after it must be free" if count > 1 else "must be free"
                why = (error.strerror or "cannot be used").lower()
                hint = f"port {port} of {host}: {why}, try --port {first + 100}"
                raise InputError("--port", rule, got=first, hint=hint) from None


def loopback(host: str) -> bool:
    """Whether nobody but this machine can reach what listens on `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
