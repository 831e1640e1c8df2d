"""What every test stands on: no settings of the machine it runs on, and no limits on wall-clock time.

Nothing here may know a piece of the product: fixtures for one house live beside its tests.
"""

import os

import hypothesis
import pytest

# A shared machine may stop for a second at any moment; a test that fails because of that says nothing about Earshot.
hypothesis.settings.register_profile("earshot", deadline=None)
hypothesis.settings.load_profile("earshot")


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("EARSHOT_")]:
        monkeypatch.delenv(name)
