"""Visitors may sign in where the Space has OAuth, and are not asked to where it has not."""

import gradio as gr
import pytest

from router.app import build_studio
from router.dispatch import Studio
from router.federation import mounted


@pytest.mark.parametrize("client", ["", "an-id"])
def test_sign_in_is_drawn_where_the_space_has_oauth(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"SYSTEM": "spaces", "SPACE_ID": "ada/studio", "SPACE_HOST": "ada-studio.hf.space"}
    oauth = {
        "OAUTH_CLIENT_SECRET": "x",
        "OAUTH_SCOPES": "openid",
        "OPENID_PROVIDER_URL": "http://127.0.0.1:9",
    }
    for name, value in (space | oauth | {"OAUTH_CLIENT_ID": client}).items():
        monkeypatch.setenv(name, value)
        monkeypatch.setattr(f"gradio.oauth.{name}", value, raising=False)  # read at import
    page = build_studio(Studio.over(mounted("http://127.0.0.1:1")))
    assert any(isinstance(block, gr.LoginButton) for block in page.blocks.values()) is bool(client)
