"""The table of places: what WAN_FEDERATION may say, and what it may not."""

import json

import pytest

from common.errors import InputError
from router.federation import Place, from_env, mounted, parse


def test_urls_and_space_ids_one_or_several() -> None:
    table = parse('{"t2v": ["me/wan-t2v", "http://127.0.0.1:7861/t2v"], "i2v": "https://x.example/"}')
    assert table["t2v"] == (Place("t2v", "me/wan-t2v"), Place("t2v", "http://127.0.0.1:7861/t2v/"))
    assert table["i2v"] == (Place("i2v", "https://x.example/"),)


def test_who_can_fetch_from_whom() -> None:
    assert Place("t2v", "me/wan-t2v").public
    assert Place("t2v", "https://x.example/").public
    assert not Place("t2v", "http://127.0.0.1:7861/").public
    assert not Place("t2v", "http://localhost:7861/").public
    assert not Place("t2v", "http://192.168.1.20:7861/").public
    assert not Place("t2v", "http://[::1]:7861/").public


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "must be JSON"),
        ("[]", "must map modes to places"),
        ('{"t3v": "a/b"}', "must name modes; got 't3v', try t2v, i2v"),
        ('{"t2v": "nonsense"}', "must hold URLs or Space ids; got t2v: 'nonsense', try owner/wan-t2v"),
        ('{"t2v": 3}', "must hold URLs or Space ids"),
        ("[" * 100_000, "must be JSON"),
        ('{"t2v": ' + "1" * 5000 + "}", "must be JSON"),
        ('{"t2v": "http://["}', "must hold URLs or Space ids"),
        ('{"t2v": "http://"}', "must hold URLs or Space ids"),
        ('{"t2v": "http://a:99999"}', "must hold URLs or Space ids"),
        ('{"t2v": "http://a/\\u0000"}', "must hold URLs or Space ids"),
        ('{"t2v": "http://a/?x=1"}', "must hold URLs or Space ids"),
        ('{"t2v": "\\ud800/x"}', "must hold URLs or Space ids"),
        ('{"t2v": "a/b", "t2v": "c/d"}', "names a mode twice"),
    ],
)
def test_a_broken_table_is_named(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        parse(text)
    assert said in str(error.value)


def test_launcher_mounts_every_built_mode() -> None:
    table = mounted("http://127.0.0.1:7860")
    assert table["t2v"] == (Place("t2v", "http://127.0.0.1:7860/t2v/", mount=True),)
    assert from_env({}) == {}


@pytest.mark.parametrize(
    ("where", "inside"),
    [
        ("http://t2v:7860", True), ("http://wan-studio-t2v.lab.svc:7860", True),
        ("http://t2v.lab.svc.cluster.local", True), ("http://localhost:7860", False), ("http://127.0.0.1:1", False),
        ("http://[::1]:7860", False), ("http://10.0.0.7", False), ("https://wan.example.org", False),
        ("http://box.local", False), ("ada/t2v", False),
    ],
)  # fmt: skip
def test_a_name_that_containers_alone_know_is_inside(where: str, inside: bool) -> None:
    (place,) = parse(json.dumps({"t2v": where}))["t2v"]
    assert place.inside is inside and not (inside and place.public)
