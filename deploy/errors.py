"""What can go wrong between this checkout and the Hub, each with a way out.

DeployError        the Hub refused, or did not answer in time
├── Raced          somebody committed meanwhile: plan again
├── Conflict       it exists already
├── Missing        no such Space, or it is private and the token cannot see it
└── Refused        the token may not do that there
"""

from __future__ import annotations

from common.errors import StudioError


class DeployError(StudioError):
    """The Hub refused, or did not answer in time."""

    title = "Deploy"


class Raced(DeployError):
    """Somebody committed between our plan and our commit."""


class Conflict(DeployError):
    """What should be created exists already."""


class Missing(DeployError):
    """No such Space, or not for this token."""


class Refused(DeployError):
    """The token may not do that there."""
