from hypothesis import given
from hypothesis import strategies as st

from faceswap_cli.training.keeping import HOUR_S, Saved, which_stay


def saved(losses: list[float], hours_each: float = 0.1) -> list[Saved]:
    return [Saved(500 * i, loss, i * hours_each * HOUR_S) for i, loss in enumerate(losses)]


def stay(losses: list[float], newest: int, every_hours: float) -> set[int]:
    return which_stay(saved(losses), newest=newest, every_hours=every_hours)


LOSSES = st.lists(st.floats(0, 10) | st.just(float("inf")), min_size=2, max_size=40)
NEWEST, HOURS = st.integers(1, 5), st.sampled_from([0.0, 0.1, 0.25, 1.0, 3.0])


def test_the_newest_and_the_best_stay() -> None:
    assert stay([9, 5, 1, 4, 3, 2], 2, 0) == {1000, 2000, 2500}


def test_one_of_each_hour_stays_the_last() -> None:
    # Every 0.5 h; hours end after 500, 1500, 2500.
    found = which_stay(saved([9, 8, 7, 6, 5, 4, 3], 0.5), newest=1, every_hours=1.0)
    assert found == {500, 1500, 2500, 3000}


def test_what_has_learnt_nothing_stays_until_there_is_another() -> None:
    assert stay([0.0], 2, 1.0) == {0}
    assert stay([0.0, 7.0], 2, 1.0) == {500}


@given(LOSSES, NEWEST, HOURS)
def test_asked_after_each_save_it_keeps_the_same_as_asked_at_the_end(
    losses: list[float], newest: int, hours: float
) -> None:
    there: list[Saved] = []
    for one in saved(losses):
        there.append(one)
        left = which_stay(there, newest=newest, every_hours=hours)
        there = [one for one in there if one.iteration in left]
    assert {one.iteration for one in there} == stay(losses, newest, hours)


@given(LOSSES, NEWEST, HOURS)
def test_newest_and_best_are_always_among_them(
    losses: list[float], newest: int, hours: float
) -> None:
    trained = saved(losses)[1:]
    found = stay(losses, newest, hours)
    assert {one.iteration for one in trained[-newest:]} <= found
    assert min(one.loss for one in trained) in {
        one.loss for one in trained if one.iteration in found
    }
    if not hours:
        assert len(found) <= newest + 1
