"""Version skew in Settings: told by place and commit where there is some, and not a word where there is none."""

from __future__ import annotations

import pytest

from common.contract import CONTRACT_VERSION
from common.modes.all import MODES
from router.asking import Status
from router.federation import Place
from router.health import Watcher
from router.settings import about as page
from router.settings.about import about, skew
from router.transfer import Traffic
from tests.common.fakes import manifest

OLD, NEW = "a" * 40, "b" * 40


def watcher(*places: tuple[Place, str]) -> Watcher:
    made = Watcher({"t2v": tuple(place for place, _ in places)})
    for place, sha in places:
        told = manifest(MODES["t2v"]).model_copy(update={"git_sha": sha})
        made.note(Status(place, "ready", "", told, "https://x.example/"))
    return made


def test_places_of_one_mode_with_two_commits_are_named() -> None:
    first, second = Place("t2v", "ada/wan-t2v"), Place("t2v", "ada/wan-t2v-2")
    (line,) = skew(watcher((first, OLD), (second, NEW)), own="")
    assert line == (
        f"Text to Video is not one version everywhere: ada/wan-t2v runs {OLD[:12]}, ada/wan-t2v-2 runs {NEW[:12]}. "
        "Jobs go to any of them"
    )
    assert skew(watcher((first, OLD), (second, OLD)), own="") == []
    assert skew(watcher((first, "unknown"), (second, OLD)), own="") == []


def test_another_commit_than_the_studios_is_named_where_they_can_be_compared() -> None:
    here, space = Place("t2v", "http://10.0.0.7:7861/"), Place("t2v", "ada/wan-t2v")
    (line,) = skew(watcher((here, OLD)), own=NEW)
    assert f"http://10.0.0.7:7861/ runs {OLD[:12]}, this Studio {NEW[:12]}" in line
    assert skew(watcher((here, NEW)), own=NEW) == []
    assert skew(watcher((space, OLD)), own=NEW) == [], "a bundle's commit is that of its own files"
    assert skew(watcher((here, OLD)), own="unknown") == []


def test_the_page_says_it_and_a_stranger_writes_no_html(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "git_sha", lambda: NEW)
    here = Place("t2v", "http://10.0.0.7:7861/")
    html = about(watcher((here, "<script>x")), Traffic())
    assert "is not one version everywhere" in html and "<script>" not in html
    assert f"contract {CONTRACT_VERSION}" in html
    assert "not one version" not in about(watcher((here, NEW)), Traffic())
