"""What is drawn of results: everything that a stranger's file says is text, and the lineage leads to what is here."""

from __future__ import annotations

import re

import pytest

from common.contract import Parent
from router.gallery import detail, grid
from router.gallery.browser import LAST
from router.gallery.grid import SHOWN, Shown
from router.gallery.tree import tree
from tests.router.gallery.made import item, lineage

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"


def evil() -> Shown:
    made = lineage("t2v", prompt=EVIL)
    plan = made.plan.model_copy(
        update={"checkpoint": EVIL, "negative_prompt": EVIL, "values": {EVIL: EVIL}, "loras": [(EVIL, 1.0)]}
    )
    made = made.model_copy(
        update={
            "plan": plan, "versions": {EVIL: EVIL}, "git_sha": EVIL, "created": EVIL, "revision": EVIL,
            "request": {"prompt": EVIL, EVIL: EVIL}, "parents": [Parent(sha256=EVIL, mode=EVIL, role=EVIL)],
        }
    )  # fmt: skip
    one = item(f"/{EVIL}.mp4", made, sha256=EVIL)
    return Shown(one, grid.address(one.video), EVIL)


def test_nothing_of_a_strangers_file_is_html() -> None:
    shown = evil()
    pages = [
        grid.grid([shown], [shown.item]), detail.detail(shown, [shown.item], local=True),
        detail.detail(shown, [shown.item], local=False), detail.compared([shown, shown]),
        tree(shown.item, [shown.item]),
    ]  # fmt: skip
    for page in pages:
        tags = re.findall(r"<[^>]*>", page)
        assert "<script" not in page and "<img src=x" not in page
        assert not [tag for tag in tags if "alert(" in re.sub(r'"[^"]*"', '""', tag)], "out of its attribute"


def test_a_cell_says_what_it_is_and_can_be_filtered() -> None:
    page = grid.grid([Shown(item("/1.mp4", lineage(seed=7), favourite=True), "/v", "/p")])
    assert (
        'data-mode="t2v"' in page
        and 'data-star="true"' in page
        and 'data-model="Wan 2.2 T2V-A14B (MoE)"' in page
    )
    assert "a &lt;b&gt;red&lt;/b&gt; circle" in page and "2026-11-27" in page and 'loading="lazy"' in page
    assert re.search(r'data-text="t2v a &lt;b&gt;red[^"]* 7"', page)


def test_nothing_yet_leads_to_a_first_video() -> None:
    assert 'data-page="t2v"' in grid.grid([]) and "Nothing yet" in grid.grid([])


def test_without_a_lineage_there_is_nothing_to_go_back_to() -> None:
    page = grid.grid([Shown(item(f"/{n}.mp4"), "/v") for n in range(LAST)])
    assert page.count("<figure") == LAST and "data-again" not in page
    assert "Reload into" not in detail.detail(Shown(item("/1.mp4"), "/v"), [], local=True)


def test_only_so_many_are_drawn() -> None:
    page = grid.grid([Shown(item(f"/{n}.mp4"), "/v") for n in range(SHOWN + 3)])
    assert page.count("<figure") == SHOWN and "3 older ones" in page


def test_all_settings_are_there() -> None:
    told = dict(detail.facts(lineage("vace", seed=9)))
    for name in (
        "Prompt",
        "Model",
        "Preset",
        "Seed",
        "Size",
        "Length",
        "Steps",
        "Guidance",
        "Shift",
        "Made",
        "Versions",
    ):
        assert told[name], name
    assert told["Seed"] == "9" and told["Submode"] == "plain" and told["Made"] == "2026-11-27 10:00 UTC"


@pytest.mark.parametrize("local", [True, False])
def test_pictures_are_offered_where_the_file_lies(local: bool) -> None:
    page = detail.detail(Shown(item("/1.mp4", lineage()), "/v"), [], local=local)
    assert ('data-kind="gif"' in page) is local and ("on another Space" in page) is not local
    assert 'download="t2v-a-b-red-b-circle-1.mp4"' in page and "application/json;base64," in page


def test_the_tree_goes_back_to_what_was_uploaded_and_on_to_what_was_made_of_it() -> None:
    first = item("/1.mp4", lineage("t2v", prompt="first"), sha256="1" * 64)
    second = item("/2.mp4", lineage("vace", "second", parents=(
        Parent(sha256="1" * 64, mode="t2v", role="video"), Parent(sha256="e" * 64, role="image"),
    )), sha256="2" * 64)  # fmt: skip
    third = item("/3.mp4", lineage("animate", "third", parents=(Parent(sha256="2" * 64, mode="vace", role="video"),)),
                 sha256="3" * 64)  # fmt: skip
    page = tree(third, [first, second, third])
    assert page.index("VACE second") < page.index("T2V first") < page.index("eeeeeeee")
    assert f'data-key="{"1" * 64}"' in page and "Used in" not in page
    assert "Animate third" in tree(second, [first, second, third]).split("Used in")[1]
    gone = first.model_copy(update={"deleted": 5.0})
    assert "T2V result, not in this gallery" in tree(second, [gone, second, third])


def test_files_that_name_each_other_make_a_small_tree_all_the_same() -> None:
    names = [f"{n:x}" * 64 for n in range(1, 13)]
    parents = tuple(Parent(sha256=name, role="video") for name in names)
    items = [item(f"/{n}.mp4", lineage("v2v", parents=parents), sha256=name) for n, name in enumerate(names)]
    assert len(tree(items[0], items)) < 100_000
