"""The head of `elsewhere`, where it leaves open what its first trained part reads."""

from __future__ import annotations

from heads.base import HeadInfo
from tests.heads.elsewhere import Elsewhere

INFO = HeadInfo(name="silent", summary="says nothing of where it begins")


class Silent(Elsewhere):
    info = INFO

    def reads_from(self, cut):
        return None
