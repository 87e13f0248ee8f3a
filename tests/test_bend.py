import torch

from faceswap_cli.training.bend import NEAREST, bend, bend_field, choose_shapes, draw_bend


def faces(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 68, 2, generator=torch.Generator().manual_seed(seed)) - 0.5


def halfway(count: int, far: float) -> torch.Tensor:
    return torch.stack([torch.zeros(count), torch.full((count,), far)], dim=1)


def smooth_move(points: torch.Tensor) -> torch.Tensor:
    x, y = points.unbind(dim=-1)
    return points + 0.05 * torch.stack([torch.sin(2 * y), torch.cos(3 * x)], dim=-1)


def test_no_share_bends_nothing() -> None:
    draws = draw_bend(64, share=0.0, generator=torch.Generator().manual_seed(1))
    assert not draws[:, 1].any()


def test_the_share_of_bent_faces_is_kept() -> None:
    draws = draw_bend(4000, share=0.3, generator=torch.Generator().manual_seed(1))
    assert abs(float((draws[:, 1] > 0).float().mean()) - 0.3) < 0.03


def test_a_bend_of_no_length_moves_no_pixel() -> None:
    field, bent = bend_field(faces(3), smooth_move(faces(3)), halfway(3, 0.0))
    assert torch.equal(bent, faces(3))
    assert field.abs().max() < 1e-5


def test_what_was_at_a_landmark_is_seen_where_it_was_moved_to() -> None:
    """The law of the whole: at the bent landmark, the grid points at the old one."""
    old = faces(4)
    field, bent = bend_field(old, smooth_move(old), halfway(4, 1.0))
    seen = bend(bent[:, None], field)[:, 0]
    assert (bent - old).norm(dim=-1).mean() > 0.03
    assert (seen - old).norm(dim=-1).mean() < 0.003


def test_the_border_of_the_canvas_stays() -> None:
    old = 0.8 * faces(2)
    field, _ = bend_field(old, smooth_move(old), halfway(2, 1.0))
    edge = torch.cat([field[:, :, 0], field[:, :, -1], field[..., 0], field[..., -1]], dim=-1)
    assert edge.abs().max() < 0.02


def test_only_shapes_that_are_near_are_chosen() -> None:
    shapes, one = faces(200), faces(1, seed=9)
    near = (shapes - one)[:, 17:].flatten(1).norm(dim=1).argsort()[:NEAREST]
    allowed = {tuple(shapes[i].flatten().tolist()) for i in near}
    draws = torch.rand(300, 2, generator=torch.Generator().manual_seed(2))
    chosen = choose_shapes(one.expand(300, -1, -1), shapes, draws)
    found = {tuple(shape.flatten().tolist()) for shape in chosen}
    assert found <= allowed
    assert len(found) > NEAREST // 2


def test_a_part_of_a_batch_is_bent_as_in_the_whole() -> None:
    draws = draw_bend(6, share=1.0, generator=torch.Generator().manual_seed(3))
    whole, _ = bend_field(faces(6), smooth_move(faces(6)), draws)
    part, _ = bend_field(faces(6)[2:4], smooth_move(faces(6))[2:4], draws[2:4])
    assert torch.allclose(whole[2:4], part, atol=1e-5)
