"""Servers on this machine have no certificates to be verified."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not read the world's certificates for each client: it takes as long as most tests."""
    monkeypatch.setattr("yt_dlp.networking._helper.ssl_load_certs", lambda *_, **__: None)
