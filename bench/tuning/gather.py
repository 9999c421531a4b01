"""The studies of all journals in one storage, to be looked at; nothing is written or locked."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import optuna
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial
from pydantic import ConfigDict, Field, TypeAdapter

from backbones.reading import JOURNAL, parse_json, read_bytes
from bench.errors import StorageError
from bench.files import below, unlinked
from bench.tuning.fits.base import Draw
from bench.tuning.search import verify
from bench.tuning.storage import whole_lines

_log = logging.getLogger(__name__)

# What Optuna raises where it reads what it did not write.
_DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
)
_Score = Annotated[float, Field(ge=0, le=1)]
# The parameters, epochs and values of a trial; the dashboard fails on stranger ones.
_SHOWN = TypeAdapter(
    tuple[dict[str, Any], dict[int, _Score], list[_Score] | None],
    config=ConfigDict(strict=True, allow_inf_nan=False),
)


class _Read(BaseJournalBackend):
    """The lines of a journal that was read; there is no file to add to."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._lines = lines

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        return self._lines[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise NotImplementedError


def gathered(root: Path) -> tuple[InMemoryStorage, list[str]]:
    """Copies of the studies below a root folder, and why journals are left out.

    A study is called by its journal's path below the root, and its fold. A journal may be one
    that a run is writing: it is read up to the first line that is not whole.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = InMemoryStorage()
    left_out: list[str] = []
    for path in below(root):
        if path.suffix != ".journal":
            continue
        try:
            studies = _studies(read_bytes(unlinked(path, root.parent), JOURNAL))
        except StorageError as error:
            left_out.append(str(error))
        except OSError as error:
            left_out.append(f"{path} cannot be read ({error.strerror})")
        except _DAMAGE:
            _log.debug("%s:", path, exc_info=True)
            left_out.append(f"{path} is damaged, or of another version")
        else:
            cell = path.relative_to(root).with_suffix("").as_posix()
            for name, trials in studies.items():
                _add(trials, storage, f"{cell}/{name}")
    return storage, left_out


def _studies(content: bytes) -> dict[str, list[FrozenTrial]]:
    """The trials of each study of a journal, after all of them were looked at."""
    lines = whole_lines(content)
    if content and not lines:
        raise ValueError("not one of its lines is a journal's")
    journal = JournalStorage(_Read(list(map(parse_json, lines))))
    # whether a trial's draw is one of its search space, only the run knows
    verify(journal, lambda study, trial: Draw(0, trial.params))
    studies = {
        str(study.study_name): journal.get_all_trials(study._study_id)
        for study in journal.get_all_studies()
    }
    for trials in studies.values():
        for trial in trials:
            _SHOWN.validate_python((trial.params, trial.intermediate_values, trial.values))
        _add(trials, InMemoryStorage(), "rehearsal")  # a journal is shown whole or not at all
    return studies


def _add(trials: list[FrozenTrial], storage: InMemoryStorage, name: str) -> None:
    # Optuna's `copy_study` would take what is set on the study too, such as notes, unlooked at
    optuna.create_study(study_name=name, storage=storage, direction="maximize").add_trials(trials)
