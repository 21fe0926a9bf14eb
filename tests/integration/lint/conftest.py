from tests.integration.gate.fixtures import *  # noqa: F403
