"""The panel of text to video: a prompt and the settings that every mode has."""

from __future__ import annotations

from common.panels.base import Panel


class T2VPanel(Panel):
    """Nothing of its own: everything is in the request."""

    prompt_placeholder = "A cinematic shot of a fox running through fresh snow at golden hour"
