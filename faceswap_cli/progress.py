"""The progress bar: rate and ETA for people, silence for scripts."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm

_quiet = False


def be_quiet() -> None:
    """Show no bars from now on (--quiet)."""
    global _quiet
    _quiet = True


@contextmanager
def progress(
    what: str, *, total: int | None, unit: str, initial: int = 0
) -> Iterator["tqdm[NoReturn]"]:
    """Yield a bar on stderr; silent when stderr is no terminal, or after be_quiet()."""
    hidden = _quiet or not sys.stderr.isatty()
    with tqdm(
        total=total, desc=what, unit=unit, initial=initial, disable=hidden, dynamic_ncols=True
    ) as bar:
        yield bar
