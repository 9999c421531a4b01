"""The card of a winner: README.md whose front matter the hub understands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from backbones import BackboneInfo
from bench.records.schema import Record
from bench.report.markdown import escape, table
from bench.report.page import Table
from bench.report.values import percent
from bench.winner.folder import Config, Contents, Settings

# Of a model on the hub; other weights have an address, which front matter may not name.
_HUB = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_USE = "## How to use it"
_LIMITS = (
    "It answers with one of its labels whatever it hears, also music, noise, or what none of its "
    "labels is. Its probabilities are those of sound like its training clips; of other "
    "microphones, rooms, languages and ages nothing was measured unless this card says so."
)


def card(config: Config, record: Record, macro_f1: str) -> str:
    """The text of the card.

    Args:
        config: the winner.
        record: its row.
        macro_f1: in percent, with its interval where it has one.
    """
    parts = ", ".join(f"{p.backbone} layer {p.layer}, {p.pooling}" for p in config.parts)
    scores = [[name, own] for name, own in _scores(record, macro_f1).items()]
    classes = [[label, percent(f1)] for label, f1 in record.scored.per_class_f1.items()]
    confusion = [
        [label, *map(str, counts)]
        for label, counts in zip(record.labels, record.scored.confusion, strict=True)
    ]
    return "\n".join(
        [
            _front(config, [config]),
            f"# {escape(config.task)}: {escape(config.backbone)}, {config.pooling}, {config.head}",
            "",
            *_introduction(config),
            "## How good it is",
            "",
            f"Measured by cross-validation (`{config.protocol}`: {escape(record.folding.summary)}) "
            f"on {_apart(config)}, before it was fitted on all clips. The fit on all clips was "
            "tested on nothing.",
            "",
            table(Table(("score", "%>"), scores)),
            "",
            table(Table(("label", "F1 %>"), classes)),
            "",
            "Rows are true labels, columns are predicted ones:",
            "",
            table(Table(("", *(f"{label}>" for label in record.labels)), confusion)),
            "",
            "## What it is",
            "",
            f"- vectors: {escape(parts)}; {config.features} features, standardised",
            f"- head: {config.head} {escape(json.dumps(config.params))}",
            f"- temperature: {config.temperature:.2f}, fitted on predictions of inner folds"
            if config.reads == "vectors"
            else "- temperature: none, since a training has no predictions of inner folds",
            *_ending([config]),
        ]
    )


def average_card(contents: Contents, rows: Sequence[tuple[Record, int]], macro_f1: str) -> str:
    """The text of the card of an average.

    Args:
        contents: the winner.
        rows: of its members, with how often each counts.
        macro_f1: of the ensemble, in percent, with its interval where it has one.
    """
    config = contents.config
    members = [each.config for each in contents.members if isinstance(each.config, Config)]
    counts = sum(count for _, count in rows)
    table_ = [
        ["/".join((r.backbone, r.pooling, r.head)), f"{n} of {counts}", percent(r.scored.macro_f1)]
        for r, n in rows
    ]
    return "\n".join(
        [
            _front(config, members),
            f"# {escape(config.task)}: an average of {len(rows)} rows",
            "",
            *_introduction(config),
            "## How good it is",
            "",
            f"Averages like this one score a macro-F1 of {macro_f1} % in `{config.protocol}`"
            f", on {_apart(config)}: members are chosen for each fold by predictions of its inner "
            "folds. The members of this one were chosen by the same rule on predictions of all "
            "outer folds, and it was itself tested on nothing.",
            "",
            table(Table(("member", "weight>", "its macro-F1 %>"), table_)),
            "",
            "## What it is",
            "",
            "The mean of its members' probabilities, each mended by its own temperature.",
            "",
            *_ending(members),
        ]
    )


def for_transformers(text: str, info: BackboneInfo) -> str:
    """A card of the same winner as a folder of transformers, which is used otherwise.

    Args:
        text: of the winner's card.
        info: its backbone.
    """
    front = re.match(r"---\n(.*?\n)---\n", text, re.DOTALL)
    fields, body = (front[1], text[front.end() :]) if front else ("", "\n" + text)
    kept = [line for line in fields.splitlines() if not line.startswith("library_name:")]
    library = 'library_name: "transformers"'
    use = "\n".join(
        [
            _USE,
            "",
            "```python",
            "from transformers import pipeline",
            "",
            'classify = pipeline("audio-classification", model="FOLDER", top_k=None)',
            f'classify({{"raw": wave, "sampling_rate": {info.sample_rate}}})',
            "```",
            "",
            "`wave` is float32 (samples,), the mean of the channels, in [-1, 1], of at most "
            f"{info.max_seconds:g} s: longer ones voxgrid cuts into windows, a pipeline does not.",
            "",
        ]
    )
    # up to the next heading; a card that has no such part gets it at its end
    body, found = re.subn(
        rf"^{_USE}\n.*?(?=^## |\Z)", lambda match: f"{use}\n", body, flags=re.M | re.S
    )
    ending = "" if found else f"\n\n{use}"
    return "\n".join(["---", *kept, library, "---", ""]) + body + ending


def _introduction(config: Settings) -> list[str]:
    left_out = (
        ""
        if config.without_fold is None
        else f" It was fitted without the clips that fold {config.without_fold} tests."
    )
    return [
        f"Says which of {len(config.labels)} labels an audio file is: "
        f"{', '.join(map(escape, config.labels))}. Fitted on {len(config.clips)} clips by "
        f"voxgrid {escape(config.voxgrid)}.{left_out}",
        "",
        _USE,
        "",
        "```sh",
        "voxgrid predict FOLDER recording.wav",
        "```",
        "",
        "```python",
        "from bench.winner import Model",
        "",
        'Model.load("FOLDER").predict(["recording.wav"])',
        "```",
        "",
    ]


def _apart(config: Settings) -> str:
    if config.leaks:
        return f"{config.group}s on both sides, so these figures are too good"
    return f"{config.group}s that no fold was fitted on"


def _ending(members: Sequence[Config]) -> list[str]:
    licences = {e.backbone: e.licence for config in members for e in config.encoders}
    return [
        "- licences of the backbones' weights: "
        + ", ".join(f"{escape(name)} {escape(own)}" for name, own in licences.items()),
        "- licence of the data: that of your clips; what is fitted on them may be bound by it",
        "",
        "## Limits",
        "",
        _LIMITS,
        "",
    ]


def _scores(record: Record, macro_f1: str) -> Mapping[str, str]:
    return {
        "macro-F1": macro_f1,
        "accuracy": percent(record.scored.accuracy),
        "unweighted average recall": percent(record.scored.uar),
    }


def _front(config: Settings, members: Sequence[Config]) -> str:
    """Front matter, as JSON values, which YAML reads."""
    encoders = [encoder for member in members for encoder in member.encoders]
    licences = sorted({encoder.licence for encoder in encoders})
    weights = dict.fromkeys(encoder.weights_id or "" for encoder in encoders)
    values = {
        "license": licences[0].lower() if len(licences) == 1 else "other",
        "library_name": "voxgrid",
        "pipeline_tag": "audio-classification",
        "tags": ["voxgrid", "audio-classification", config.task],
        "base_model": list(filter(_HUB.fullmatch, weights)) or None,
        "metrics": ["f1", "accuracy"],
    }
    lines = [f"{key}: {json.dumps(own)}" for key, own in values.items() if own is not None]
    return "\n".join(["---", *lines, "---", ""])
