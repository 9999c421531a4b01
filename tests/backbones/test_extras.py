"""What a backbone lacks is said together with how to get it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backbones.extras import EXTRA_MODULES, missing_extra
from backbones.logmel import INFO


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRA_MODULES, "egemaps", ("no_such_module_at_all",))
    assert missing_extra(replace(INFO, extra="egemaps")) == (
        "not installed, since it is optional; get it with: pip install 'opensmile>=2.5' "
        "(or run `tox -e bench-egemaps`)"
    )
    assert missing_extra(replace(INFO, extra=None)) is None
    inside = missing_extra(replace(INFO, extra="no_such_package.part"))
    assert inside is not None
    assert inside.endswith("pip install no_such_package.part")
