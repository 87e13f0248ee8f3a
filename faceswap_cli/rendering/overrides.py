"""Settings written in one line, `colour=mkl mode=seamless`, laid over those of a merge."""

from typing import Any

from faceswap_cli.config import LookConfig, MergeConfig
from faceswap_cli.errors import ConfigError
from faceswap_cli.settings import checked


def with_overrides(section: MergeConfig, text: str) -> MergeConfig:
    """Return the section with some settings changed.

    Args:
        section: Left as it is.
        text: KEY=VALUE, several divided by spaces; keys of [merge] that may change from one
            frame to the next. Empty: nothing is changed.

    Raises:
        ConfigError: A word is no KEY=VALUE, a key is unknown, or a value is out of range.
    """
    changes: dict[str, Any] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(
                f"{word!r} is no KEY=VALUE",
                seen_in="--compare",
                fix='for example --compare "colour=mkl mode=seamless"',
            )
        changes[key.replace("-", "_").replace("color", "colour")] = value
    look = checked(LookConfig, changes, seen_in=f"--compare {text!r}")
    return section.model_copy(update={key: getattr(look, key) for key in changes})
