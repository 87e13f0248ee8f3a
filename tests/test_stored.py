"""The file of a checkpoint, and what a changed bit in it does."""

import errno
import json
import resource
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.training import stored
from faceswap_cli.training.fitting import fill_what_fits
from faceswap_cli.training.stored import read_about, read_stored, write_stored

ABOUT = {"iteration": 7, "train": {"model": "df"}}


def tensors() -> dict[str, Tensor]:
    return {
        "model/encoder.weight": torch.arange(12.0).view(3, 4),
        "optimizer/encoder.weight/step": torch.tensor(7.0),
        "norms": torch.full((4,), torch.nan),
        "model/encoder.channels": torch.rand(1, 2, 3, 4).to(memory_format=torch.channels_last),
    }


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path, given_tensors = tmp_path / "a.safetensors", tensors()
    write_stored(path, given_tensors, ABOUT)
    about, found = read_stored(path)
    assert about == ABOUT | {"format": stored.FORMAT} == read_about(path)
    assert found.keys() == given_tensors.keys()
    for name, tensor in given_tensors.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0, equal_nan=True)


@settings(max_examples=150)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "a.safetensors"
    write_stored(path, tensors(), ABOUT)
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    data[at] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(WorkspaceError) as caught:
        read_stored(path)
    assert str(path) in str(caught.value)


def test_a_damaged_one_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_stored(path, tensors(), ABOUT)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(WorkspaceError, match="the checkpoint is damaged: its checksum") as caught:
        read_stored(path)
    assert "move it away; the next older one" in str(caught.value)


def test_one_of_before_has_no_checksum_and_opens(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    old = {name: t.contiguous() for name, t in tensors().items()}
    save_file(old, path, metadata={"faceswap-cli": json.dumps(ABOUT | {"format": 1})})
    assert read_stored(path)[0]["iteration"] == 7
    save_file(old, path, metadata={"faceswap-cli": json.dumps(ABOUT | {"format": 2})})
    with pytest.raises(WorkspaceError, match="checksum"):
        read_stored(path)


@pytest.mark.parametrize("text", ["[1]", "nonsense", '{"format": "x"}'])
def test_a_text_that_is_none_of_ours_is_explained(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"faceswap-cli": text})
    with pytest.raises(WorkspaceError, match="damaged"):
        read_stored(path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"faceswap-cli": '{"format": 99}'})
    with pytest.raises(WorkspaceError, match="checkpoint of format 99") as caught:
        read_about(path)
    assert "update faceswap-cli" in str(caught.value)


def test_a_disk_that_ends_leaves_the_old_one(tmp_path: Path) -> None:
    """The system itself refuses: no file may grow beyond 4 KiB."""
    path = tmp_path / "a.safetensors"
    write_stored(path, tensors(), ABOUT)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(WorkspaceError, match=r"cannot write a\.safetensors") as caught:
            write_stored(path, tensors() | {"large": torch.zeros(10_000)}, ABOUT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    cause = caught.value.__cause__
    assert isinstance(cause, OSError)
    assert cause.errno == errno.EFBIG
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def own() -> dict[str, Tensor]:
    return {
        "model/encoder.weight": torch.zeros(2),
        "critic/judge.weight": torch.zeros(2),
        "optimizer/encoder.weight/mean": torch.zeros(2),
        "optimizer/judge.weight/mean": torch.zeros(2),
        "norms": torch.zeros(2),
    }


def ones() -> dict[str, Tensor]:
    return {name: torch.ones_like(tensor) for name, tensor in own().items()}


SAME = "adamw", "adamw"


def test_a_state_is_filled_with_all_of_it(tmp_path: Path) -> None:
    state = own()
    assert fill_what_fits(state, ones(), tmp_path, optimizer=SAME) == []
    assert all(bool((tensor == 1).all()) for tensor in state.values())


def test_a_judge_that_is_new_starts_new_and_one_that_is_gone_is_left_out(tmp_path: Path) -> None:
    state, saved = own(), ones()
    saved["critic/gan.weight"] = saved.pop("critic/judge.weight")
    saved["optimizer/gan.weight/mean"] = saved.pop("optimizer/judge.weight/mean")
    told = fill_what_fits(state, saved, tmp_path, optimizer=SAME)
    assert told == [
        "gan is not wanted any more, it is left out",
        "judge is new, it starts from its first weights",
    ]
    assert not state["critic/judge.weight"].any()
    assert not state["optimizer/judge.weight/mean"].any()
    assert state["model/encoder.weight"].all()


def test_another_optimiser_starts_anew(tmp_path: Path) -> None:
    state, saved = own(), ones()
    saved["optimizer/encoder.weight/square"] = saved.pop("optimizer/encoder.weight/mean")
    told = fill_what_fits(state, saved, tmp_path, optimizer=("rmsprop", "adamw"))
    assert told == ["the optimiser was rmsprop, is adamw: it starts anew"]
    assert not state["optimizer/encoder.weight/mean"].any()
    assert state["critic/judge.weight"].all()


def test_networks_may_be_frozen_and_freed(tmp_path: Path) -> None:
    frozen = {name: t for name, t in own().items() if not name.startswith("optimizer/encoder")}
    told = fill_what_fits(frozen, ones(), tmp_path, optimizer=SAME)
    assert told == ["encoder is frozen, its optimiser is dropped"]
    freed, saved = own(), ones()
    del saved["optimizer/encoder.weight/mean"]
    told = fill_what_fits(freed, saved, tmp_path, optimizer=SAME)
    assert told == ["encoder learns now, its optimiser starts anew"]
    assert not freed["optimizer/encoder.weight/mean"].any()


@pytest.mark.parametrize("name", ["model/encoder.bias", "critic/judge.bias", "average/encoder.b"])
@pytest.mark.parametrize("where", ["own", "saved"])
def test_whatever_else_differs_is_an_error_and_nothing_is_filled(
    tmp_path: Path, name: str, where: str
) -> None:
    state, saved = own(), ones()
    (state if where == "own" else saved)[name] = torch.zeros(1)
    with pytest.raises(WorkspaceError, match=f"1 tensors do not fit the model: {name}") as caught:
        fill_what_fits(state, saved, tmp_path / "x", optimizer=SAME)
    assert "restore the settings" in str(caught.value)
    assert not any(bool(tensor.any()) for tensor in state.values())


def test_a_judge_of_another_width_is_an_error(tmp_path: Path) -> None:
    saved = ones() | {"critic/judge.weight": torch.ones(3)}
    with pytest.raises(WorkspaceError, match=r"critic/judge\.weight"):
        fill_what_fits(own(), saved, tmp_path, optimizer=SAME)


def test_norms_come_and_go(tmp_path: Path) -> None:
    state, saved = own(), ones()
    del saved["norms"]
    assert fill_what_fits(state, saved, tmp_path, optimizer=SAME) == []
    assert not state["norms"].any()
