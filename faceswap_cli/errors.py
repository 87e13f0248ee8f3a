"""Failures we can explain to the user, each with its own exit code."""

from typing import ClassVar


class FaceswapError(Exception):
    """Shown as one message, without a traceback.

    Args:
        what: What is wrong, with the value we saw.
        seen_in: The file, folder or option where it was seen.
        fix: The command or the edit that mends it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, seen_in: object = None, fix: str | None = None) -> None:
        lines = [what]
        lines += [f"seen in: {seen_in}"] if seen_in is not None else []
        lines += [f"fix: {fix}"] if fix is not None else []
        super().__init__("\n".join(lines))
        self.what = what


class ConfigError(FaceswapError):
    """A config file or an option holds a value we cannot use."""

    exit_code = 2  # what click returns for bad usage


class WorkspaceError(FaceswapError):
    """The input of a stage is missing, stale or damaged, or the folder cannot be written."""

    exit_code = 3


class GeometryError(WorkspaceError):
    """Landmarks from which no transform can be estimated."""


class MediaError(FaceswapError):
    """A picture or a video cannot be decoded or encoded."""

    exit_code = 4


class DeviceError(FaceswapError):
    """The device that was asked for is missing, or out of memory."""

    exit_code = 5


class DivergedError(FaceswapError):
    """Training produced a value that is not finite."""

    exit_code = 6
