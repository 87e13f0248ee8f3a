from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceswap_cli.faces.linking import link
from faceswap_cli.faces.sighting import Sighting
from tests.made_sightings import merged, seen, walk

GAP = 25


def tracks_of(
    sightings: Sequence[Sighting], whose: Sequence[int], *, cuts: Sequence[int] = ()
) -> dict[int, list[int]]:
    """Return the tracks of each walk, in order; a track of two walks fails."""
    owner: dict[int, int] = {}
    found: dict[int, list[int]] = defaultdict(list)
    for track, one in zip(link(sightings, cuts=cuts, max_gap=GAP), whose, strict=True):
        assert owner.setdefault(track, one) == one, f"track {track} is of two"
        if track not in found[one]:
            found[one].append(track)
    return found


def counts(*args: tuple[list[Sighting], list[int]], cuts: Sequence[int] = ()) -> list[int]:
    [(sightings, whose)] = args
    found = tracks_of(sightings, whose, cuts=cuts)
    return [len(found[one]) for one in sorted(found)]


def test_nobody_has_no_tracks() -> None:
    assert link([], cuts=[3], max_gap=GAP) == []


@settings(max_examples=50)
@given(
    places=st.lists(
        st.tuples(st.integers(0, 30), st.floats(0, 400), st.floats(0, 400), st.integers(0, 2)),
        max_size=40,
    ),
    cuts=st.sets(st.integers(0, 30)),
)
def test_laws_of_any_sightings(places: list[tuple[int, float, float, int]], cuts: set[int]) -> None:
    sightings = [seen(frame, (x, y), who=who) for frame, x, y, who in sorted(places)]
    tracks = link(sightings, cuts=cuts, max_gap=5)
    members: dict[int, list[int]] = defaultdict(list)
    for track, sighting in zip(tracks, sightings, strict=True):
        members[track].append(sighting.frame)
    assert list(members) == list(range(len(members)))  # numbered by first appearance
    for frames in members.values():
        assert all(earlier < later for earlier, later in pairwise(frames))
        assert all(later - earlier - 1 <= 5 for earlier, later in pairwise(frames))
        assert not any(frames[0] < cut <= frames[-1] for cut in cuts)


def test_one_moving_face_is_one_track() -> None:
    found = merged(walk(0, lambda f: (100 + 30.0 * f, 200 - 10.0 * f), range(40)))
    assert counts(found) == [1]


@pytest.mark.parametrize("speed", [4.0, 9.0, 25.0])
@pytest.mark.parametrize("looks", [(0, 1), (None, None)])
def test_two_who_cross_stay_themselves(speed: float, looks: tuple[int | None, int | None]) -> None:
    left = walk(looks[0], lambda f: (50 + speed * f, 100), range(60))
    right = walk(looks[1], lambda f: (50 + speed * (60.5 - f), 100), range(60))
    assert counts(merged(left, right)) == [1, 1]


@pytest.mark.parametrize("looks", [(0, 1), (None, None)])
def test_who_is_hidden_while_crossing_comes_out_as_the_same(
    looks: tuple[int | None, int | None],
) -> None:
    front = walk(looks[0], lambda f: (50 + 4.0 * f, 100), range(75))
    rear = walk(looks[1], lambda f: (350 - 4.0 * f, 105), [*range(31), *range(45, 75)])
    assert counts(merged(front, rear)) == [1, 1]


def test_who_turns_back_while_hidden_is_known_by_looks() -> None:
    front = walk(0, lambda f: (50 + 4.0 * min(f, 74 - f), 100), range(75))
    rear = walk(1, lambda f: (350 - 4.0 * min(f, 74 - f), 105), [*range(29), *range(45, 75)])
    assert counts(merged(front, rear)) == [1, 1]


def test_a_face_hidden_for_20_frames_while_another_stays_is_the_same() -> None:
    stays = walk(0, lambda _: (100, 100), range(75))
    hidden = walk(1, lambda _: (230, 100), [*range(20), *range(40, 75)])
    assert counts(merged(stays, hidden)) == [1, 1]


def test_a_face_hidden_for_longer_begins_a_new_track() -> None:
    hidden = walk(1, lambda _: (230, 100), [*range(20), *range(20 + GAP + 1, 75)])
    assert counts(merged(hidden)) == [2]
    hidden = walk(1, lambda _: (230, 100), [*range(20), *range(20 + GAP, 75)])
    assert counts(merged(hidden)) == [1]


@pytest.mark.parametrize("num_frames", [1, 3])
def test_two_who_swap_places_at_once_are_known_by_looks(num_frames: int) -> None:
    way = np.clip((np.arange(60) - 29) / num_frames, 0, 1)
    one = walk(0, lambda f: (100 + 130 * float(way[f]), 100), range(60))
    other = walk(1, lambda f: (230 - 130 * float(way[f]), 100), range(60))
    assert counts(merged(one, other)) == [1, 1]


def test_two_very_near_each_other_are_two() -> None:
    one = walk(0, lambda _: (100, 100), range(50))
    other = walk(1, lambda f: (150 + (f % 3), 100), range(50))
    assert counts(merged(one, other)) == [1, 1]


def test_another_at_the_same_place_after_a_cut_is_another() -> None:
    one = walk(0, lambda _: (100, 100), [*range(20), *range(40, 60)])
    other = walk(0, lambda _: (100, 100), range(20, 40))  # the same look: only the cut tells
    assert counts(merged(one, other), cuts=[20, 40]) == [2, 1]


def test_a_cut_while_nobody_is_seen_ends_tracks_too() -> None:
    one = walk(0, lambda _: (100, 100), [*range(10), *range(15, 25)])
    assert counts(merged(one), cuts=[12]) == [2]
    assert counts(merged(one), cuts=[0]) == [1]  # nothing to end before the first frame


def test_one_who_leaves_as_another_enters_is_not_taken_for_them() -> None:
    leaves = walk(0, lambda f: (100, 100 + 0.1 * f), range(20))
    enters = walk(1, lambda f: (105, 100 + 0.1 * f), range(23, 50))
    assert counts(merged(leaves, enters)) == [1, 1]


@pytest.mark.parametrize(("unseen", "num_tracks"), [(0, 1), (15, 2)])
def test_who_looks_half_alike_is_the_same_only_without_a_gap(unseen: int, num_tracks: int) -> None:
    one, half = np.zeros((2, 16), np.float32)
    one[0], half[:2] = 1.0, (0.5, 0.75**0.5)
    before = [replace(s, appearance=one) for s in walk(0, lambda _: (100, 100), range(20))]
    frames = range(20 + unseen, 40 + unseen)
    after = [replace(s, appearance=half) for s in walk(0, lambda _: (100, 100), frames)]
    assert len(set(link([*before, *after], cuts=[], max_gap=GAP))) == num_tracks


def test_a_false_detection_that_flickers_has_tracks_of_its_own() -> None:
    face = walk(0, lambda f: (200 + 2.0 * f, 100), range(60))
    false = [seen(f, (320.0, 190.0), who=100 + f, side_px=40.0) for f in range(3, 60, 7)]
    found = tracks_of(*merged(face, false))
    assert len(found[0]) == 1


def test_a_false_detection_does_not_take_over_while_the_face_is_missed() -> None:
    face = walk(0, lambda _: (200, 100), [f for f in range(60) if f % 10])
    false = [seen(f, (250.0, 150.0), who=100 + f, side_px=55.0) for f in range(0, 60, 10)]
    assert len(tracks_of(*merged(face, false))[0]) == 1


def test_a_face_of_another_size_is_another() -> None:
    near = [seen(f, (100, 100), who=None, side_px=160.0) for f in range(10)]
    far = [seen(f, (100, 100), who=None, side_px=30.0) for f in range(10, 20)]
    assert counts(merged(near, far)) == [1, 1]


def test_faces_that_are_described_now_and_then_are_followed() -> None:
    one = walk(0, lambda f: (50 + 4.0 * f, 100), range(60))
    bare = [s if s.frame % 5 == 0 else replace(s, appearance=np.zeros(0, np.float32)) for s in one]
    assert counts(merged(bare)) == [1]


def test_landmarks_that_are_not_finite_are_tracks_of_their_own() -> None:
    bad = replace(seen(1, (100, 100)), points68=np.full((68, 2), np.nan))
    tracks = link([seen(0, (100, 100)), bad, seen(2, (100, 100))], cuts=[], max_gap=GAP)
    assert tracks == [0, 1, 0]


def test_of_two_as_near_the_one_of_the_same_shape_goes_on() -> None:
    first = seen(0, (100, 100), who=None)
    narrow, same = seen(1, (90, 100), who=None), seen(1, (110, 100), who=None)
    squeezed = (narrow.points68 - [90, 100]) * [0.6, 1.0] + [90, 100]
    narrow = replace(narrow, points68=squeezed)
    assert link([first, narrow, same], cuts=[], max_gap=GAP) == [0, 1, 0]
    assert link([first, same, narrow], cuts=[], max_gap=GAP) == [0, 0, 1]


def test_a_crowd_is_settled_at_once() -> None:
    places = [(60.0 * x, 60.0 * y) for x in range(30) for y in range(20)]
    crowd = [seen(f, at, who=None, side_px=40.0) for f in range(2) for at in places]
    assert link(crowd, cuts=[], max_gap=GAP) == [*range(600), *range(600)]
