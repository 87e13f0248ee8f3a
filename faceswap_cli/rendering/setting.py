"""Everything that a merge works with, opened and checked against each other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from faceswap_cli.config import InputConfig, MergeConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import ConfigError, GeometryError, WorkspaceError
from faceswap_cli.faces.faceset import Faceset, open_faceset
from faceswap_cli.faces.store import find_aligned
from faceswap_cli.faces.templates import FACE_TYPES, crop_from_frame
from faceswap_cli.geometry import bounding_box
from faceswap_cli.media.reader import Frame, PartBox
from faceswap_cli.media.source import Source, open_side
from faceswap_cli.media.span import FrameRanges
from faceswap_cli.merging.beard import EDGE
from faceswap_cli.merging.choose import check_origin, check_time
from faceswap_cli.merging.shown import FaceMasks
from faceswap_cli.rendering.artists import Studio, open_studio
from faceswap_cli.rendering.looks import Looks, asked_masks
from faceswap_cli.rendering.people import Chosen, choose
from faceswap_cli.rendering.plan import Placed, Plan
from faceswap_cli.workspace import Workspace

SHAVE_REACH, SHAVE_MARGIN = 1.5, 3.0
"""How much further than it is asked for a shave may look: a turned head; per cent of the face."""

CUBIC_PX = 3
"""How far beyond a pixel the resampling looks, and one to round."""


@dataclass
class Setting:
    """What is merged, by whom, and how."""

    workspace: Workspace
    source: Source
    chosen: dict[int, list[Chosen]]
    plan: Plan
    studio: Studio
    masks: FaceMasks
    deep: bool
    """Frames have 16 bits."""
    skipped: dict[str, str]
    """Aligned pictures that were left out, and why."""

    @property
    def bits(self) -> int:
        """Of a component of the pictures that are encoded."""
        return max(self.source.info.depth, 9) if self.deep else 8

    def looking(self, section: MergeConfig) -> "Setting":
        """Return the same with the looks of other settings; who draws what is not changed."""
        looks = Looks(section, transfer=self.source.info.colour.transfer)
        plan = Plan(self.chosen, looks, self.masks, self.studio.fingerprints)
        return replace(self, plan=plan)

    def check(self, face: Placed, frame: Frame) -> None:
        """Make sure that a face belongs to a frame, or raise WorkspaceError."""
        check_time(face.chosen.record, frame, self.source, self.workspace.aligned("dst"))


def set_up(
    workspace: Workspace,
    section: MergeConfig,
    inputs: InputConfig,
    device: Device,
    *,
    others: Sequence[MergeConfig] = (),
) -> Setting:
    """Open the footage, its faces and the models; errors as run_merge.

    Args:
        workspace: Where they are.
        section: How faces are drawn and put in.
        inputs: Which part of the footage.
        device: Where networks run.
        others: Further looks that `Setting.looking` will be asked for.
    """
    source = open_side(workspace, "dst", inputs)
    faceset = _open_faces(workspace)
    chosen = choose(
        [face.record for face in faceset.faces],
        section,
        excluded=FrameRanges.parse(inputs.dst_exclude),
        other_clips={path.name for path in workspace.more_videos("dst")},
    )
    records = {index: [face.record for face in faces] for index, faces in chosen.items()}
    check_origin(records, source, workspace.aligned("dst"))
    looks = [Looks(one, transfer=source.info.colour.transfer) for one in (section, *others)]
    studio = open_studio(
        workspace,
        section,
        device,
        faceset,
        records,
        models=sorted({face.model for faces in chosen.values() for face in faces}),
        masks=asked_masks([look for one in looks for look in one.all()]),
    )
    masks = FaceMasks(faceset, respected=section.respect_masks)
    plan = Plan(chosen, looks[0], masks, studio.fingerprints)
    deep = _is_deep(section, source)
    return Setting(workspace, source, chosen, plan, studio, masks, deep, faceset.skipped)


def part_of(setting: Setting, index: int) -> PartBox | None:
    """Return the box of a frame that holds all that is looked at and painted; None: no face."""
    corners, pad_px = [], 0.0
    for face in setting.plan.faces.get(index, []):
        artist, look = setting.studio.artists[face.chosen.model], setting.plan.look(index)
        side = artist.size_px
        try:
            frame_from_crop = crop_from_frame(face.landmarks, artist.face_type, side).inverse()
        except GeometryError:  # whoever cuts it out reports it
            continue
        square = np.array([[0, 0], [side, 0], [0, side], [side, side]], np.float64) - 0.5
        corners.append(frame_from_crop.apply(square))
        if look.shave > 0.0:  # beside the jaw, as far as a beard is looked for
            face_px = side * frame_from_crop.scale / FACE_TYPES[artist.face_type].side
            around = SHAVE_REACH * (look.shave + EDGE + SHAVE_MARGIN) / 100.0 * face_px
            corners += [face.landmarks[:17] - around, face.landmarks[:17] + around]
        moved = max(0.0, look.face_scale) + max(abs(look.face_x), abs(look.face_y))
        # A crop that shrinks is low-passed, over three standard deviations, before it is cut.
        resampled_px = 1.5 * frame_from_crop.scale + CUBIC_PX
        pad_px = max(pad_px, moved / 100.0 * side * frame_from_crop.scale + resampled_px)
    if not corners:
        return None
    size_wh = setting.source.info.size_wh
    left, top, right, bottom = bounding_box(np.concatenate(corners), size_wh, pad=pad_px)
    return left, top, right, bottom


def _open_faces(workspace: Workspace) -> Faceset:
    """Return the aligned faces of dst, or raise WorkspaceError if there is not one."""
    folder = find_aligned(workspace, "dst")
    faceset = open_faceset(folder)
    if not faceset.faces:
        skipped = f", and {len(faceset.skipped)} pictures that are none" if faceset.skipped else ""
        raise WorkspaceError(
            f"no aligned face of dst{skipped}",
            seen_in=folder,
            fix=f"faceswap-cli extract {workspace.root} --side dst",
        )
    return faceset


def _is_deep(section: MergeConfig, source: Source) -> bool:
    """Tell whether frames are kept with 16 bits.

    Raises:
        ConfigError: 16 bits are asked for in a JPEG.
    """
    if section.depth == "16" and section.format == "jpg" and not section.stream:
        raise ConfigError("merge.depth=16: a jpg has 8 bits", fix="--format png, or --depth 8")
    if section.depth != "auto":
        return section.depth == "16"
    return source.info.depth > 8 and (section.stream or section.format == "png")
