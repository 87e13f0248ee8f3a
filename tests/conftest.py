"""What holds for all tests."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

# No timed tests: a busy machine must not turn them red.
settings.register_profile("calm", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("calm")


@pytest.fixture(autouse=True)
def _no_log_of_the_command_line() -> Iterator[None]:
    """Take away the handler that a command installs: a process runs one command, tests many."""
    yield
    logging.getLogger("faceswap_cli").handlers.clear()
