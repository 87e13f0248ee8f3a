from pathlib import Path

import pytest
import torch

from faceswap_cli.faces.faceset import AlignedFace, open_faceset
from faceswap_cli.merging.likeness import measure_range
from faceswap_cli.models import MODELS, Autoencoder
from faceswap_cli.models.likeness import ROOM, fit_range
from faceswap_cli.types import SIDES, Side
from tests.facesets import write_faceset

SIZES = {"resolution": 32, "ae_dims": 8, "e_dims": 4, "d_dims": 4, "d_mask_dims": 2}


def codes(*spreads: float, seed: int = 0, mean: float = 0.0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return mean + torch.randn(400, len(spreads), generator=random) * torch.tensor(spreads)


def toy(name: str = "liae") -> Autoencoder:
    torch.manual_seed(0)
    return MODELS[name](**SIZES, options="ud").eval()


def test_what_src_does_too_is_left_alone() -> None:
    src, dst = codes(3.0, 2.0), codes(2.0, 1.0, seed=1, mean=5.0)
    torch.testing.assert_close(fit_range(src, dst, strength=1.0).bring_in(dst), dst)


def test_what_only_dst_does_is_taken_away() -> None:
    src, dst = codes(3.0, 0.01), codes(3.0, 2.0, seed=1, mean=5.0)
    kept = fit_range(src, dst, strength=1.0).bring_in(dst)
    assert kept[:, 1].std() < 2.0 * ROOM * 0.01
    assert kept[:, 0].std() > 0.95 * dst[:, 0].std()
    torch.testing.assert_close(kept.mean(dim=0), dst.mean(dim=0), rtol=1e-3, atol=1e-3)


def test_strength_is_how_much_of_it() -> None:
    src, dst = codes(3.0, 0.01), codes(3.0, 2.0, seed=1)
    torch.testing.assert_close(fit_range(src, dst, strength=0.0).bring_in(dst), dst)
    half = fit_range(src, dst, strength=0.5).bring_in(dst)[:, 1].std()
    assert 0.45 < half / dst[:, 1].std() < 0.55


def test_one_pose_of_src_is_no_reason_for_what_is_not_a_number() -> None:
    src, dst = codes(0.0, 0.0), codes(0.0, 1.0, seed=1)
    assert fit_range(src, dst, strength=1.0).bring_in(dst).isfinite().all()


@pytest.mark.parametrize("name", ["df", "liae"])
def test_a_swap_obeys_and_what_is_redrawn_does_not_change(name: str) -> None:
    model, faces = toy(name), torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        swapped, redrawn = model.swap(faces)[0], model.redraw(faces, faces)[1]
        known = codes(*[0.01] * 8)
        model.likeness = fit_range(known, known + 100.0 * torch.randn(400, 8), strength=1.0)
        assert (model.swap(faces)[0] - swapped).abs().max() > 1e-4
        assert torch.equal(model.redraw(faces, faces)[1], redrawn)


def test_both_facesets_are_looked_at(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path, count=20)
    facesets = {side: open_faceset(workspace.aligned(side)).faces for side in SIDES}
    facesets["src"][3].path.write_bytes(b"no picture")
    model = toy()
    found = measure_range(
        model, facesets, face_type="full", strength=1.0, place=torch.device("cpu")
    )
    assert found is not None
    assert found.mean_D.shape == (8,)
    assert found.pull_DD.shape == (8, 8)


def test_too_few_faces_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dst = open_faceset(write_faceset(tmp_path, count=20).aligned("dst")).faces
    place = torch.device("cpu")
    facesets: dict[Side, list[AlignedFace]] = {"src": [], "dst": dst}
    assert measure_range(toy(), facesets, face_type="full", strength=1.0, place=place) is None
    assert "0 faces of src" in caplog.text


def test_a_model_without_a_shared_code_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    model, place = MODELS["original"](ae_dims=8, e_dims=4, d_dims=4), torch.device("cpu")
    assert measure_range(model, {}, face_type="full", strength=1.0, place=place) is None
    assert "plays no part" in caplog.text
