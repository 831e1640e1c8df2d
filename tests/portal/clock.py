"""Time as the portal sees it, moved by a test; browsers keep their own, and every cookie.

Import the fixture beside the tests. Nothing here knows what a test does with it.
"""

import time
from types import SimpleNamespace

import pytest
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
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)
