"""Lends the page a file of the disk's gallery: a second name in the cache, under a folder that nobody can guess.

The folder of a Studio's state is never served nor named. What is lent is a file of the cache like any other, so that
the page shows it, Send to passes it on by path, and every gate knows it. The cache's sweep takes that name away, and
the next look lends it anew.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections import OrderedDict
from pathlib import Path

from common import cache

REMEMBERED = 20_000


class Lending:
    """What is lent now, by the path of what is lent."""

    def __init__(self) -> None:
        self._lent: OrderedDict[Path, Path] = OrderedDict()
        self._lock = threading.Lock()

    def lend(self, source: Path, *, copy: bool = True) -> Path | None:
        """The file's name in the cache; None where it is gone, or where only a copy would do and none is wanted."""
        with self._lock:
            known = self._lent.get(source)
            if known is not None and known.is_file():
                return known
            target = cache.results() / secrets.token_hex(16) / source.name
            target.parent.mkdir(parents=True)
            try:
                os.link(source, target)
            except FileNotFoundError:
                target.parent.rmdir()
                return None
            except OSError:  # another file system, or one without links
                if not copy:
                    target.parent.rmdir()
                    return None
                with cache.whole(target) as part:
                    shutil.copyfile(source, part)
            cache.used(target)
            self._lent[source] = target
            while len(self._lent) > REMEMBERED:
                self._lent.popitem(last=False)
            return target

    def take_back(self, source: Path) -> None:
        """A deleted file is no longer shown."""
        with self._lock:
            target = self._lent.pop(source, None)
            if target is not None:
                target.unlink(missing_ok=True)
