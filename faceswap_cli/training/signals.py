"""What people ask a running training for by signals: to stop, to show where it is."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SHOW = getattr(signal, "SIGUSR1", None)
"""`kill -USR1 PID`: save and draw now; None where the platform has no such signal."""


class Asked:
    """Questions that wait until an iteration has ended."""

    def __init__(self) -> None:
        self._stop, self._show = threading.Event(), threading.Event()

    def to_stop(self) -> bool:
        """Whether Ctrl-C or SIGTERM has come."""
        return self._stop.is_set()

    def to_show(self) -> bool:
        """Whether SHOW has come, and has not been answered."""
        return self._show.is_set()

    def stop(self) -> None:
        """Ask for the end."""
        self._stop.set()

    def show(self) -> None:
        """Ask to save and draw."""
        self._show.set()

    def shown(self) -> None:
        """Take the question as answered."""
        self._show.clear()


@contextmanager
def no_harm_by_show() -> Iterator[None]:
    """Ignore SHOW where nobody listens yet: unheard it would end the process."""
    if SHOW is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(SHOW, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(SHOW, before)


@contextmanager
def deferred_signals(*, patient: bool = False) -> Iterator[Asked]:
    """Turn Ctrl-C, SIGTERM and SHOW into questions to ask between iterations.

    A second Ctrl-C interrupts at once, unless `patient`: processes that train together get every
    signal twice, from the terminal and from the one that started them. Outside the main thread
    signals are not ours.
    """
    asked = Asked()

    def ask(number: int, frame: FrameType | None) -> None:
        if number == SHOW:
            asked.show()
            return
        if asked.to_stop() and not patient:
            raise KeyboardInterrupt
        asked.stop()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    ours = [signal.SIGINT, signal.SIGTERM, *([SHOW] if SHOW is not None else [])]
    before = {number: signal.signal(number, ask) for number in ours}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
