"""AMP: what its mixtures are made of, in training and in a swap."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from faceswap_cli.config import InputConfig, MergeConfig, TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import ConfigError
from faceswap_cli.models import AMP, Autoencoder, Faces
from faceswap_cli.models.amp import choose_channels
from faceswap_cli.stages.merge import run_merge
from faceswap_cli.training.building import build_model
from faceswap_cli.training.checkpoint import TrainState
from faceswap_cli.training.cost import estimate_cost
from faceswap_cli.training.initialise import fit_to_faces
from faceswap_cli.training.step import Stepper
from faceswap_cli.workspace import Workspace
from tests.made_models import put_trained
from tests.test_initialise import DST, SRC
from tests.test_merge_stage import NUM_FRAMES, WITH_FACE, footage, make_workspace, outputs
from tests.test_models import toy, without_memory

CPU = Device("cpu", "fp32")
CONFIG = TrainConfig(
    model="amp",
    options="udt",
    resolution=32,
    ae_dims=8,
    e_dims=4,
    d_dims=4,
    d_mask_dims=2,
    inter_dims=12,
    batch_size=4,
    learning_rate=1e-3,
    warmup=0,
)
SECTION = MergeConfig(batch_faces=2, device="cpu", feather=4)


def amp(*, fitted: bool = False) -> AMP:
    """Return a toy; with weights that were fitted, faces differ in what they are drawn as."""
    model = toy("amp", "")
    assert isinstance(model, AMP)
    if fitted:
        fit_to_faces(model, SRC, DST)
    return model.eval()


def faces(seed: int, count: int = 4, side: int = 64) -> Faces:
    generator = torch.Generator().manual_seed(seed)

    def noise(channels: int) -> Tensor:
        return torch.rand(count, channels, side, side, generator=generator)

    lms = torch.zeros(count, 68, 2)
    drawn = Faces(img=noise(3), lms=lms, mask=noise(1), parts=noise(1), warped=noise(3))
    return replace(drawn, chance=torch.rand(count, generator=generator))


def codes(model: AMP, src: Faces, dst: Faces) -> tuple[Tensor, Tensor]:
    return model.encoder(src.img), model.encoder(dst.img)


def test_most_of_it_is_encoder_and_decoder() -> None:
    model = without_memory("amp", resolution=224)
    counts = {n: sum(p.numel() for p in child.parameters()) for n, child in model.named_children()}
    # What DeepFaceLab trains; its bottlenecks stay as they were drawn.
    assert round((counts["encoder"] + counts["decoder"]) / 1e6, 1) == 75.6
    assert counts["inter_src"] == counts["inter_dst"] == 257 * 7 * 7 * 1024


@pytest.mark.parametrize(("channels", "count"), [(1024, 512), (1024, 102), (12, 1), (8, 8), (8, 0)])
def test_exactly_so_many_channels_are_chosen(channels: int, count: int) -> None:
    chance = torch.cat([torch.rand(64), torch.tensor([0.0, 1.0])])
    chosen = choose_channels(chance, channels, count)
    assert chosen.shape == (66, channels)
    assert chosen.dtype == torch.bool
    assert (chosen.sum(dim=1) == count).all()


def test_faces_are_given_different_channels_and_all_have_their_turn() -> None:
    drawn = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    chosen = choose_channels(drawn, 256, 128).float()
    assert len(chosen.unique(dim=0)) == 2000
    # Of fair coins: half of the faces, within five standard deviations.
    assert float((chosen.mean(dim=0) - 0.5).abs().max()) < 5 * (0.25 / 2000) ** 0.5
    # Two channels, or two faces, know nothing of each other.
    assert float((torch.corrcoef(chosen.T) - torch.eye(256)).abs().max()) < 0.13
    assert float((torch.corrcoef(chosen[:200]) - torch.eye(200)).abs().max()) < 0.35


def test_neighbouring_chances_choose_differently() -> None:
    close = torch.tensor([0.5, 0.5 + 2**-24])
    one, two = choose_channels(close, 1024, 512)
    assert 0.4 < float((one == two).float().mean()) < 0.6


def test_a_choice_is_the_same_wherever_it_is_made() -> None:
    # The numbers must not change: trainings go on with them.
    chosen = choose_channels(torch.tensor([0.25, 0.75]), 16, 4)
    listed = [row.nonzero().flatten().tolist() for row in chosen]
    assert listed == [[8, 11, 14, 15], [5, 11, 12, 15]]


def test_a_src_face_is_learnt_as_a_mixture() -> None:
    model, src, dst = amp(), faces(0), faces(1)
    src_code, dst_code = codes(model, src, dst)
    src_map, dst_map = model.training_maps_of(src, dst, src_code, dst_code)
    own, other = model.inter_src(src_code), model.inter_dst(src_code)
    from_own = (src_map == own).flatten(2).all(dim=2)
    from_other = (src_map == other).flatten(2).all(dim=2)
    assert torch.equal(from_own, ~from_other)
    assert (from_own.sum(dim=1) == 6).all()
    assert len(from_own.unique(dim=0)) > 1
    torch.testing.assert_close(dst_map, model.inter_dst(dst_code))


def test_a_part_of_a_batch_is_mixed_as_the_batch() -> None:
    model, src, dst = amp(), faces(0), faces(1)
    src_code, dst_code = codes(model, src, dst)
    whole = model.training_maps_of(src, dst, src_code, dst_code)
    for part in (slice(0, 1), slice(1, 4)):
        some = model.training_maps_of(
            src.part(part), dst.part(part), src_code[part], dst_code[part]
        )
        for one, all_of in zip(some, whole, strict=True):
            torch.testing.assert_close(one, all_of[part])


def test_without_chance_the_choice_is_fixed() -> None:
    model, src, dst = amp(), replace(faces(0), chance=None), replace(faces(1), chance=None)
    given = codes(model, src, dst)
    one, two = (model.training_maps_of(src, dst, *given)[0] for _ in range(2))
    assert torch.equal(one, two)


def test_both_bottlenecks_learn() -> None:
    model = amp().train()
    for _, terms in model.losses(faces(0), faces(1)):
        sum(value.sum() for value in terms.values()).backward()  # type: ignore[union-attr]
    for child in (model.inter_src, model.inter_dst, model.encoder, model.decoder):
        assert all(p.grad is not None and p.grad.any() for p in child.parameters())


@torch.no_grad()
def test_morph_goes_from_dst_to_src() -> None:
    model, dst = amp(fitted=True), DST
    face, _ = model.swap(dst, 0.0)
    torch.testing.assert_close(face, model.redraw(SRC, dst)[1])
    code = model.encoder(dst)
    face, _ = model.swap(dst, 1.0)
    torch.testing.assert_close(face, model.decoder.draw(model.inter_src(code)))
    torch.testing.assert_close(face, model.swap(dst)[0])
    half, _ = model.swap(dst, 0.5)
    mixed = torch.cat([model.inter_src(code)[:, :6], model.inter_dst(code)[:, 6:]], dim=1)
    torch.testing.assert_close(half, model.decoder.draw(mixed))
    assert not torch.allclose(half, face)


@torch.no_grad()
def test_a_painter_draws_as_far_as_it_was_told() -> None:
    model, dst = amp(fitted=True), Faces(DST, torch.zeros(8, 68, 2), torch.ones(8, 1, 64, 64))
    assert AMP.takes_morph and not Autoencoder.takes_morph
    whole = model.bind(None, dst)
    model.set_morph(0.25)
    some = model.bind(None, dst)
    for painter, morph in ((whole, 1.0), (some, 0.25)):
        for one, two in zip(painter(dst, dst), model.swap_outlines(DST, morph), strict=True):
            assert one is not None
            torch.testing.assert_close(one, two)


@torch.no_grad()
def test_first_weights_fit_the_faces() -> None:
    model = amp(fitted=True)
    src, dst = model.encoder(SRC), model.encoder(DST)
    assert float((src.mean(0) - dst.mean(0)).abs().max()) < 1e-2  # blind to the side
    for inter, seen in ((model.inter_src, src), (model.inter_dst, torch.cat([src, dst]))):
        drawn = inter.widen(seen)
        torch.testing.assert_close(drawn.mean(0), torch.zeros(48), atol=1e-3, rtol=0)
        torch.testing.assert_close(drawn.std(0), torch.ones(48), atol=1e-3, rtol=0)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_step_in_parts_is_the_step(at_once: int) -> None:
    logs = []
    for micro_batch in (0, at_once):
        config = CONFIG.model_copy(update={"micro_batch": micro_batch})
        stepper = Stepper(TrainState.new(config, CPU), config, CPU)
        logs.append([stepper(faces(n, side=32), faces(n + 9, side=32)) for n in range(2)][-1])
    for name, value in logs[0].items():
        torch.testing.assert_close(logs[1][name], value, atol=1e-5, rtol=1e-4)


def test_the_cost_is_known_beforehand() -> None:
    cost = estimate_cost(CONFIG, CPU, batch_size=2)
    model = build_model(CONFIG, CPU)
    assert list(cost.parameters) == ["encoder", "inter_src", "inter_dst", "decoder"]
    assert sum(cost.parameters.values()) == sum(p.numel() for p in model.parameters())
    assert cost.flops > 0 < cost.activations_bytes


@pytest.fixture
def merging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    """Return a workspace whose trained model is an AMP."""
    put_trained(monkeypatch, amp(fitted=True), resolution=64)
    return make_workspace(tmp_path / "w")


def run(workspace: Workspace, *, redo: bool = False, **changes: Any) -> None:
    section = SECTION.model_copy(update=changes)
    assert run_merge(workspace, section, InputConfig(), redo=redo).done == NUM_FRAMES


def test_merge_draws_what_morph_asks_for(merging: Workspace) -> None:
    made = {}
    for morph in (1.0, 0.5, 0.0):
        run(merging, morph=morph, redo=True)
        made[morph] = outputs(merging)
    for index in range(NUM_FRAMES):
        different = len({made[morph][f"merged/{index:06d}.png"] for morph in made})
        assert different == (3 if index in WITH_FACE else 1)
    assert len(footage(merging)) == NUM_FRAMES
    section = SECTION.model_copy(update={"morph": 1.0})
    again = run_merge(merging, section, InputConfig())
    assert (again.done, again.kept) == (len(WITH_FACE), NUM_FRAMES - len(WITH_FACE))
    assert outputs(merging) == made[1.0]


def test_a_model_that_cannot_morph_says_so(
    merging: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_trained(monkeypatch, toy("df", "ud").eval(), resolution=64)
    with pytest.raises(ConfigError, match=r"merge\.morph=0\.5: the model, DF") as told:
        run(merging, morph=0.5)
    assert told.value.exit_code == 2
    assert not merging.manifest("merge").exists()
    run(merging)  # nothing was begun: the next wish counts
