"""The progress bar: rate and ETA for people, silence for scripts."""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import NoReturn

from tqdm import tqdm

_quiet = False


def be_quiet() -> None:
    """Show no bars from now on (--quiet)."""
    global _quiet
    _quiet = True


def is_quiet() -> bool:
    """Tell whether be_quiet() was called."""
    return _quiet


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


class Stopwatch:
    """Seconds by part of the work, summed over threads."""

    def __init__(self) -> None:
        self._lock, self._spent = Lock(), defaultdict[str, float](float)

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Add what the block takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._spent[part] += time.perf_counter() - started

    def seconds(self) -> dict[str, float]:
        """Return the sums so far."""
        return {part: round(spent, 2) for part, spent in self._spent.items()}
