import threading
from collections.abc import Iterator

import pytest

from faceswap_cli.readahead import read_ahead


def test_items_come_in_order_and_all_of_them() -> None:
    assert list(read_ahead(iter(range(100)), depth=3)) == list(range(100))


def test_never_further_ahead_than_told() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    for number in read_ahead(items(), depth=4):
        assert len(taken) <= number + 1 + 4 + 1


def test_an_error_arrives_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    seen: list[int] = []
    with pytest.raises(OSError, match="gone"):
        seen.extend(read_ahead(items(), depth=2))
        raise AssertionError
    reader = read_ahead(items(), depth=2)
    assert next(reader) == 1


def test_closing_it_ends_the_thread() -> None:
    reader = read_ahead(iter(range(1000)), depth=2)
    next(reader)
    reader.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead")]
