"""The JSON documents are described key by key, and hold nothing but JSON."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from bench.commands import documents
from bench.commands.documents import LeaderboardDocument, Row
from tests.bench.commands.reading import strict
from tests.bench.records.make_records import SYSTEM, make_record

DOCS = Path(__file__).parents[3] / "docs" / "json.md"
MODELS = [
    each
    for _, each in inspect.getmembers(documents, inspect.isclass)
    if issubclass(each, BaseModel) and each.__module__ == documents.__name__
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_described(model: type[BaseModel]) -> None:
    described = DOCS.read_text(encoding="utf-8")
    for key in model.model_fields:
        assert f"`{key}`" in described, key


def test_rankings_keep_tuned_rows_controls_and_presets_apart_best_first() -> None:
    found = documents.rankings(
        [
            make_record("wav2vec2", confusion=[[5, 5], [5, 5]]),
            make_record("xlsr", confusion=[[9, 1], [1, 9]]),
            make_record("xlsr", control="random-init", weights="random-init"),
            make_record("xlsr", preset="some-preset", published=SYSTEM),
            make_record("xlsr", protocol="random-80-20"),
            make_record("logmel", status="skipped", reason="why", scores=None),
        ]
    )
    assert [(r.kind, r.protocol, [row.backbone for row in r.rows]) for r in found] == [
        ("tuned", "speaker-6fold", ["xlsr", "wav2vec2"]),
        ("tuned", "random-80-20", ["xlsr"]),
        ("control", "speaker-6fold", ["xlsr"]),
        ("preset", "speaker-6fold", ["xlsr"]),
    ]
    assert found[0].rows[0].macro_f1 == pytest.approx(0.9)
    document = LeaderboardDocument(
        path="p", agrees=None, difference=None, unfounded=[], rankings=found
    )
    assert strict(str(document))["rankings"][1]["leaks"] is True


def test_no_number_is_nan() -> None:
    row = Row.of(make_record()).model_dump()
    with pytest.raises(ValidationError):
        Row(**{**row, "uar": float("nan")})
