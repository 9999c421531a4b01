"""Of several measurements of a backbone on one machine the fastest stands for its rows."""

from __future__ import annotations

from bench.records.schema import Record
from bench.report.speeds import fastest
from tests.bench.records.make_records import make_record


def _measured(rtfx: float, head: str = "mlp", **changes: object) -> Record:
    record = make_record(head=head, **changes)
    assert record.throughput is not None
    update = {"backbone_rtfx": 2 * rtfx, "end_to_end_rtfx": rtfx, "tuning_seconds": rtfx}
    return record.model_copy(update={"throughput": record.throughput.model_copy(update=update)})


def _speeds(found: list[Record]) -> list[tuple[float, float, float]]:
    return [
        (t.backbone_rtfx, t.end_to_end_rtfx, t.tuning_seconds)
        for record in fastest(found)
        if (t := record.throughput)
    ]


def test_the_fastest_stands_for_all_and_tuning_stays_as_it_was() -> None:
    found = [_measured(20, "a"), _measured(60, "b"), _measured(40, "c")]
    assert _speeds(found) == [(120, 60, 20), (120, 60, 60), (120, 60, 40)]


def test_machines_tasks_weights_and_backbones_have_speeds_of_their_own() -> None:
    found = [
        _measured(20),
        _measured(30, hardware="Other CPU"),
        _measured(40, task="youtube", protocol="channel-5fold"),
        _measured(50, weights="random-init", control="random-init"),
        _measured(60, backbone="w"),
    ]
    assert [speed for _, speed, _ in _speeds(found)] == [20, 30, 40, 50, 60]


def test_a_record_without_a_speed_stays_without() -> None:
    (record,) = fastest([make_record(throughput=None)])
    assert record.throughput is None
