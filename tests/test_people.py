from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.people import find_like, group, summarise
from faceswap_cli.faces.sheets import TILE_PX, choose_spread, contact_sheet
from faceswap_cli.faces.sighting import Sighting
from tests.made_faces import smooth_picture
from tests.made_sightings import look, seen

ALIKE = 0.7
FRAME_WH = (640, 480)


def spell(who: int | None, frames: range, *, score: float = 0.9) -> list[Sighting]:
    return [seen(frame, (200, 200), who=who, score=score) for frame in frames]


def told(*spells: list[Sighting]) -> tuple[list[int], list[Sighting]]:
    """Return each spell as a track."""
    tracks = [number for number, one in enumerate(spells) for _ in one]
    return tracks, [sighting for one in spells for sighting in one]


def test_somebody_who_comes_back_is_one_person() -> None:
    tracks, sightings = told(spell(0, range(20)), spell(1, range(20, 35)), spell(0, range(35, 60)))
    assert group(tracks, sightings, alike=ALIKE) == {0: 0, 1: 1, 2: 0}


def test_person_0_has_most_faces_whatever_the_order() -> None:
    tracks, sightings = told(spell(0, range(5)), spell(1, range(5, 40)), spell(2, range(40, 50)))
    assert group(tracks, sightings, alike=ALIKE) == {0: 2, 1: 0, 2: 1}


def test_two_in_the_same_frame_are_two_even_if_they_look_the_same() -> None:
    tracks, sightings = told(spell(0, range(20)), spell(0, range(19, 30)))
    assert len(set(group(tracks, sightings, alike=ALIKE).values())) == 2


def test_a_mirror_image_does_not_keep_the_rest_apart() -> None:
    # Tracks 0 and 2 are the face, 1 its image in a mirror, seen beside 0 only.
    tracks, sightings = told(spell(0, range(30)), spell(0, range(5)), spell(0, range(40, 70)))
    people = group(tracks, sightings, alike=ALIKE)
    assert people[0] == people[2] == 0
    assert people[1] == 1


def test_strays_come_last_each_by_itself() -> None:
    tracks, sightings = told(
        spell(50, range(1), score=0.52),
        spell(51, range(3, 5), score=0.55),
        spell(0, range(10, 30)),
        spell(1, range(30, 31), score=0.95),
    )
    assert group(tracks, sightings, alike=ALIKE) == {2: 0, 3: 1, 1: 2, 0: 3}


def test_nobody_joins_a_stray() -> None:
    tracks, sightings = told(spell(50, range(1), score=0.5), spell(50, range(3, 4), score=0.5))
    assert group(tracks, sightings, alike=ALIKE) == {0: 0, 1: 1}


def test_a_short_doubtful_track_joins_whom_it_looks_like() -> None:
    tracks, sightings = told(spell(0, range(10, 30)), spell(0, range(40, 42), score=0.5))
    assert group(tracks, sightings, alike=ALIKE) == {0: 0, 1: 0}


def test_without_appearances_each_track_is_somebody() -> None:
    tracks, sightings = told(spell(None, range(9)), spell(None, range(9, 20)))
    assert group(tracks, sightings, alike=ALIKE) == {0: 1, 1: 0}
    assert group([], [], alike=ALIKE) == {}


@settings(max_examples=40)
@given(
    spells=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(1, 12)), max_size=12
    )
)
def test_laws_of_any_tracks(spells: list[tuple[int, int, int]]) -> None:
    tracks, sightings = told(*(spell(who, range(at, at + n)) for who, at, n in spells))
    people = group(tracks, sightings, alike=ALIKE)
    assert sorted(set(people.values())) == list(range(len(set(people.values()))))
    places = [(people[track], s.frame) for track, s in zip(tracks, sightings, strict=True)]
    assert len(places) == len(set(places))  # nobody is twice in a frame
    faces = np.bincount([number for number, _ in places]).tolist() if places else []
    assert all(a >= b for a, b in pairwise(faces))


def test_the_list_of_people_says_who_is_where() -> None:
    tracks, sightings = told(spell(0, range(20)), spell(1, range(20, 35)), spell(0, range(35, 60)))
    first, second = summarise(group(tracks, sightings, alike=ALIKE), tracks, sightings)
    assert (first.number, first.tracks, first.num_faces) == (0, (0, 2), 45)
    assert (first.first_frame, first.last_frame) == (0, 59)
    assert (second.number, second.tracks, second.num_faces) == (1, (1,), 15)
    assert (second.first_frame, second.last_frame) == (20, 34)
    assert first.mean_score == pytest.approx(0.9)
    assert first.mean_side_px == pytest.approx(100.0)
    assert float(first.appearance @ look(0)) > 0.95
    low, high = first.yaw_range_deg
    assert -10 < low <= high < 10  # the mean face looks ahead


def test_the_range_of_yaw_leaves_out_the_odd_wrong_one() -> None:
    sightings = spell(0, range(300))
    turned = sightings[7].points68.copy()
    turned[30] += [25.0, 0.0]
    wrong = [replace(s, points68=turned) if s.frame == 7 else s for s in sightings]
    people = [summarise({0: 0}, [0] * 300, some)[0] for some in (sightings, wrong)]
    assert people[0].yaw_range_deg == people[1].yaw_range_deg


def test_who_looks_like_a_face_is_found_by_it() -> None:
    tracks, sightings = told(spell(0, range(20)), spell(1, range(20, 35)))
    people = summarise({0: 0, 1: 1}, tracks, sightings)
    for who in (0, 1):
        wanted = look(who, noise=0.3, frame=99)
        assert find_like(wanted, people, alike=ALIKE, picture="a.jpg") == who


def test_nobody_alike_is_an_error_that_names_the_likeness_of_each() -> None:
    tracks, sightings = told(spell(0, range(20)), spell(1, range(20, 35)))
    people = summarise({0: 0, 1: 1}, tracks, sightings)
    stranger = look(7)
    with pytest.raises(WorkspaceError) as caught:
        find_like(stranger, people, alike=ALIKE, picture="friend.jpg")
    message = str(caught.value)
    for person in people:
        assert f"person {person.number} {float(person.appearance @ stranger):.2f}" in message
    assert "seen in: friend.jpg" in message
    assert "fix: choose by number" in message


@pytest.mark.parametrize("appearance", [np.zeros(0, np.float32), np.ones(3, np.float32)])
def test_a_face_that_cannot_be_compared_is_an_error(appearance: NDArray[np.float32]) -> None:
    tracks, sightings = told(spell(0, range(20)))
    people = summarise({0: 0}, tracks, sightings)
    with pytest.raises(WorkspaceError, match="nobody to compare it with"):
        find_like(appearance, people, alike=ALIKE, picture="a.jpg")


def test_faces_shown_are_spread_over_time_and_yaw() -> None:
    yaw_deg = [0.0] * 100
    yaw_deg[40], yaw_deg[41] = -60.0, 60.0
    chosen = choose_spread(range(100), yaw_deg, number=6)
    assert len(chosen) == len(set(chosen)) == 6
    assert chosen == sorted(chosen)
    assert {0, 40, 41, 99} <= set(chosen)


@given(number=st.integers(0, 30), frames=st.lists(st.integers(0, 9), max_size=20))
def test_no_face_is_shown_twice(number: int, frames: list[int]) -> None:
    chosen = choose_spread(frames, [0.0] * len(frames), number=number)
    assert len(chosen) == len(set(chosen)) == min(number, len(frames))


@pytest.mark.parametrize("number", [0, 1, 8, 9, 24])
def test_each_tile_is_on_the_sheet(number: int) -> None:
    tiles = [np.full((50 + 10 * i, 50 + 10 * i, 3), 10 * i, np.uint8) for i in range(number)]
    sheet = contact_sheet(tiles, [f"frame {i}" for i in range(number)], heading="person 0")
    assert sheet.dtype == np.uint8
    for tile in tiles:
        same = (sheet == tile[0, 0]).all(axis=-1)
        assert same.sum() >= TILE_PX**2


def test_heading_and_captions_are_written_and_leave_the_tiles_alone() -> None:
    tile = smooth_picture(1, (TILE_PX, TILE_PX))
    bare = contact_sheet([tile], [""], heading="")
    written = contact_sheet([tile], ["000123  yaw +20, and far too long to fit"], heading="N" * 300)
    assert written.shape == bare.shape
    changed = np.argwhere((written != bare).any(axis=-1))
    assert changed[:, 0].min() < 34 < TILE_PX + 34 < changed[:, 0].max()
    tile_at = written[34 : 34 + TILE_PX, 6 : 6 + TILE_PX]
    np.testing.assert_array_equal(tile_at, tile)


def test_a_caption_for_each_tile() -> None:
    with pytest.raises(ValueError, match="shorter"):
        contact_sheet([np.zeros((9, 9, 3), np.uint8)], [], heading="")
