"""From a sighting to the record that travels with the face."""

from dataclasses import dataclass

import numpy as np

from faceswap_cli.config import ExtractConfig
from faceswap_cli.faces.pose import estimate_pose
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.sighting_store import Seen
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.media.reader import Frame
from faceswap_cli.types import RgbImage


@dataclass(frozen=True)
class Describer:
    """Makes the records of one clip."""

    section: ExtractConfig
    source_name: str
    engines: tuple[str, ...]
    """Names of detector, landmarker, ..."""

    def record(self, frame: Frame, frame_name: str, face: Seen) -> FaceRecord:
        """Return all that is known about one face, rounded as it is stored.

        Raises:
            GeometryError: The landmarks are not finite or coincide.
        """
        section, sighting = self.section, face.sighting
        landmarks = sighting.points68.round(3)
        crop = crop_from_frame(landmarks, section.face_type, section.size_px)
        pitch, yaw, roll = (round(v, 2) for v in estimate_pose(landmarks))
        mesh = None if sighting.mesh is None else sighting.mesh.round(2).tolist()
        return FaceRecord(
            face_type=section.face_type,
            size_px=section.size_px,
            landmarks_frame=tuple((x, y) for x, y in landmarks.tolist()),
            landmarks_crop=tuple((x, y) for x, y in crop.apply(landmarks).round(3).tolist()),
            mesh_frame=None if mesh is None else tuple((x, y, z) for x, y, z in mesh),
            crop_from_frame=(tuple(crop.matrix[0].tolist()), tuple(crop.matrix[1].tolist())),
            source_name=self.source_name,
            frame_name=frame_name,
            frame_index=frame.index,
            frame_time_s=frame.time_s,
            frame_size_wh=frame.size_wh,
            box=sighting.box,
            score=sighting.score,
            pose_deg=(pitch, yaw, roll),
            track=face.track,
            person=face.person,
            origin=sighting.origin,
            engines=self.engines,
        )


def cut(frame: Frame, record: FaceRecord) -> RgbImage:
    """Return the aligned picture of a face, (size_px, size_px, 3), from a frame or a part of it."""
    x, y = frame.corner_xy
    frame_from_part = Similarity(np.array([[1.0, 0.0, x], [0.0, 1.0, y]]))
    crop_from_part = record.crop.after(frame_from_part)
    return warp(frame.image, crop_from_part, size_wh=(record.size_px, record.size_px))
