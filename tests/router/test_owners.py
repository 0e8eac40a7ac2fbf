"""Whose a file is, by any name that it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.contract import MediaHandle
from common.page.gate import FILE_ROUTE
from router import owners
from router.owners import Owners

SPACE = f"https://ada-wan-t2v.hf.space{FILE_ROUTE}"
NAME = "/tmp/gradio/wan-studio/0123456789abcdef/t2v-1.mp4"


def test_a_file_is_its_owners_and_nobody_elses() -> None:
    known = Owners()
    known.note([SPACE + NAME], "ada")
    assert known.allow(SPACE + NAME, "ada")
    assert not known.allow(SPACE + NAME, "bob") and not known.allow(SPACE + NAME, None)
    assert known.allow(SPACE + NAME.replace("0123", "4567"), "bob"), "nobody is known to own that one"
    assert known.allow(f"https://bob-wan-t2v.hf.space{FILE_ROUTE}{NAME}", "bob"), "another Space's of that name"


@pytest.mark.parametrize(
    "name",
    [NAME.replace("/", "%2F"), NAME.replace("t2v", "%74%32%76"), f"/{NAME}", f"{NAME}?download=1", f"{NAME}#t=1",
     NAME.replace("gradio", "gradio/./x/.."), NAME.upper(), f"/private{NAME}", f"/private/..{NAME}",
     f"../../..{NAME}", f"/proc/self/root{NAME}", NAME.replace("/t2v", "//t2v"), NAME.replace("t2v", "ｔ2v")],
)  # fmt: skip
def test_another_spelling_is_the_same_file(name: str) -> None:
    known = Owners()
    known.note([SPACE + NAME], "ada")
    assert not known.allow(SPACE + name, "bob")
    assert known.allow(SPACE + name, "ada")


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    file, link = tmp_path / "a.mp4", tmp_path / "b.mp4"
    file.write_bytes(b"x")
    link.symlink_to(file)
    known = Owners()
    known.note([str(link)], "ada")
    for path in (file, link, f"{tmp_path}/./x/../a.mp4", f"/{file}"):
        assert not known.allow(str(path), "bob"), path


def test_one_content_may_have_several_bringers(tmp_path: Path) -> None:
    known, path = Owners(), str(tmp_path / "a.png")
    for owner in ("ada", "bob"):
        known.note([path], owner)
    assert known.allow(path, "ada") and known.allow(path, "bob") and not known.allow(path, "eve")
    known.note([path], None)
    assert known.allow(path, "eve"), "brought by somebody who shows no secret: its name is all it takes"


def test_a_result_is_known_by_its_path_and_by_its_address() -> None:
    known = Owners()
    known.note_handle(MediaHandle(path="/tmp/x/t2v-1.mp4", url=SPACE + NAME), "ada")
    assert not known.allow("/tmp/x/t2v-1.mp4", "bob") and not known.allow(SPACE + NAME, "bob")


@pytest.mark.parametrize("path", ["\0", "http://[", "https://[::1" + FILE_ROUTE + "/x"])
def test_what_names_no_file_is_nobodys_to_name(path: str) -> None:
    known = Owners()
    known.note([path], "ada")
    assert not known.allow(path, "ada")


def test_the_longest_unnamed_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "REMEMBERED", 2)
    known = Owners()
    known.note(["/a/1", "/a/2", "/a/1", "/a/3"], "ada")
    assert not known.allow("/a/1", "bob") and not known.allow("/a/3", "bob") and known.allow("/a/2", "bob")
