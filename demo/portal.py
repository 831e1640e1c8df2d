"""What the demo reads of its portal, as any client of the API does: the calls that a login sees.

Not here: starting the portal, and what is told about its calls (show.py).
"""

import http.client
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

# A portal on this machine answers in milliseconds; one that has just been started, on a busy machine, later.
PATIENCE_S: Final = 10.0


class NotYet(Exception):
    """The portal does not answer, or not with calls. The text says what it did."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the API tells it; `state` and `recording` are its words."""

    id: str
    caller: str
    callee: str
    state: str
    started_at: datetime


class Portal:
    """The API of the portal at a port of this machine, with a token."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._host, self._port, self._token = host, port, token

    def calls(self) -> list[Call]:
        """The newest calls. Errors: NotYet."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/api/v1/calls?limit=20", headers={"Authorization": f"Bearer {self._token}"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise NotYet(f"the portal does not answer ({error})") from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise NotYet(f"the portal answers {answer.status} {answer.reason}: {body.decode('utf-8', 'replace')}")
        return [_call(each) for each in json.loads(body)["calls"]]


def _call(told: dict[str, Any]) -> Call:
    return Call(
        told["id"],
        told["from"]["number"],
        told["to"]["number"],
        told["state"],
        datetime.fromisoformat(told["started_at"]),
    )
