"""What is shown of a result follows from its own lineage; names are ones to read, and safe everywhere."""

from __future__ import annotations

import pytest

from router.gallery.items import file_name, found
from tests.router.gallery.made import PROMPT, item, lineage


def test_facts_come_from_the_lineage() -> None:
    one = item("/1.mp4", lineage("t2v", seed=7))
    assert (one.prompt, one.model, one.name) == (
        PROMPT,
        "Wan 2.2 T2V-A14B (MoE)",
        "t2v-a-b-red-b-circle-7.mp4",
    )
    assert one.when is not None and one.when.isoformat() == "2026-11-27T10:00:00+00:00"
    bare = item("/1.mp4")
    assert (bare.prompt, bare.model, bare.name, bare.when) == ("", "", "t2v.mp4", None)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        (
            "A red circle moving right, on a black background",
            "t2v-a-red-circle-moving-right-on-a-black-5.mp4",
        ),
        ("../../etc/passwd\n\x1b[31m", "t2v-etc-passwd-31m-5.mp4"),
        ("一只猫", "t2v-一只猫-5.mp4"),
        ("x" * 3000, f"t2v-{'x' * 40}-5.mp4"),
        ("\u202egpj.exe \u2066", "t2v-gpj-exe-5.mp4"),
        ("CON: |<>?*", "t2v-con-5.mp4"),
        ("", "t2v-5.mp4"),
    ],
)
def test_names_can_be_read_and_harm_no_disk(prompt: str, name: str) -> None:
    assert (
        file_name("t2v", lineage(prompt="x", seed=5).model_copy(update={"request": {"prompt": prompt}}))
        == name
    )
    assert len(name.encode()) < 255


def test_a_key_is_a_hash_whatever_a_browser_has_kept() -> None:
    real = "ab" * 32
    assert item("/1.mp4", sha256=real).key == real
    for sha in ('"><script>', "0" * 64, "AB" * 32, None):
        key = item("/1.mp4", sha256=sha).key
        assert len(key) == 64 and key.isalnum() and key != real
    assert item("/1.mp4").key != item("/2.mp4").key


def test_a_deleted_one_is_not_found() -> None:
    one, gone = item("/1.mp4"), item("/2.mp4", deleted=5.0)
    assert found([one, gone], one.key) is one
    assert found([one, gone], gone.key) is None and found([one], ["x"]) is None
