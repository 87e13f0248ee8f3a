"""The whole chain as a user runs it, with the real engines, on real faces that ship in wheels."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result
from matplotlib import cbook
from skimage.data import astronaut

from faceswap_cli.cli import cli
from faceswap_cli.imaging import read_image, write_image
from faceswap_cli.types import RgbImage
from tests.clips import write_clip

TINY = [
    *("--extract-size-px", "64", "--train-resolution", "32", "--train-ae-dims", "8"),
    *("--train-e-dims", "4", "--train-d-dims", "4", "--train-d-mask-dims", "2"),
    *("--train-batch-size", "2", "--train-iterations", "2", "--train-precision", "fp32"),
]


def hopper() -> RgbImage:
    path = str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    return read_image(Path(path))[:520, :512]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def footage(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of three pictures, and a clip of four frames of which the last has no face."""
    for number in range(3):
        write_image(tmp_path / "pictures" / f"{number}.png", np.roll(astronaut(), 8 * number, 1))
    frames = [np.roll(hopper(), 6 * number, 0) for number in range(3)]
    frames.append(np.full_like(frames[0], 90))
    ticks, base = [0, 40, 100, 130], Fraction(1, 1000)  # a variable rate
    return tmp_path / "pictures", write_clip(
        tmp_path / "clip.mp4", frames, ticks=ticks, time_base=base
    )


def test_from_footage_to_video_and_again(tmp_path: Path, footage: tuple[Path, Path]) -> None:
    root = tmp_path / "swap"
    assert call("init", root, "--src", footage[0], "--dst", footage[1]).exit_code == 0
    first = call("run", root, "--quiet", "--json", *TINY)
    assert first.exit_code == 0, first.output
    stages = json.loads(first.stdout)["stages"]
    assert [stage["stage"] for stage in stages] == [
        "extract src",
        "extract dst",
        "train",
        "merge",
        "video",
    ]
    assert (stages[3]["swapped"], stages[3]["passed_through"]) == (3, 1)
    with av.open(str(root / "result.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
        marked = dict(container.metadata)
    assert times == pytest.approx([0.0, 0.04, 0.1, 0.13], abs=1e-9)
    assert marked["digital_source_type"] == "compositeWithTrainedAlgorithmicMedia"

    again = call("run", root, "--quiet", "--json", *TINY)
    assert [stage["done"] for stage in json.loads(again.stdout)["stages"]] == [0, 0, 0, 0, 0]
    assert not list(root.rglob(".*partial*"))


def test_a_deepfacelab_folder_of_pictures_opens_as_it_is(tmp_path: Path) -> None:
    for number in range(1, 4):
        write_image(tmp_path / "data_src" / f"{number:05d}.png", astronaut())
        write_image(tmp_path / "data_dst" / f"{number:05d}.png", hopper())
    # A picture that DeepFaceLab aligned: its record is not ours.
    write_image(tmp_path / "data_src" / "aligned" / "00001_0.jpg", astronaut()[:64, :64])
    result = call("run", tmp_path, "--quiet", *TINY)
    assert result.exit_code == 0, result.output
    assert "00001_0.jpg" in result.output
    assert (tmp_path / "data_dst" / "merged" / "00003.png").exists()
    assert (tmp_path / "data_src" / "aligned" / "00001_0.jpg").exists()
    assert (tmp_path / "result.mp4").exists()


def test_a_read_only_workspace_is_explained(
    tmp_path: Path, footage: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "swap"
    call("init", root, "--src", footage[0], "--dst", footage[1])
    # Root may write anywhere: the refusal of the file system is played.
    monkeypatch.setattr("os.open", _refuse)
    result = call("extract", root)
    assert result.exit_code == 3
    assert "the folder is read-only" in result.stderr
    assert "fix: work on a copy" in result.stderr


def _refuse(*arguments: object, **named: object) -> int:
    raise OSError(30, "Read-only file system")
