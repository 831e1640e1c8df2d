"""Who does things in tests: whoever runs the machine's commands. Nothing here knows what a test does with it."""

from schema.entries import Application, By
from schema.roles import EVERYTHING, Reach
from schema.values import DEFAULT_TENANT, NOBODY, Scope

COMMAND = By(Scope(DEFAULT_TENANT, NOBODY, Reach.PLATFORM, confidential=True), EVERYTHING, Application.COMMAND)
