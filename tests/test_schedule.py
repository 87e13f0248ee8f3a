import pytest

from faceswap_cli.config import TrainConfig
from faceswap_cli.training.schedule import learning_rate

PLAIN = TrainConfig(iterations=1100, warmup=100, learning_rate=1e-3, final_rate=0.1)


def rates(**changes: object) -> list[float]:
    config = PLAIN.model_copy(update=changes)
    return [learning_rate(config, iteration) for iteration in range(config.iterations)]


@pytest.mark.parametrize("schedule", ["cosine", "constant", "cycles"])
def test_every_schedule_warms_up_to_the_peak(schedule: str) -> None:
    found = rates(schedule=schedule)
    assert found[0] == pytest.approx(1e-5)
    assert found[49] == pytest.approx(5e-4)
    assert found[100] == max(found) == pytest.approx(1e-3)


def test_cosine_ends_at_the_final_share_and_stays_there() -> None:
    found = rates(schedule="cosine")
    assert found[100:] == sorted(found[100:], reverse=True)
    assert found[600] == pytest.approx(0.55e-3)
    assert learning_rate(PLAIN, 5000) == pytest.approx(1e-4)


def test_constant_stays() -> None:
    assert set(rates(schedule="constant")[100:]) == {1e-3}


def test_cycles_go_down_to_nothing_and_up_again_as_deepfacelabs() -> None:
    found = rates(schedule="cycles", cycle=500, warmup=0)
    assert [found[i] for i in (0, 125, 250, 375, 500)] == pytest.approx(
        [1e-3, 0.5e-3, 0.0, 0.5e-3, 1e-3]
    )
    assert sum(found[:1000]) / 1000 == pytest.approx(0.5e-3)  # the mean of (cos + 1) / 2


def test_a_training_that_went_back_takes_a_share_of_all_rates() -> None:
    for schedule in ("cosine", "constant", "cycles"):
        config = PLAIN.model_copy(update={"schedule": schedule})
        for iteration in (0, 50, 400):
            whole = learning_rate(config, iteration)
            assert learning_rate(config, iteration, scale=0.25) == pytest.approx(0.25 * whole)
