"""From what the engines saw to the record that travels with the face."""

from dataclasses import dataclass

from faceswap_cli.config import ExtractConfig
from faceswap_cli.detect import Detection, Landmarks
from faceswap_cli.faces.pose import estimate_pose
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.faces.tracks import Box
from faceswap_cli.media.reader import Frame
from faceswap_cli.media.source import Source


def box_of(detection: Detection) -> Box:
    """Return left, top, right, bottom, frame pixels, to a hundredth."""
    left, top, right, bottom = (round(float(v), 2) for v in detection.box)
    return left, top, right, bottom


@dataclass(frozen=True)
class Describer:
    """Makes the records of one side."""

    section: ExtractConfig
    source: Source
    engines: tuple[str, str]
    """Names of detector and landmarker."""

    def record(
        self, frame: Frame, detection: Detection, marks: Landmarks, track: int
    ) -> FaceRecord:
        """Return all that is known about one face, rounded as it is stored.

        Raises:
            GeometryError: The landmarks are not finite or coincide.
        """
        section, size_wh = self.section, (frame.image.shape[1], frame.image.shape[0])
        landmarks = marks.points68.round(3)
        crop = crop_from_frame(landmarks, section.face_type, section.size_px)
        pitch, yaw, roll = (round(angle, 2) for angle in estimate_pose(landmarks, size_wh))
        mesh = None if marks.mesh is None else marks.mesh.round(2).tolist()
        return FaceRecord(
            face_type=section.face_type,
            size_px=section.size_px,
            landmarks_frame=tuple((x, y) for x, y in landmarks.tolist()),
            landmarks_crop=tuple((x, y) for x, y in crop.apply(landmarks).round(3).tolist()),
            mesh_frame=None if mesh is None else tuple((x, y, z) for x, y, z in mesh),
            crop_from_frame=(tuple(crop.matrix[0].tolist()), tuple(crop.matrix[1].tolist())),
            source_name=self.source.info.path.name,
            frame_name=self.source.frame_name(frame.index),
            frame_index=frame.index,
            frame_time_s=frame.time_s,
            frame_size_wh=size_wh,
            box=box_of(detection),
            score=round(detection.score, 4),
            pose_deg=(pitch, yaw, roll),
            track=track,
            engines=self.engines,
        )
