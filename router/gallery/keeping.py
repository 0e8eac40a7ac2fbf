"""Keeps every finished result on the disk's gallery as its Done passes, whether or not a page still looks."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from common.contract import Done, MediaHandle
from common.errors import StudioError
from common.page.gate import own_file
from router.gallery.disk import Disk
from router.gallery.items import found
from router.transfer import Traffic, keep_here

log = logging.getLogger(__name__)


class Keeping:
    """What a Studio calls with each Done of an owner's."""

    def __init__(self, disk: Disk, traffic: Traffic) -> None:
        self._disk, self._traffic = disk, traffic
        self._later: set[asyncio.Task[None]] = set()

    async def __call__(self, owner: str, video: MediaHandle, done: Done) -> None:
        """Never raises: a result that cannot be kept is on its page all the same."""
        task = asyncio.create_task(asyncio.to_thread(self._keep, owner, video, done))
        if video.url:  # to be fetched first, which nobody should wait for
            self._later.add(task)
            task.add_done_callback(self._later.discard)
        else:
            await task

    def _keep(self, owner: str, video: MediaHandle, done: Done) -> None:
        try:
            here = keep_here(video, "", self._traffic) if video.url else video
            path = own_file(here.path, "video")
            shelf = self._disk.shelf(owner)
            key = self._disk.keep(owner, Path(path), done.lineage)
            if (item := found(shelf.items(), key)) is not None:
                shelf.thumbnail(item)
        except (StudioError, OSError) as error:
            log.warning("a result was not kept in the gallery: %s", error)
