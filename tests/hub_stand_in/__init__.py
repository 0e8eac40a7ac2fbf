"""A small Hub on loopback that the real `HfApi` can create, push to, configure and delete Spaces on."""

from tests.hub_stand_in.server import Fault, Hub

__all__ = ["Fault", "Hub"]
