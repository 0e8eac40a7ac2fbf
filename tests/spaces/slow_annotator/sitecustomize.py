"""With this folder on PYTHONPATH, gray maps take ten seconds, and a file tells of each frame and of the end."""

import importlib.abc
import importlib.machinery
import os
import sys
import time
from pathlib import Path

SECONDS = 10.0


def slow(material, frames):
    from common.annotate.frames import watched

    def told(text):
        with Path(os.environ["SLOW_ANNOTATOR_LOG"]).open("a") as log:
            log.write(text + "\n")

    maps = []
    try:
        for frame in watched(frames, material.check):
            told("frame")
            time.sleep(SECONDS / len(frames))
            maps.append(frame)
        return maps
    finally:
        told("end")


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "common.control.makers":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            module._MAPS["gray"] = slow

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
