import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.imaging import read_image, write_image
from faceswap_cli.training import data
from faceswap_cli.training.augment import Draws, draw, points_in_view
from faceswap_cli.training.cache import Cache, refresh
from faceswap_cli.training.cutting import Layout
from faceswap_cli.training.data import FaceStore, HeldFaces, Sampler, fixed_views, hold
from faceswap_cli.types import SIDES, Side
from faceswap_cli.workspace import Workspace
from tests.facesets import write_faceset

CPU = torch.device("cpu")
TOY = TrainConfig(
    options="ud", resolution=32, ae_dims=8, e_dims=4, d_dims=4, d_mask_dims=2, batch_size=4
)


def toy(**changes: object) -> TrainConfig:
    return TrainConfig.model_validate(TOY.model_dump() | changes)


def open_stores(workspace: Workspace, config: TrainConfig = TOY) -> dict[Side, FaceStore]:
    stores: dict[Side, FaceStore] = {}
    for side in SIDES:
        masks = workspace.edited_masks(side)
        cache = Cache(workspace.cache, side, workspace.aligned(side), masks, config)
        refresh(cache)
        stores[side] = cache.open()[0]
    return stores


@pytest.fixture
def stores(tmp_path: Path) -> dict[Side, FaceStore]:
    return open_stores(write_faceset(tmp_path))


def test_batch_is_a_function_of_seed_and_iteration(stores: dict[Side, FaceStore]) -> None:
    one, two = (Sampler(stores, TOY, CPU) for _ in range(2))
    two(0)
    assert torch.equal(one(4)[0].img, two(4)[0].img)
    assert not torch.equal(one(4)[0].img, one(5)[0].img)
    other = Sampler(stores, toy(seed=1), CPU)
    assert not torch.equal(one(4)[0].img, other(4)[0].img)


def test_batches_loaded_ahead_are_the_same(stores: dict[Side, FaceStore]) -> None:
    sampler = Sampler(stores, TOY, CPU)
    ahead = [sampler.assemble(portion)[1] for portion in sampler.ahead(3, 6)]
    for iteration, faces in zip(range(3, 6), ahead, strict=True):
        assert torch.equal(sampler(iteration)[1].img, faces.img)


@pytest.mark.parametrize(
    "more", [{}, {"colour_from_dst": "mkl", "damage": 1.0}, {"warp": 0.0}, {"bend": 1.0}]
)
def test_parts_of_a_batch_are_parts_of_the_whole(
    stores: dict[Side, FaceStore], more: dict[str, object]
) -> None:
    # So that two processes train on what one would have trained on.
    config = toy(**more)
    whole = Sampler(stores, config, CPU)(3)
    for part in (slice(0, 2), slice(2, 4)):
        some = Sampler(stores, config, CPU, part=part)(3)
        for one, all_of in zip(some, whole, strict=True):
            for name in ("img", "warped", "mask", "parts", "lms", "chance"):
                torch.testing.assert_close(
                    getattr(one, name), getattr(all_of, name)[part], atol=2e-5, rtol=1e-4
                )


def test_faces_held_in_memory_give_the_same_batches(stores: dict[Side, FaceStore]) -> None:
    held: dict[Side, FaceStore] = {side: hold(store, CPU) for side, store in stores.items()}
    assert isinstance(held["src"], HeldFaces)
    for one, two in zip(Sampler(stores, TOY, CPU)(2), Sampler(held, TOY, CPU)(2), strict=True):
        assert torch.equal(one.img, two.img)
        assert torch.equal(one.mask, two.mask)


def test_warp_ends_where_it_is_told_to(stores: dict[Side, FaceStore]) -> None:
    sampler = Sampler(stores, toy(iterations=10, warp_until=0.5, colour_shift=0.0), CPU)
    differences = []
    for faces in (sampler(4)[0], sampler(5)[0]):
        assert faces.warped is not None
        differences.append(float((faces.img - faces.warped).abs().mean()))
    assert differences[0] > 3 * differences[1]


@pytest.mark.parametrize("mode", ["rct", "lct", "mkl", "idt", "sot"])
def test_src_is_given_the_colours_of_dst(stores: dict[Side, FaceStore], mode: str) -> None:
    plain = Sampler(stores, TOY, CPU)(0)
    src, dst = Sampler(stores, toy(colour_from_dst=mode), CPU)(0)

    def mean(faces: Tensor, mask: Tensor) -> Tensor:
        return (faces * mask).sum(dim=(0, 2, 3)) / mask.sum()

    wanted = mean(dst.img, dst.mask)
    before = (mean(plain[0].img, plain[0].mask) - wanted).norm()
    after = (mean(src.img, src.mask) - wanted).norm()
    assert float(after) < 0.5 * float(before)
    torch.testing.assert_close(dst.img, plain[1].img)  # dst keeps its own


def test_damage_is_done_to_what_is_given_and_not_to_what_is_wanted(
    stores: dict[Side, FaceStore],
) -> None:
    plain, damaged = (Sampler(stores, toy(damage=share), CPU)(0)[1] for share in (0.0, 1.0))
    torch.testing.assert_close(plain.img, damaged.img)
    assert plain.warped is not None and damaged.warped is not None
    assert float((plain.warped - damaged.warped).abs().mean()) > 0.003


def test_src_faces_are_bent_and_nothing_else_changes(
    stores: dict[Side, FaceStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = data._shapes  # the made faces all have one shape: dst shall have a smaller one
    monkeypatch.setattr(data, "_shapes", lambda store: 0.8 * shapes(store))
    src, dst = Sampler(stores, TOY, CPU)(2)
    bent, dst_too = Sampler(stores, toy(bend=1.0), CPU)(2)
    assert torch.equal(dst.img, dst_too.img)
    moved = (bent.lms - src.lms).abs().amax(dim=(1, 2))
    assert moved.min() > 0.0
    assert moved.mean() > 0.02
    assert not torch.equal(bent.img, src.img)
    assert not torch.equal(bent.mask, src.mask)


def test_an_edited_mask_is_used(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    first, *_ = sorted(workspace.aligned("src").glob("*.png"))
    write_image(workspace.edited_masks("src") / first.name, read_image(first)[..., 0] * 0)
    store = open_stores(workspace)["src"]
    masks = store.layout.unpack(store.take(torch.arange(len(store)))).masks
    assert int(masks[0, 0].max()) == 0
    assert int(masks[1, 0].max()) == 255


def test_landmarks_follow_the_view() -> None:
    draws = draw(3, move=1.0, warp=0.0, flip=0.5, generator=torch.Generator().manual_seed(2))
    seen = torch.rand(3, 5, 2) * 2 - 1
    canvas = (seen @ draws.linear.transpose(1, 2) + draws.shift[:, None]) / 1.4
    torch.testing.assert_close(points_in_view(canvas, draws), seen, atol=1e-5, rtol=0)


def test_draws_change_all_together() -> None:
    draws = draw(4, move=1.0, warp=1.0, flip=0.0, generator=torch.Generator().manual_seed(0))
    half: Draws = draws.each(lambda tensor: tensor[:2])
    assert len(half.linear) == len(half.tint) == len(half.nodes[0]) == 2


def test_a_row_unpacks_to_what_was_packed() -> None:
    layout = Layout.of(32)
    rows = torch.randint(0, 256, (2, layout.row_bytes), dtype=torch.uint8)
    unpacked = layout.unpack(rows)
    again = layout.pack(
        unpacked.images[1].permute(1, 2, 0).numpy(),
        unpacked.masks[1].numpy(),
        unpacked.landmarks[1].numpy(),
    )
    assert again == rows[1].numpy().tobytes()
    assert layout.side % 2 == 0 and layout.side >= math.ceil(32 * 1.4)


def test_previews_show_faces_as_they_are(stores: dict[Side, FaceStore]) -> None:
    views = fixed_views(stores["src"], 2, 32, CPU)
    assert views.shape == (2, 3, 32, 32)
    assert float(views.std()) > 0.05
