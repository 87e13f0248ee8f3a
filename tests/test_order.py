from collections import Counter

import numpy as np
import torch

from faceswap_cli.training.order import Order, all_alike, by_yaw


def faces_of(order: Order, iterations: range, batch: int) -> list[int]:
    return torch.cat([order.at(iteration, batch) for iteration in iterations]).tolist()


def test_every_face_comes_once_before_any_comes_again() -> None:
    order = Order(all_alike(7), seed=0, stream=2)
    seen = faces_of(order, range(7), 3)
    assert sorted(seen[:7]) == sorted(seen[7:14]) == sorted(seen[14:21]) == list(range(7))
    assert seen[:7] != seen[7:14]


def test_order_depends_on_seed_and_stream_and_place_alone() -> None:
    one, two = (Order(all_alike(50), seed=3, stream=2) for _ in range(2))
    two.at(90, 4)
    assert torch.equal(one.at(5, 4), two.at(5, 4))
    for other in (Order(all_alike(50), seed=4, stream=2), Order(all_alike(50), seed=3, stream=3)):
        assert not torch.equal(one.at(5, 16), other.at(5, 16))


def test_one_batch_may_hold_more_faces_than_there_are() -> None:
    assert sorted(Order(all_alike(3), seed=0, stream=2).at(0, 6).tolist()) == [0, 0, 1, 1, 2, 2]


def test_uniform_yaw_shows_poses_equally_often() -> None:
    yaws = [0.0] * 90 + [30.0] * 9 + [-60.0]
    order = Order(by_yaw(yaws), seed=0, stream=2)
    seen = Counter(yaws[face] for face in faces_of(order, range(75), 4))
    assert set(seen.values()) == {100}
    # And within a bin every face comes before any comes again.
    order = Order(by_yaw(yaws), seed=0, stream=2)
    faces = [face for face in faces_of(order, range(270), 1) if yaws[face] == 0.0]
    assert sorted(faces) == list(range(90))


def test_bins_hold_every_face_once_whatever_its_yaw() -> None:
    yaws = np.random.default_rng(0).uniform(-120, 120, 500).tolist()
    bins = by_yaw(yaws)
    assert sorted(face for faces in bins for face in faces) == list(range(500))
    assert len(bins) <= 128
    centre = next(faces for faces in bins if 0 in faces)
    assert max(yaws[f] for f in centre) - min(yaws[f] for f in centre) < 2 or abs(yaws[0]) > 68
