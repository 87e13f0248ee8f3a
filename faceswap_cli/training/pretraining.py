"""Pretraining: a model learns faces in general, from any folder of aligned faces.

Both sides are given the same faces. A training of a swap that begins from the result takes all
of it but the bottlenecks: who somebody is, is learnt there, and is to be learnt anew. As
DeepFaceLab does it, except that its inter_AB is left untrained by mistake.
"""

from dataclasses import dataclass
from pathlib import Path

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.store import find_aligned
from faceswap_cli.files import expand_user
from faceswap_cli.types import SIDES, Side
from faceswap_cli.workspace import Workspace

BOTTLENECKS = frozenset({"inter", "inter_AB", "inter_B", "inter_src", "inter_dst"})
"""Of df and quick96; of liae; of amp."""
_LEFT_OUT = {
    **dict.fromkeys(("warp", "bend", "colour_shift", "hue_shift", "lr_dropout"), 0.0),
    **dict.fromkeys(("gan", "true_face", "identity", "face_style", "background_style"), 0.0),
}


def pretraining(config: TrainConfig) -> TrainConfig:
    """Return the settings that a pretraining has, whatever is asked for the training.

    Faces are mirrored and shown at every yaw, and drawn as they are given: no warp, no bend, no
    change of colours. Nothing is asked about a swap. The codes of neighbours are not mixed: they
    are of different people.
    """
    return config.model_copy(
        update={
            **_LEFT_OUT,
            "src_flip": True,
            "dst_flip": True,
            "uniform_yaw": True,
            "colour_from_dst": "none",
            "mix_codes": False,
        }
    )


@dataclass(frozen=True)
class Places:
    """Where a training finds its faces and keeps what it makes."""

    model: Path
    """Folder of checkpoints, log and previews."""
    cache: Path
    pictures: dict[Side, Path]
    """Folders or packs of aligned pictures; of a pretraining the same for both sides."""
    masks: dict[Side, Path]
    """Folders of masks that a person may have edited."""


def find_places(workspace: Workspace, config: TrainConfig) -> Places:
    """Return the places of a training, or of a pretraining if `pretrain` is set.

    Raises:
        WorkspaceError: The folder to pretrain on is not there.
    """
    if not config.pretrain:
        return Places(
            workspace.model,
            workspace.cache,
            {side: find_aligned(workspace, side) for side in SIDES},
            {side: workspace.edited_masks(side) for side in SIDES},
        )
    pictures = find_given(config.pretrain, workspace.root, flag="--pretrain")
    return Places(
        workspace.pretrained,
        workspace.cache / workspace.pretrained.name,
        dict.fromkeys(SIDES, pictures),
        dict.fromkeys(SIDES, pictures / "mask"),
    )


def find_given(path: str, root: Path, *, flag: str) -> Path:
    """Return a file or folder that the user named: as seen from here, or from the workspace.

    Args:
        path: As given; ~ is the home folder.
        root: The workspace.
        flag: Who asked for it, for the message.

    Raises:
        WorkspaceError: It is in neither place.
    """
    given = expand_user(path)
    places = [Path.cwd() / given, root / given]
    for place in places:
        if place.exists():
            return place.resolve()
    raise WorkspaceError(
        f"{flag} {path}: no such file or folder",
        seen_in=" and ".join(str(place.parent) for place in dict.fromkeys(places)),
        fix=f"give the whole path to {flag}, or leave it out",
    )
