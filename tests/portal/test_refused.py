"""Every reason for which something is not done has a sentence here, with the same values in it."""

import re

import pytest
from quart_trio import QuartTrio

from engine.call import Why
from live.errors import Refused
from portal import refused
from portal.app import create_app
from portal.config import PortalConfig
from schema.refusals import SENTENCES, Refusal


@pytest.fixture
def app(config: PortalConfig) -> QuartTrio:
    """No test here needs a database."""
    return create_app(config, None)


@pytest.mark.parametrize("code", SENTENCES)
async def test_a_refusal_of_the_schema_is_said_as_commands_say_it(app: QuartTrio, code: str) -> None:
    values = {name: 7 if name == "limit" else f"<{name}>" for name in re.findall(r"\{(\w+)\}", SENTENCES[code])}
    refusal = Refusal(code, **values)
    async with app.test_request_context("/"):
        assert refused.of_data(refusal) == str(refusal)


def test_no_sentence_is_of_a_code_that_is_no_more() -> None:
    assert refused.OF_DATA.keys() == SENTENCES.keys()


@pytest.mark.parametrize("why", Why)
async def test_a_refusal_of_an_engine_has_a_sentence(app: QuartTrio, why: Why) -> None:
    async with app.test_request_context("/"):
        assert refused.of_call(Refused("As the engine says it.", why)) != "As the engine says it."


async def test_what_an_engine_refuses_that_is_newer_is_said_as_it_came(app: QuartTrio) -> None:
    async with app.test_request_context("/"):
        assert refused.of_call(Refused("Not on Sundays.", "sunday")) == "Not on Sundays."
