"""Addresses are understood, and their file names are safe and never the same for two."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones import BackboneError
from backbones.names import cache_name, file_name, parse

# Few characters, so that names that differ little are tried.
part = st.from_regex(r"a([-.]?[ab_]){1,3}", fullmatch=True)
repository = st.builds("{}/{}".format, part, part) | part
revision = (
    st.text("ab-_./", max_size=3).map(lambda text: f"a{text}").filter(lambda text: ".." not in text)
)
path = st.text("ab-_./ é~", min_size=1, max_size=6)
addresses = st.one_of(
    st.builds("hf:{}".format, repository),
    st.builds("hf:{}@{}".format, repository, revision),
    st.builds("hf:./{}".format, path),
    st.builds("hf:/{}".format, path),
    st.builds("nemo:{}.nemo".format, path),
)


@pytest.mark.parametrize("name", ["wav2vec2", "whisper-base", "my.own_backbone"])
def test_a_registered_name_is_no_address(name: str) -> None:
    assert parse(name) is None
    assert file_name(name) == cache_name(name) == name


def test_a_repository_may_be_pinned() -> None:
    for name, where, revision in (
        ("hf:microsoft/wavlm-base", "microsoft/wavlm-base", "main"),
        ("hf:microsoft/wavlm-base@refs/pr/1", "microsoft/wavlm-base", "refs/pr/1"),
        ("hf:gpt2@abc", "gpt2", "abc"),
    ):
        address = parse(name)
        assert address is not None
        assert (address.name, address.where, address.revision) == (name, where, revision)
        assert address.path is None


def test_a_path_is_a_path_whatever_is_in_it() -> None:
    for name, path in (
        ("hf:./my@model", Path("my@model")),
        ("hf:../a", Path("../a")),
        ("hf:/a/b c", Path("/a/b c")),
        ("hf:~/model", Path.home() / "model"),
        ("hf:./~/model", Path("~/model")),
        ("nemo:models/x.nemo", Path("models/x.nemo")),
    ):
        address = parse(name)
        assert address is not None
        assert address.path == path
        assert cache_name(name) == address.scheme


@pytest.mark.parametrize(
    "name",
    [
        "hf:",
        "hf:a/b/c",
        "hf:a b",
        "hf:a/b@",
        "hf:a/b@x y",
        "hf:a@b/../c",
        "nemo:",
        "nemo:a",
        "hg:a/b",
        ":a",
    ],
)
def test_what_only_looks_like_an_address_is_refused(name: str) -> None:
    with pytest.raises(BackboneError, match="as in") as caught:
        parse(name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_file_names_can_be_read() -> None:
    assert file_name("hf:microsoft/wavlm-base") == "hf--microsoft--wavlm-base"
    assert file_name("hf:a/b@v1.0") == "hf--a--b@v1.0"
    assert file_name("hf:/models/my model/").startswith("hf--my-model~")
    assert file_name("nemo:models/citrinet.nemo").startswith("nemo--citrinet.nemo~")


@given(addresses)
def test_file_names_are_safe(name: str) -> None:
    made = file_name(name)
    assert set(made) <= set(string.ascii_letters + string.digits + "._@~-")
    assert len(made) < 120
    # a record's file is called <backbone>__<pooling>__<head>
    assert "__" not in made


@given(addresses, addresses)
def test_two_addresses_never_share_a_file_name(one: str, other: str) -> None:
    assert (file_name(one) == file_name(other)) == (one == other)
