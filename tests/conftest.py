"""What holds for all tests."""

from hypothesis import settings

# No timed tests: a busy machine must not turn them red.
settings.register_profile("calm", max_examples=50, derandomize=True)
settings.load_profile("calm")
