"""Time as the portal sees it, moved by a test; browsers keep their own, and every cookie.

Import the fixtures beside the tests. Nothing here knows what a test does with it.
"""

import time
from types import SimpleNamespace

import pytest
import trio
from itsdangerous import TimestampSigner

from portal import pending, sessions, signin
from portal.pages import own_second_factor

WITH_A_CLOCK = (pending, sessions, signin, own_second_factor)


class Clock:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ahead_s = 0.0
        for module in WITH_A_CLOCK:
            patch.setattr(module, "time", SimpleNamespace(time=self.now_s))
        patch.setattr(TimestampSigner, "get_timestamp", lambda _: int(self.now_s()))

    def now_s(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two attempts, for `limits.py`: a busy machine takes longer for one than the shortest pause lasts."""
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)
