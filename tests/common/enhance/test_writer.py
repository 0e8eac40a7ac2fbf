"""Which model is asked, by the variables of the app."""

from __future__ import annotations

import pytest

from common.enhance.writer import NO_KEY, Writer
from common.errors import InputError


def env(**values: str) -> dict[str, str]:
    return {f"WAN_ENHANCE_{name}": value for name, value in values.items()}


def test_nobody_unless_somebody_is_named() -> None:
    assert Writer.from_env({}) is None
    assert Writer.from_env({"HF_TOKEN": "hf_x", "WAN_READ_TOKEN": "hf_y"}) is None


def test_a_server_on_this_machine() -> None:
    writer = Writer.from_env(env(URL="http://localhost:11434/v1/", MODEL="qwen3:4b"))
    assert writer == Writer("qwen3:4b", "http://localhost:11434/v1", NO_KEY)
    assert writer and writer.here and writer.name == "qwen3:4b on this machine"
    assert Writer("default", "http://127.0.0.1:8080").name == "a model on this machine"


def test_another_server_is_named_by_its_host() -> None:
    writer = Writer.from_env(env(URL="https://llm.example/v1", MODEL="m", TOKEN="secret"))
    assert writer and not writer.here and writer.name == "m at llm.example"
    assert "secret" not in repr(writer)


def test_the_hubs_providers() -> None:
    writer = Writer.from_env(env(TOKEN="hf_abc", MODEL="owner/model"))
    assert writer == Writer("owner/model", token="hf_abc")
    assert writer and not writer.here and "Hugging Face" in writer.name


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"TOKEN": "hf_abc"}, "WAN_ENHANCE_MODEL"), ({"MODEL": "owner/model"}, "WAN_ENHANCE_TOKEN"),
        ({"TOKEN": "sk-abc", "MODEL": "m"}, "WAN_ENHANCE_TOKEN"),
        ({"TOKEN": "hf_abc", "MODEL": "https://x.example"}, "WAN_ENHANCE_MODEL"),
        ({"URL": "file:///etc/passwd"}, "WAN_ENHANCE_URL"), ({"URL": "localhost:11434"}, "WAN_ENHANCE_URL"),
        ({"URL": "http://user:pw@h/v1"}, "WAN_ENHANCE_URL"),
        ({"URL": "http://h/v1", "MODEL": "two words"}, "WAN_ENHANCE_MODEL"),
        ({"URL": "http://h/v1", "TOKEN": "line\nbreak"}, "WAN_ENHANCE_TOKEN"),
    ],
)  # fmt: skip
def test_half_a_writer_is_refused_without_its_secret(given: dict[str, str], field: str) -> None:
    with pytest.raises(InputError) as refused:
        Writer.from_env(env(**given))
    assert refused.value.field == field
    assert given.get("TOKEN", "-no-") not in refused.value.text
