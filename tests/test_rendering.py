"""Which faces, which looks, which frames: what decides about a merged frame."""

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from faceswap_cli.config import LookConfig, MergeConfig
from faceswap_cli.errors import ConfigError, WorkspaceError
from faceswap_cli.faces.faceset import Faceset
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.media.reader import Frame
from faceswap_cli.media.span import FrameRanges
from faceswap_cli.merging.cut import cut_face
from faceswap_cli.merging.look import Drawn, Look
from faceswap_cli.merging.shown import FaceMasks
from faceswap_cli.merging.steady import REACH
from faceswap_cli.rendering.flow import Ready
from faceswap_cli.rendering.ledger import UNFINISHED, count_merged, is_complete, segment_name
from faceswap_cli.rendering.looks import Looks, asked_masks
from faceswap_cli.rendering.on_gpu import painted
from faceswap_cli.rendering.overrides import with_overrides
from faceswap_cli.rendering.people import Chosen, choose, people
from faceswap_cli.rendering.plan import Plan
from faceswap_cli.rendering.setting import part_of
from tests.made_faces import made_record, smooth_picture

NOBODY = FrameRanges()


def section(**settings: Any) -> MergeConfig:
    return MergeConfig.model_validate(settings)


def record(index: int, *, person: int | None = None, **changes: Any) -> FaceRecord:
    made = made_record(index, time_s=Fraction(index, 25), **changes)
    return made.model_copy(update={"person": person})


def plan_of(chosen: dict[int, list[FaceRecord]], look: MergeConfig, model: str = "m1") -> Plan:
    faces = {i: [Chosen(found, "model") for found in records] for i, records in chosen.items()}
    return Plan(faces, Looks(look), FaceMasks(Faceset()), {"model": model})


def test_every_setting_of_a_look_is_a_setting_of_merge_with_the_same_name() -> None:
    assert set(Look.__dataclass_fields__) == set(LookConfig.model_fields)


def test_a_shot_changes_its_frames_and_no_others() -> None:
    shots = [{"range": "3-5,8", "color": "mkl"}, {"range": "5", "skip": True}]
    looks = Looks(section(colour="lct", shot=shots))
    colours = {i: look and look.colour for i in range(10) for look in [looks.at(i)]}
    assert colours == {i: "lct" for i in range(10)} | {3: "mkl", 4: "mkl", 5: None, 8: "mkl"}


def test_later_shots_win() -> None:
    looks = Looks(section(shot=[{"range": "1-9", "erode": 5}, {"range": "4", "erode": 7}]))
    found = [look.erode for i in (1, 4) if (look := looks.at(i))]
    assert found == [5, 7]


def test_a_shot_with_an_unknown_or_wild_setting_names_frames_and_setting() -> None:
    with pytest.raises(ValueError, match=r"frames 1-2: erod: Extra"):
        section(shot=[{"range": "1-2", "erod": 3}])
    with pytest.raises(ValueError, match=r"frames 1-2: erode: Input should be less"):
        section(shot=[{"range": "1-2", "erode": 300}])


def test_a_number_in_quotes_is_a_number_in_a_shot_too() -> None:
    look = Looks(section(shot=[{"range": "1", "erode": "5", "color": "mkl"}])).at(1)
    assert look is not None
    assert (look.erode, look.colour) == (5.0, "mkl")
    assert look == Looks(section(erode=5, colour="mkl")).at(1)


def test_light_of_hdr_is_not_undone() -> None:
    sdr, hdr = (Looks(section(light="linear"), transfer=code).at(0) for code in (1, 16))
    assert sdr and hdr
    assert (sdr.light, hdr.light) == ("linear", "signal")


def test_masks_of_all_shots_are_asked_for() -> None:
    looks = Looks(section(mask="hull", shot=[{"range": "1", "mask": "seg_dst * learned_dst"}]))
    assert asked_masks(looks.all()) == [{"hull"}, {"seg_dst", "learned_dst"}]


def test_skipped_person_is_left_and_the_largest_of_the_others_is_taken() -> None:
    both = [record(0, person=0, size_px=40), record(0, person=1, size_px=20)]
    found = choose(both, section(person=["0=skip"]), excluded=NOBODY, other_clips=set())
    assert [(c.record.person, c.model) for c in found[0]] == [(1, "model")]


def test_where_persons_have_models_nobody_else_is_replaced() -> None:
    records = [record(i, person=p) for i in range(2) for p in range(3)]
    told = section(person=["1=model", "2=model_anna"])
    found = choose(records, told, excluded=FrameRanges.parse("1"), other_clips=set())
    assert {i: [(c.record.person, c.model) for c in f] for i, f in found.items()} == {
        0: [(1, "model"), (2, "model_anna")]
    }


def test_a_person_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(WorkspaceError, match=r"person 7; there are person 0 \(1 frames\)"):
        told = section(person=["7=model"])
        choose([record(0, person=0)], told, excluded=NOBODY, other_clips=set())


def test_one_person_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="person 1 is given twice"):
        people(section(person=["1=skip", "01=model"]))
    with pytest.raises(ValueError, match=r"person 'anna': give N=skip or N=FOLDER"):
        section(person=["anna"])


def test_a_frame_depends_on_its_neighbours_in_the_track_and_on_no_others() -> None:
    chosen = {i: [record(i, track=i // 20)] for i in range(40)}
    plan = plan_of(chosen, section())
    keys = [plan.key(i) for i in range(45)]
    moved = dict(chosen)
    moved[10] = [record(10, track=0, centre_xy=(41, 37))]
    changed = [i for i in range(45) if plan_of(moved, section()).key(i) != keys[i]]
    # A moved face also changes how fast its neighbours seem to move, one frame further.
    assert changed == list(range(10 - REACH - 1, min(20, 10 + REACH + 2)))
    assert keys[40] == keys[44] == "untouched"


def test_without_smoothing_a_frame_stands_alone() -> None:
    chosen = {i: [record(i)] for i in range(20)}
    plan = plan_of(chosen, section(steady=0))
    assert plan.needed([7]) == {7}
    assert plan_of(chosen, section()).needed([7]) == set(range(7 - REACH, 7 + REACH + 1))


def test_smoothing_does_not_cross_into_a_shot_with_another_look() -> None:
    chosen = {i: [record(i)] for i in range(20)}
    plan = plan_of(chosen, section(shot=[{"range": "8-20", "colour": "mkl"}]))
    assert max(plan.needed([7])) == 7
    assert min(plan.needed([8])) == 8


def test_keys_change_with_model_and_look_but_not_those_of_untouched_frames() -> None:
    chosen = {1: [record(1)]}
    plain = plan_of(chosen, section())
    for other in (plan_of(chosen, section(), "m2"), plan_of(chosen, section(erode=2))):
        assert other.key(1) != plain.key(1)
        assert other.key(0) == plain.key(0)
    turned = record(1).model_copy(update={"pose_deg": (0.0, 60.0, 0.0)})  # it fades a profile
    assert plan_of({1: [turned]}, section()).key(1) != plain.key(1)
    again = plan_of(chosen, section(mask="hull * learned"))
    assert again.key(1) == plain.key(1)  # the same mask in other words


def test_motion_is_that_of_the_face_between_its_neighbours() -> None:
    chosen = {i: [record(i, centre_xy=(40 + 2 * i, 36 - i))] for i in (0, 1, 2, 9)}
    plan = plan_of(chosen, section())
    motion = {i: faces[0].motion_px for i, faces in plan.faces.items()}
    np.testing.assert_allclose(motion[1], (2, -1), atol=0.3)
    assert motion[9] == (0.0, 0.0)


def test_settings_of_one_line_are_checked_like_any_others() -> None:
    changed = with_overrides(section(erode=3), "color=mkl face-scale=5")
    assert (changed.colour, changed.face_scale, changed.erode) == ("mkl", 5, 3)
    for text, message in (
        ("colour", "'colour' is no KEY=VALUE"),
        ("erod=3", r"erod: there is no such setting \(did you mean erode\?\)"),
        ("erode=lots", "erode: Input should be a valid number"),
        ("erode=99", "less than or equal to 50, got '99'"),
        ("mask=hull*lerned", "lerned"),
    ):
        with pytest.raises(ConfigError, match=message):
            with_overrides(section(), text)


def test_painting_many_frames_at_once_gives_what_one_by_one_does() -> None:
    crop = made_record(0).crop
    face = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
    drawn = Drawn(face, made_record(0).landmarks, crop, face_px=30.0)
    looks = [Look(mask="hull", feather=6.0), None, Look(mask="hull", mode="hist")]
    looks = [looks[i] for i in (0, 0, 1, 0, 2, 0)]
    frames = [Frame(i, Fraction(i), Fraction(1), smooth_picture(i, (96, 72))) for i in range(6)]
    ready = [Ready(frame, look, lambda: [drawn]) for frame, look in zip(frames, looks, strict=True)]
    found = list(painted(ready, torch.device("cpu"), at_once=2))
    assert [item.frame.index for item in found] == list(range(6))
    assert [item.pasted is not None for item in found] == [True, True, False, True, False, True]
    for item, alone in zip(found, ready, strict=True):
        image, expected = item.paste().image.astype(int), alone.paste().image
        assert np.abs(image - expected).max() <= 2


@pytest.mark.parametrize("size_px", [30, 60, 150])
@pytest.mark.parametrize(("face_type", "side"), [("half", 64), ("whole_face", 96)])
def test_a_face_cut_out_of_a_part_is_that_of_the_frame(
    size_px: int, face_type: str, side: int
) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    plan = plan_of({0: [record(0, centre_xy=(200, 190), size_px=size_px)]}, section())
    studio = SimpleNamespace(artists={"model": SimpleNamespace(face_type=face_type, size_px=side)})
    info = SimpleNamespace(size_wh=(400, 400))
    setting: Any = SimpleNamespace(plan=plan, studio=studio, source=SimpleNamespace(info=info))
    box = part_of(setting, 0)
    assert box is not None
    left, top, right, bottom = box
    points = plan.faces[0][0].landmarks
    how: Any = {"face_type": face_type, "size_px": side}
    whole = cut_face(frame, points, **how)
    part = cut_face(frame[top:bottom, left:right], points - (left, top), **how)
    assert np.abs(part.image.astype(int) - whole.image).max() <= 1


def test_a_face_that_lies_nowhere_asks_for_no_part_of_its_frame() -> None:
    nowhere = record(0, size_px=20).model_copy(update={"landmarks_frame": ((5.0, 5.0),) * 68})
    plan = plan_of({0: [nowhere, record(0, centre_xy=(200, 150), size_px=60)]}, section())
    studio = SimpleNamespace(artists={"model": SimpleNamespace(face_type="half", size_px=64)})
    info = SimpleNamespace(size_wh=(400, 300))
    setting: Any = SimpleNamespace(plan=plan, studio=studio, source=SimpleNamespace(info=info))
    box = part_of(setting, 0)
    assert box is not None
    assert box[0] > 100  # it is that of the other face alone


def test_a_part_holds_all_that_a_shave_may_paint() -> None:
    plan = plan_of({0: [record(0, centre_xy=(200, 150), size_px=60)]}, section())
    shaven = plan_of({0: [record(0, centre_xy=(200, 150), size_px=60)]}, section(shave=40))
    artist = SimpleNamespace(face_type="half", size_px=64)
    boxes: list[tuple[int, int, int, int]] = []
    for one in (plan, shaven):
        info = SimpleNamespace(size_wh=(400, 300))
        studio = SimpleNamespace(artists={"model": artist})
        setting: Any = SimpleNamespace(plan=one, studio=studio, source=SimpleNamespace(info=info))
        box = part_of(setting, 0)
        assert box is not None
        boxes.append(box)
    jaw = record(0, centre_xy=(200, 150), size_px=60).landmarks[:17]
    (_, _, _, low), (left, _, right, lower) = boxes
    assert lower > low
    assert lower >= jaw[:, 1].max() + 0.4 * 60
    assert left <= jaw[:, 0].min() - 0.4 * 60 < jaw[:, 0].max() + 0.4 * 60 <= right


def test_segments_of_another_length_are_not_counted_twice() -> None:
    there = {segment_name(first): {"frames": 100} for first in range(0, 1000, 100)}
    earlier = {segment_name(first): {"frames": 250} for first in (250, 750)}
    items = earlier | there | UNFINISHED | {"000007": {"key": ""}, segment_name(1000): None}
    assert count_merged(items, stream=True) == 1000
    assert count_merged(items, stream=False) == 1
    assert not is_complete(items)
