"""Running a flow into what keeps its frames: threads, queues, progress, and an orderly end."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from faceswap_cli.rendering.flow import Ready

MAX_WRITERS = 16


class Sink(Protocol):
    """Where finished frames go."""

    def is_done(self, index: int) -> bool:
        """Tell whether a frame needs not be made."""

    def begin(self, index: int) -> None:
        """Is told that a frame is about to be made; in order."""

    def make(self, ready: Ready) -> Any:
        """Compose a frame; called in threads. What it returns goes to `settle`."""

    def settle(self, index: int, made: Any) -> None:
        """Take what was made; in order, in the thread that runs the flow."""

    def finish(self) -> None:
        """Is told that all frames have come."""


def render(ready: Iterable[Ready], sink: Sink) -> Iterator[int]:
    """Compose frames in threads, and hand them to the sink in order; yield what is settled.

    Whatever ends it, frames that are whole already are settled first.
    """
    num_threads = min(os.cpu_count() or 1, MAX_WRITERS)
    waiting: deque[tuple[int, Future[Any]]] = deque()
    with ThreadPoolExecutor(num_threads, thread_name_prefix="compose") as pool:
        try:
            for item in ready:
                sink.begin(item.frame.index)
                waiting.append((item.frame.index, pool.submit(sink.make, item)))
                yield from _settle(waiting, sink, at_most=2 * num_threads)
            yield from _settle(waiting, sink, at_most=0)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            while waiting and _is_whole(waiting[0][1]):
                index, made = waiting.popleft()
                sink.settle(index, made.result())
            raise
    sink.finish()


def _settle(waiting: deque[tuple[int, Future[Any]]], sink: Sink, *, at_most: int) -> Iterator[int]:
    """Hand over what is made; wait until no more than `at_most` frames are not."""
    while waiting and (len(waiting) > at_most or waiting[0][1].done()):
        index, made = waiting.popleft()
        sink.settle(index, made.result())
        yield index


def _is_whole(made: Future[Any]) -> bool:
    return made.done() and not made.cancelled() and made.exception() is None
