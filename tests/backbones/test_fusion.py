"""Names of fusions: what they stand for, in one order, and files of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones import BackboneError, Weights, names
from backbones.fusion import Part, joined, parse

ADDRESS = "hf:microsoft/wavlm-base@main"


@pytest.mark.parametrize(
    ("written", "parts", "name"),
    [
        ("quartznet", [Part("quartznet")], "quartznet"),
        (ADDRESS, [Part(ADDRESS)], ADDRESS),
        ("hf:./a+b", [Part("hf:./a+b")], "hf:./a+b"),
        ("nemo:a+b.nemo", [Part("nemo:a+b.nemo")], "nemo:a+b.nemo"),
        (
            "whisper-base + quartznet",
            [Part("quartznet"), Part("whisper-base")],
            "quartznet+whisper-base",
        ),
        ("quartznet+quartznet", [Part("quartznet"), Part("quartznet")], "quartznet+quartznet"),
        ("quartznet[ 9,03 ]", [Part("quartznet", 3), Part("quartznet", 9)], "quartznet[3,9]"),
        ("quartznet[3]", [Part("quartznet", 3)], "quartznet[3]"),
        (
            "quartznet+quartznet[3]",
            [Part("quartznet", 3), Part("quartznet")],
            "quartznet[3]+quartznet",
        ),
        (
            f"xlsr+{ADDRESS}[4]+quartznet",
            [Part(ADDRESS, 4), Part("quartznet"), Part("xlsr")],
            f"{ADDRESS}[4]+quartznet+xlsr",
        ),
        (
            # a path reaches as far as the next address, and comes last
            "hf:./a+b+nemo:c.nemo",
            [Part("hf:./a+b"), Part("nemo:c.nemo")],
            "hf:./a+b+nemo:c.nemo",
        ),
        (
            "quartznet+hf:/folder/a+b[2]",
            [Part("quartznet"), Part("hf:/folder/a+b", 2)],
            "quartznet+hf:/folder/a+b[2]",
        ),
    ],
)
def test_a_name_stands_for_parts_in_one_order(written: str, parts: list[Part], name: str) -> None:
    found = parse(written)
    assert list(found.parts) == parts
    assert found.name == name
    assert parse(name) == found
    assert found.alone == (len(parts) == 1 and parts[0].layer is None)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("quartznet+", "lacks a name"),
        ("+quartznet", "lacks a name"),
        ("", "lacks a name"),
        ("quartznet[3,3]", "layer 3 of quartznet twice: name it once"),
        ("quartznet[3]+quartznet[3]", "twice"),
        ("quartznet[]", "numbers of layers, as in quartznet"),
        ("quartznet[-1]", "numbers of layers"),
        ("quartznet[a]", "numbers of layers"),
        ("quartznet[1,]", "numbers of layers"),
        ("quartznet[999999]", "numbers of layers"),
        ("quartznet+hf:a b", "what follows hf: is a repository"),
        ("quartznet+sf:a", "an address begins with hf: or nemo:"),
    ],
)
def test_what_is_no_fusion_says_what_is_wrong(written: str, said: str) -> None:
    with pytest.raises(BackboneError, match=said):
        parse(written)


PARTS = st.builds(
    Part,
    st.sampled_from(["a", "b.c", "d-3", ADDRESS, "hf:x/y", "hf:./a", "hf:./b+c", "nemo:./d.nemo"]),
    st.one_of(st.none(), st.integers(0, 120)),
)


def _write(parts: list[Part]) -> str:
    """Names first: what follows a path and is no address is of the path."""
    last = sorted(parts, key=lambda part: ":" in part.backbone)
    layers = {part: "" if part.layer is None else f"[{part.layer}]" for part in last}
    return "+".join(f"{part.backbone}{layers[part]}" for part in last)


UNIQUE = st.lists(PARTS, min_size=1, max_size=5).filter(
    lambda parts: len(fixed := [p for p in parts if p.layer is not None]) == len(set(fixed))
)


@given(UNIQUE)
def test_reading_a_name_gives_the_parts_that_were_written(parts: list[Part]) -> None:
    found = parse(_write(parts))
    assert sorted(found.parts, key=repr) == sorted(parts, key=repr)
    assert parse(found.name) == found


@given(UNIQUE, UNIQUE)
def test_two_fusions_never_share_a_file(one: list[Part], other: list[Part]) -> None:
    first, second = parse(_write(one)), parse(_write(other))
    assert (first.file_name == second.file_name) == (first == second)
    assert not set(first.file_name) & set('/\\:[]*?"<>| ,')
    assert len(first.file_name) <= max(120, len(names.file_name(one[0].backbone)))


def test_a_backbone_by_itself_keeps_the_file_it_had() -> None:
    for name in ("quartznet", ADDRESS, "hf:./a+b"):
        assert parse(name).file_name == names.file_name(name)


def test_weights_of_several_are_told_together() -> None:
    pretrained = Weights("pretrained", id="a/b", sha="1" * 64, commit="c")
    none, random = Weights("none"), Weights("random-init", id="d/e", size="small", seed=3)
    assert joined([pretrained]) is pretrained
    both = joined([none, pretrained])
    assert (both.kind, both.id, both.sha, both.commit) == ("pretrained", "a/b", "1" * 64, "c")
    every = joined([pretrained, none, random])
    assert (every.kind, every.id, every.size, every.seed) == (
        "random-init",
        "a/b + d/e",
        "small",
        3,
    )
