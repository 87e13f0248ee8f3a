"""The models that draw: opened, told how, and bound to the clip."""

import hashlib
import logging
import os
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from faceswap_cli.config import MergeConfig
from faceswap_cli.detect.onnx_session import MAX_FILE_BYTES
from faceswap_cli.device import Device
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.faceset import AlignedFace, Faceset, open_faceset
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.store import find_aligned
from faceswap_cli.files import expand_user, fingerprint
from faceswap_cli.imaging import read_bytes
from faceswap_cli.merging.choose import first_face
from faceswap_cli.merging.cut import cut_face, to_faces
from faceswap_cli.merging.draw import Artist, Segment, instruct
from faceswap_cli.merging.enhance import Enhance, open_enhancer
from faceswap_cli.merging.likeness import measure_range
from faceswap_cli.rendering.people import USUAL
from faceswap_cli.segmenting.inference import Segmenter, open_segmenter, put_back, segment
from faceswap_cli.training.checkpoint import Trained, open_trained
from faceswap_cli.types import FloatImage, Points, RgbImage
from faceswap_cli.workspace import Workspace

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Studio:
    """All that draws in a merge."""

    artists: dict[str, Artist]
    """By the folders of the models, as they were given."""
    fingerprints: dict[str, str]
    """Change when what they draw does; by the same names."""
    iterations: dict[str, int]
    """How far they are trained."""


def open_studio(
    workspace: Workspace,
    section: MergeConfig,
    device: Device,
    faceset: Faceset,
    chosen: dict[int, list[FaceRecord]],
    *,
    models: Sequence[str],
    masks: Sequence[Set[str]],
) -> Studio:
    """Open the models that a merge needs, and whatever works with them.

    Args:
        workspace: Holds the usual model, and others by their folders' names.
        section: How they draw.
        device: Where.
        faceset: The faces of dst.
        chosen: Those that are replaced.
        models: Folders, as they were given; USUAL is the workspace's own.
        masks: Of each kind of mask that is asked for, the names of what it is made of.

    Raises:
        WorkspaceError: There is no such model, or no mask network where one is asked for.
        ConfigError: A model cannot do what morph or mask asks for.
    """
    enhance, enhanced_by = _open_enhance(section, device)
    segmenter = None
    if any(name.startswith("seg_") for name in set().union(*masks)):
        segmenter = open_segmenter(workspace.mask_model, device)
    first = first_face(faceset, chosen)
    studio = Studio({}, {}, {})
    for name in models:
        trained = open_trained(_folder(workspace, name), device)
        for names in masks:
            instruct(trained.model, morph=section.morph, masks=names)
        likeness = _give_likeness(workspace, section, name, trained, device, faceset)
        cut = cut_face(*first, face_type=trained.face_type, size_px=trained.resolution)
        studio.artists[name] = Artist(
            painter=trained.model.bind(None, to_faces([cut], device.place)),
            device=device,
            face_type=trained.face_type,
            size_px=trained.resolution,
            batch_size=section.batch_faces,
            enhance=enhance,
            segment=None if segmenter is None else _segment_by(segmenter),
        )
        studio.fingerprints[name] = fingerprint(
            model=trained.fingerprint,
            morph=section.morph,
            likeness=likeness,
            enhance=enhanced_by,
            segmenter=None if segmenter is None else segmenter.fingerprint,
        )
        studio.iterations[name] = trained.iteration
    return studio


def _folder(workspace: Workspace, name: str) -> Path:
    """Return the folder of a model: in the workspace, or anywhere else."""
    if name == USUAL:
        return workspace.model
    places = [workspace.root / name, expand_user(name).resolve()]
    for place in places:
        if place.is_dir():
            return place
    raise WorkspaceError(
        f"there is no model in {name!r}",
        seen_in=", ".join(map(str, places)),
        fix="give the folder of a trained model: --person N=FOLDER",
    )


def _give_likeness(
    workspace: Workspace,
    section: MergeConfig,
    name: str,
    trained: Trained,
    device: Device,
    dst: Faceset,
) -> str:
    """Keep what a model draws within how src was seen to look; return what that depends on."""
    if section.likeness == 0.0:
        return ""
    if name != USUAL:
        _log.warning("likeness plays no part for %s: the faces of its src are not here", name)
        return ""
    src = open_faceset(find_aligned(workspace, "src")).faces
    trained.model.likeness = measure_range(
        trained.model,
        {"src": src, "dst": dst.faces},
        face_type=trained.face_type,
        strength=section.likeness,
        place=device.place,
    )
    return fingerprint(strength=section.likeness, src=_digest(src), dst=_digest(dst.faces))


def _digest(faces: Sequence[AlignedFace]) -> str:
    """Return what changes when other faces, or the same ones elsewhere, bear these names."""
    seen = hashlib.sha256()
    for face in faces:
        seen.update(os.fsencode(face.path.name) + face.record.landmarks.tobytes())
    return seen.hexdigest()


def _open_enhance(section: MergeConfig, device: Device) -> tuple[Enhance | None, str]:
    """Return what enlarges faces, and what changes when it does."""
    if not section.enhance:
        return None, ""
    path = expand_user(section.enhance)
    data = read_bytes(path, at_most=MAX_FILE_BYTES)
    digest = hashlib.sha256(data).hexdigest()
    return open_enhancer(data, path.name, device=device.name), digest


def _segment_by(segmenter: Segmenter) -> Segment:
    """Return the mask network as a function of crops of any size."""

    def run(pictures: Sequence[RgbImage], points: Sequence[Points]) -> list[FloatImage]:
        places = [segmenter.net_from_frame(landmarks) for landmarks in points]
        crops = [
            segmenter.cut(picture, net_from_crop)
            for picture, net_from_crop in zip(pictures, places, strict=True)
        ]
        return [
            put_back(mask, net_from_crop, (picture.shape[1], picture.shape[0]))
            for mask, net_from_crop, picture in zip(
                segment(segmenter, crops), places, pictures, strict=True
            )
        ]

    return run
