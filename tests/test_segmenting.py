"""The mask network: what it is taught, how it learns, what it says."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from faceswap_cli.config import MaskConfig
from faceswap_cli.device import choose_device
from faceswap_cli.masks import FACE_OVAL, hull_mask, mesh_hull_mask
from faceswap_cli.segmenting.batches import MIRRORED_68, Batches
from faceswap_cli.segmenting.cutting import Canvas, canvas_side
from faceswap_cli.segmenting.eyes import CHANNELS, Eyes
from faceswap_cli.segmenting.guess import guess_labels
from faceswap_cli.segmenting.hands import draw_hand
from faceswap_cli.segmenting.inference import clean_mask, put_back, segment, segmenter_of
from faceswap_cli.segmenting.loss import believed, mask_loss
from faceswap_cli.segmenting.network import MaskNet
from faceswap_cli.segmenting.occluders import View, cover, put_on_glasses
from faceswap_cli.types import Points
from tests.made_faces import face_at, smooth_picture

RES = 64
SIDE = canvas_side(RES)
SKIN, HAIR, WALL = (205, 160, 140), (50, 35, 30), (60, 90, 120)


def made_canvas(
    seed: int = 0, *, drawn: bool = False, side: int = SIDE, arm: bool = False
) -> Canvas:
    """A face of skin before a wall, hair over a quarter of it; with an arm, skin comes in aside."""
    centre = (side - 1) / 2
    points = face_at((centre, centre), side * 0.34)
    hull = hull_mask(points, (side, side))
    image = np.zeros((side, side, 3), np.float32) + np.array(WALL)
    image[hull > 127] = SKIN
    rows, columns = np.mgrid[0:side, 0:side]
    hair = columns > centre + 0.1 * side
    image[hair] = HAIR
    for eye in (slice(36, 42), slice(42, 48)):
        x, y = points[eye].mean(axis=0)
        image[np.hypot(columns - x, rows - y) < 0.025 * side] = HAIR
    if arm:
        image[int(0.45 * side) : int(0.7 * side), : int(0.42 * side)] = SKIN
    image += smooth_picture(seed, (side, side)).astype(np.float32) / 12 - 10
    return Canvas(
        image=np.clip(image, 0, 255).astype(np.uint8),
        label=np.where(hair, 0, hull).astype(np.uint8) if drawn else hull,
        drawn=drawn,
        hull=hull,
        known=None,
        landmarks=points,
    )


def made_mesh(points: Points) -> Points:
    """468 points of which only the outline and the places of chin and hairline mean anything."""
    mesh = np.tile(points.mean(axis=0), (468, 1))
    angles = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    rim = np.stack([np.sin(angles), -np.cos(angles)], axis=1)
    mesh[list(FACE_OVAL)] = points.mean(axis=0) + rim * np.ptp(points, axis=0) * [0.52, 0.62]
    return np.asarray(mesh, np.float64)


@cache
def eyes() -> Eyes:
    return Eyes(torch.device("cpu"))


def net(width: int = 4) -> MaskNet:
    torch.manual_seed(0)
    return MaskNet(width)


def batches(faces: list[Canvas], **changed: object) -> Batches:
    settings: dict[str, object] = {
        "resolution": RES,
        "batch": 4,
        "occluders": 0.6,
        "seed": 0,
    }
    return Batches(faces, **(settings | changed))  # type: ignore[arg-type]


def test_the_mesh_adds_a_forehead_and_takes_nothing_away() -> None:
    points = face_at((80, 90), 60)
    mesh = made_mesh(points)
    hull = hull_mask(points, (160, 160))
    flat, risen = (mesh_hull_mask(mesh, points, (160, 160), rise=r) for r in (0.0, 0.15))
    assert (flat >= hull).all()
    assert flat[:, :].sum() > 1.1 * hull.sum()
    top = [int(np.argmax(mask.max(axis=1) > 127)) for mask in (hull, flat, risen)]
    assert top[2] < top[1] < top[0]
    height = mesh[152, 1] - mesh[10, 1]
    assert top[1] - top[2] == pytest.approx(0.15 * height, abs=1.5)
    low = int(mesh[:, 1].mean())
    assert (flat[low:] == risen[low:]).all()


def test_a_mirrored_face_has_its_landmarks_at_the_mirrored_places() -> None:
    assert sorted(MIRRORED_68) == list(range(68))
    assert [MIRRORED_68[MIRRORED_68[i]] for i in range(68)] == list(range(68))
    points = face_at((50, 50), 40)
    mirrored = points[list(MIRRORED_68)] * [-1, 1] + [100, 0]
    assert np.abs(mirrored - points)[[36, 45, 48, 54, 8, 0, 16]].max() < 4.0


def test_a_batch_depends_on_seed_and_iteration_alone() -> None:
    faces = [made_canvas(i) for i in range(3)]
    one, again, later = (batches(faces)(i) for i in (7, 7, 8))
    other = batches(faces, seed=1)(7)
    for name in ("image", "label", "weight", "hull_only"):
        assert torch.equal(getattr(one, name), getattr(again, name))
    assert not torch.equal(one.image, later.image)
    assert not torch.equal(one.image, other.image)
    ahead = list(batches(faces).ahead(7, 9))
    assert torch.equal(ahead[0].image, one.image)
    assert torch.equal(ahead[1].image, later.image)


def test_a_batch_holds_pictures_labels_and_weights_within_their_ranges() -> None:
    batch = batches([made_canvas(0), made_canvas(1, drawn=True)], occluders=1.0)(0)
    assert batch.image.shape == (4, 3, RES, RES)
    for maps in (batch.label, batch.weight, batch.hull_only):
        assert maps.shape == (4, 1, RES, RES)
        assert maps.dtype == torch.float32
        assert 0.0 <= float(maps.min()) <= float(maps.max()) <= 1.0
    assert 0.0 <= float(batch.image.min()) < float(batch.image.max()) <= 1.0


def test_things_that_are_put_over_a_face_leave_less_of_it() -> None:
    face = [made_canvas(0, drawn=True)]
    bare, covered = (
        torch.cat([batches(face, occluders=share)(i).label for i in range(6)]).sum()
        for share in (0.0, 1.0)
    )
    assert float(covered) < 0.9 * float(bare)


def test_drawn_labels_count_everywhere_and_come_more_often() -> None:
    faces = [made_canvas(0, drawn=True), *(replace(made_canvas(i), trust=1.0) for i in range(1, 9))]
    found = [batches(faces, occluders=0.0)(i) for i in range(12)]
    hull_only = torch.cat([b.hull_only for b in found]).flatten(1).amax(1)
    assert 0.55 < float((hull_only == 0).float().mean()) < 0.95
    drawn = torch.cat([b.weight for b in found])[hull_only == 0]
    assert float(drawn.min()) == 1.0


def test_beyond_the_border_of_a_picture_nothing_is_learnt() -> None:
    known = np.full((SIDE, SIDE), 255, np.uint8)
    known[: SIDE // 2] = 0
    face = replace(made_canvas(0, drawn=True), known=known)
    weight = batches([face], occluders=1.0)(0).weight
    assert 0.2 < float((weight == 0).float().mean()) < 0.8


def test_every_thing_covers_and_stays_within_its_own_bounds() -> None:
    own, others = made_canvas(0), [made_canvas(1), made_canvas(2)]
    covered = []
    for seed in range(40):
        view = View(own.image.astype(np.float32), np.zeros((SIDE, SIDE), np.float32), own.landmarks)
        before = view.image.copy()
        cover(view, own, others, np.random.default_rng(seed))
        assert np.isfinite(view.image).all()
        assert 0.0 <= view.covered.min() <= view.covered.max() <= 1.0
        solid = view.covered > 0.99
        covered.append(float(view.covered.mean()))
        if solid.mean() > 0.02:
            assert np.abs(view.image - before)[solid].mean() > 1.0
    assert sum(share > 0.01 for share in covered) > 30


def test_glasses_change_the_picture_and_cover_nothing() -> None:
    own = made_canvas(0)
    view = View(own.image.astype(np.float32), np.zeros((SIDE, SIDE), np.float32), own.landmarks)
    put_on_glasses(view, np.random.default_rng(0))
    assert np.abs(view.image - own.image).max() > 5.0
    assert view.covered.max() == 0.0


def test_a_hand_lies_where_it_is_put_with_soft_edges() -> None:
    for seed in range(8):
        drawn = draw_hand(
            np.random.default_rng(seed), 128, centre=np.array([64.0, 64.0]), width_px=30.0
        )
        assert drawn.alpha[60:68, 60:68].min() == 1.0
        edge = (drawn.alpha > 0.0) & (drawn.alpha < 1.0)
        assert 50 < edge.sum() < 0.2 * drawn.alpha.size
        inside = drawn.alpha == 1.0
        assert drawn.shade[inside].std() > 0.05


def _large(**how: object) -> Canvas:
    return made_canvas(side=200, **how)  # type: ignore[arg-type]


def test_a_guessed_label_loses_the_hair_and_keeps_the_eyes() -> None:
    canvas = guess_labels([_large(seed=i) for i in range(3)])[1]
    hull = canvas.hull > 127
    hair = np.zeros_like(hull)
    hair[:, 122:] = True
    inside = hull & ~hair
    assert (canvas.label[inside] > 127).mean() > 0.93
    assert (canvas.label[hull & hair] > 127).mean() < 0.3
    x, y = canvas.landmarks[36:42].mean(axis=0).round().astype(int)
    assert canvas.label[y, x] == 255


def test_a_face_with_an_arm_before_it_is_not_believed() -> None:
    faces = [_large(seed=i) for i in range(4)] + [_large(seed=9, arm=True)]
    guessed = guess_labels(faces)
    assert [face.trust for face in guessed[:4]] == [1.0] * 4
    assert guessed[4].trust == 0.0
    weight, label = guessed[4].weight, guessed[4].label
    assert weight is not None
    assert weight[(label > 127)].max() < 128
    assert (weight[:20] == 255).all()  # the wall is still a wall
    assert guess_labels([]) == []


def test_guesses_are_the_same_each_time() -> None:
    faces = [_large(seed=i) for i in range(2)]
    one, again = guess_labels(faces), guess_labels(faces)
    for a, b in zip(one, again, strict=True):
        assert (a.label == b.label).all()
        assert a.trust == b.trust


def test_what_the_eyes_see_has_the_announced_channels_and_no_gradient() -> None:
    image = torch.rand(2, 3, RES, RES, requires_grad=True)
    seen = eyes()(image)
    sides = (12, 24, 48)
    for maps, channels, side in zip(seen, CHANNELS, sides, strict=True):
        assert maps.shape == (2, channels, side, side)
        assert not maps.requires_grad
        assert torch.isfinite(maps).all()


@pytest.mark.parametrize("resolution", [64, 96, 160])
def test_logits_are_as_large_as_the_picture(resolution: int) -> None:
    image = torch.rand(1, 3, resolution, resolution)
    assert net()(image, eyes()(image)).shape == (1, 1, resolution, resolution)


def test_every_weight_of_the_network_learns() -> None:
    image, model = torch.rand(2, 3, RES, RES), net()
    model(image, eyes()(image)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_the_loss_counts_only_what_has_weight() -> None:
    torch.manual_seed(0)
    logits, label = torch.randn(2, 1, 8, 8), (torch.rand(2, 1, 8, 8) > 0.5).float()
    weight = torch.ones_like(label)
    weight[..., :4] = 0.0
    changed = torch.where(weight > 0, label, 1.0 - label)
    assert mask_loss(logits, label, weight) == mask_loss(logits, changed, weight)
    right, wrong = (mask_loss(20.0 * (2 * x - 1), label, weight) for x in (label, 1 - label))
    assert float(right) < 0.05 < 1.0 < float(wrong)
    assert torch.isfinite(mask_loss(logits, label, torch.zeros_like(label)))


def test_a_hull_is_doubted_late_and_only_where_the_network_is_sure() -> None:
    logits = torch.tensor([-4.0, -0.1, 4.0, -4.0]).reshape(1, 1, 2, 2)
    hull_only = torch.tensor([1.0, 1.0, 1.0, 0.0]).reshape(1, 1, 2, 2)
    weight = torch.ones(1, 1, 2, 2)
    early = believed(logits, weight, hull_only, progress=0.05)
    late = believed(logits, weight, hull_only, progress=0.9)
    assert early.flatten().tolist() == [1.0, 1.0, 1.0, 1.0]
    assert late.flatten().tolist() == [0.0, 1.0, 1.0, 1.0]


def test_specks_and_pin_holes_go_and_a_divided_face_stays() -> None:
    said = np.zeros((100, 100), np.float32)
    said[20:80, 20:45] = said[20:80, 55:80] = 1.0  # a finger in between
    said[40:42, 30:32] = 0.0
    said[5:8, 5:8] = 1.0
    mask = clean_mask(said)
    assert (mask.min(), mask.max()) == (0.0, 1.0)
    assert mask[30, 30] == mask[30, 70] == mask[41, 31] == 1.0
    assert mask[6, 6] == 0.0
    assert mask[50, 50] == 0.0
    assert clean_mask(np.zeros((50, 50), np.float32)).max() == 0.0
    assert clean_mask(np.ones((50, 50), np.float32)).min() == 1.0


def test_masks_are_as_large_as_the_crops_and_symmetric() -> None:
    device = choose_device("cpu")
    section = MaskConfig(resolution=RES, width=4)
    segmenter = segmenter_of(net(), eyes(), device, section, iteration=1)
    crop = smooth_picture(0, (RES, RES))
    there, mirrored = segment(segmenter, [crop, np.ascontiguousarray(crop[:, ::-1])])
    assert there.shape == (RES, RES)
    assert there == pytest.approx(mirrored[:, ::-1], abs=1e-3)
    assert segment(segmenter, []) == []
    turned = segmenter.net_from_frame(face_at((100, 90), 50))
    assert put_back(there, turned, (200, 180)).shape == (180, 200)


def test_other_weights_or_another_geometry_are_another_network() -> None:
    device, section = choose_device("cpu"), MaskConfig(resolution=RES, width=4)

    def make(model: MaskNet, how: MaskConfig) -> str:
        return segmenter_of(model, eyes(), device, how, iteration=1).fingerprint

    changed = net()
    with torch.no_grad():
        next(changed.parameters()).add_(1e-3)
    prints = {
        make(net(), section),
        make(changed, section),
        make(net(), section.model_copy(update={"face_type": "head"})),
    }
    assert len(prints) == 3
    assert make(net(), section) == make(net(), section)


def test_a_toy_network_learns_to_leave_the_hair_out() -> None:
    batch = batches([made_canvas(i, drawn=True) for i in range(2)], batch=2, occluders=0.0)(0)
    model, seen = net(8), eyes()(batch.image)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        loss = mask_loss(model(batch.image, seen), batch.label, batch.weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.35 * losses[0]
