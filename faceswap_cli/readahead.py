"""Work that goes on while other work waits, in bounded memory."""

import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

T = TypeVar("T")


def read_ahead(items: Iterable[T], *, depth: int) -> Generator[T, None, None]:
    """Yield the items of an iterable that runs in a thread, at most `depth` ahead.

    An error of the iterable is raised here, after the items before it. The thread ends when
    the generator is closed.
    """
    stop = threading.Event()
    iterator = iter(items)
    end = object()

    def next_item() -> T | object:
        return end if stop.is_set() else next(iterator, end)

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as pool:
        waiting = deque(pool.submit(next_item) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(pool.submit(next_item))
                yield cast(T, item)
        finally:
            stop.set()
