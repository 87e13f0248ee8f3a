"""The masks of the faces of the footage: where a face is seen, and no hand in front of it."""

import numpy as np

from faceswap_cli.errors import MediaError
from faceswap_cli.faces.faceset import AlignedFace, Faceset, read_mask
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.store import Version
from faceswap_cli.geometry import Similarity, resizing
from faceswap_cli.imaging import to_float
from faceswap_cli.merging.look import Shown
from faceswap_cli.types import GreyImage

_LEAST_SCALE = 1e-6  # pixels of a mask per pixel of its frame: no crop shows so much of one


class FaceMasks:
    """The masks that were painted or made for the faces of a faceset; read when asked for."""

    def __init__(self, faceset: Faceset, *, respected: bool = True) -> None:
        self._faces: dict[int, tuple[AlignedFace, Version]] = {}
        files = faceset.faces[0].files if respected and faceset.faces else None
        versions = files.mask_versions() if files is not None else {}
        for face in faceset.faces:
            if (version := versions.get(face.path.stem)) is not None:
                self._faces[id(face.record)] = face, version

    def version(self, record: FaceRecord) -> Version | None:
        """Return what changes when the mask of this very record does; None: it has none."""
        return self._faces[id(record)][1] if id(record) in self._faces else None

    def read(self, record: FaceRecord) -> Shown | None:
        """Return the mask of this very record, None if it has none, or raise MediaError."""
        if id(record) not in self._faces:
            return None
        face, _ = self._faces[id(record)]
        mask = None if face.files is None else read_mask(face.files, face.path.name)
        if mask is None:
            return None
        place = mask_from_frame(record, mask)
        if not (np.isfinite(place.matrix).all() and place.scale > _LEAST_SCALE):
            raise MediaError(
                "its record says that it shows nothing of its frame", seen_in=face.path
            )
        return Shown(to_float(mask), place)


def mask_from_frame(record: FaceRecord, mask: GreyImage) -> Similarity:
    """Return the transform to the pixels of a mask of an aligned picture, of whatever size."""
    return resizing(len(mask) / record.size_px).after(record.crop)
