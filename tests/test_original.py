"""faceswap's original: its layout, and how it gets along without a mask."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from faceswap_cli.config import InputConfig, MergeConfig, TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import ConfigError
from faceswap_cli.imaging import read_grey
from faceswap_cli.models import Autoencoder
from faceswap_cli.stages.merge import run_merge
from faceswap_cli.training.cost import estimate_cost
from faceswap_cli.training.initialise import fit_to_faces
from faceswap_cli.training.preview import draw_preview
from faceswap_cli.training.schedule import weighted_loss
from faceswap_cli.workspace import Workspace
from tests.made_models import put_trained
from tests.test_initialise import DST, SRC
from tests.test_merge_stage import NUM_FRAMES, make_workspace
from tests.test_models import toy, toy_faces, without_memory

CPU = Device("cpu", "fp32")
SECTION = MergeConfig(batch_faces=2, device="cpu", feather=4, erode=0)


def original(*, fitted: bool = False) -> Autoencoder:
    model = toy("original", "")
    if fitted:
        fit_to_faces(model, SRC, DST)
    return model.eval()


def test_its_parts_are_of_faceswaps_size() -> None:
    counts = {
        name: sum(p.numel() for p in child.parameters())
        for name, child in without_memory("original").named_children()
    }
    # What faceswap calls the encoder ends where ours hands over to the decoders.
    assert counts.pop("encoder") + counts.pop("inter") == 69_662_976
    assert counts == {"decoder_src": 6_199_747, "decoder_dst": 6_199_747}


def test_it_draws_faces_and_leaves_the_mask_to_the_canvas() -> None:
    model, faces = original(), toy_faces()
    with torch.inference_mode():
        face, mask = model.bind(None, faces)(faces, faces)
    assert face.shape == (2, 3, 64, 64)
    assert mask is None and not model.draws_mask
    assert 0.0 <= float(face.min()) <= float(face.max()) <= 1.0


def test_its_swap_counts_everywhere_so_that_it_has_a_preview() -> None:
    model = original()
    with torch.inference_mode():
        _, mask = model.swap(DST)
    assert torch.equal(mask, torch.ones(8, 1, 64, 64))
    assert draw_preview(model, SRC, DST)


def test_no_mask_is_learnt() -> None:
    model = original().train()
    for names, terms in model.losses(toy_faces(), toy_faces()):
        assert set(names.split()) == {"encoder", "inter", "decoder_src", "decoder_dst"}
        assert {name.split("/")[1] for name in terms} >= {"dssim", "mse"}
        assert not [name for name in terms if name.endswith("/mask")]
        weighted_loss(terms, TrainConfig()).backward()
    assert all(p.grad is not None for p in model.parameters())


@torch.no_grad()
def test_first_weights_fit_the_faces() -> None:
    model = original(fitted=True)
    src, dst = model.encoder(SRC), model.encoder(DST)
    both = torch.cat([src, dst])
    assert float((src.mean(0) - dst.mean(0)).abs().max()) < 1e-2  # blind to the side
    torch.testing.assert_close(both.std(0), torch.ones(8), atol=1e-3, rtol=0)
    drawn = model.redraw(SRC, DST)[0]
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(drawn.std(dim=0).mean()) > 1e-3


def test_the_cost_is_known_beforehand() -> None:
    cost = estimate_cost(TrainConfig(model="original"), CPU, batch_size=2)
    assert sum(cost.parameters.values()) == 82_062_470
    assert cost.flops > 0 < cost.activations_bytes


@pytest.fixture
def merging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    """Return a workspace whose trained model is this one."""
    put_trained(monkeypatch, original(fitted=True), resolution=64)
    return make_workspace(tmp_path / "w")


def test_merge_paints_within_the_hull_and_says_so(
    merging: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    masks = []
    for mask in ("hull*learned", "hull"):
        section = SECTION.model_copy(update={"mask": mask})
        with caplog.at_level(logging.INFO, "faceswap_cli"):
            report = run_merge(merging, section, InputConfig(), redo=True)
        assert (report.done, report.failed) == (NUM_FRAMES, {})
        masks.append([read_grey(path) for path in sorted(merging.merged_masks.iterdir())])
    np.testing.assert_array_equal(masks[0], masks[1])
    assert max(mask.max() for mask in masks[0]) == 255
    assert caplog.text.count("the hull alone") == 1


def test_a_learnt_mask_that_is_none_is_refused(merging: Workspace) -> None:
    section = SECTION.model_copy(update={"mask": "learned"})
    with pytest.raises(ConfigError, match=r"merge\.mask=learned[\s\S]*fix: --mask hull"):
        run_merge(merging, section, InputConfig())
    assert not merging.manifest("merge").exists()
