"""The demo's footage, from two portraits that ship inside scikit-image and matplotlib.

Eileen Collins (NASA) and Grace Hopper (US Navy): both pictures are in the public domain.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from faceswap_cli.detect import build_detector, build_landmarker
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import Manifest
from faceswap_cli.geometry import resizing, warp
from faceswap_cli.imaging import read_image, write_image
from faceswap_cli.media.clip import write_clip
from faceswap_cli.media.reader import probe_video, read_frames
from faceswap_cli.progress import progress
from faceswap_cli.puppet import Pose, Puppet, build_puppet
from faceswap_cli.types import SIDES, RgbImage, Side
from faceswap_cli.workspace import StageReport, Workspace

RATE = Fraction(25)
STRIP_TIMES = (0.05, 0.28, 0.5, 0.72, 0.95)  # of the length of the result
STRIP_WIDTH_PX = 320
_GAP_PX = 4


@dataclass(frozen=True)
class Act:
    """How one portrait moves."""

    length_s: int
    size_wh: tuple[int, int]
    middle: tuple[float, float]
    """The (x, y) of the portrait in the middle of the clip."""
    zoom: float
    tone_hz: float
    hurry: float
    """Pace of the motion: two clips of one pace would have the same poses at the same times."""


ACTS: dict[Side, Act] = {
    "src": Act(5, (480, 480), middle=(232, 200), zoom=1.22, tone_hz=330.0, hurry=1.0),
    "dst": Act(4, (480, 560), middle=(258, 288), zoom=1.07, tone_hz=440.0, hurry=0.83),
}


def make_clips(workspace: Workspace) -> StageReport:
    """Make data_src.mp4 and data_dst.mp4 of moving portraits; those that are made are kept.

    Raises:
        WorkspaceError: Footage is there that the demo did not make.
    """
    report = StageReport("demo")
    manifest = Manifest.open(workspace.manifest("demo"), {"acts": repr(ACTS)})
    for side in SIDES:
        path = workspace.root / f"data_{side}.mp4"
        if path.name in manifest.items and path.is_file():  # a clip appears only when whole
            report.kept += 1
            continue
        if workspace.videos(side) and path.name not in manifest.items:
            raise WorkspaceError(
                f"the workspace has other footage of {side}: {workspace.videos(side)[0].name}",
                seen_in=workspace.root,
                fix="give the demo a folder of its own: faceswap-cli demo FOLDER",
            )
        act = ACTS[side]
        write_clip(path, _play(act, _portrait(side), side), rate=RATE, tone_hz=act.tone_hz)
        manifest.add(path.name, act.length_s)
        report.done += 1
    return report


def pose_at(time_s: float, act: Act) -> Pose:
    """Return the pose at a time: slow waves whose periods do not meet within a clip."""

    def wave(period_s: float, phase: float) -> float:
        return math.sin(2.0 * math.pi * (time_s * act.hurry / period_s + phase))

    return Pose(
        yaw_deg=13.0 * wave(3.1, 0.0),
        pitch_deg=7.0 * wave(2.3, 0.15) + 1.5 * wave(0.9, 0.4),
        roll_deg=4.0 * wave(4.3, 0.3),
        zoom=act.zoom * (1.0 + 0.05 * wave(3.7, 0.1)),
        shift_px=(10.0 * wave(2.9, 0.05), 6.0 * wave(3.3, 0.6)),
        brightness=1.0 + 0.06 * wave(2.6, 0.75),
    )


def draw_strip(workspace: Workspace, container: str) -> StageReport:
    """Write before_after.png: a column for each of five times; src, dst and result below."""
    result = workspace.result(container)
    paths = [*(workspace.root / f"data_{side}.mp4" for side in SIDES), result]
    rows = [np.hstack(_with_gaps(_moments(path), axis=1)) for path in paths]
    strip = workspace.root / "before_after.png"
    write_image(strip, np.vstack(_with_gaps(rows, axis=0)))
    facts = {"before and after": str(strip), "result": str(result)}
    return StageReport("strip", done=1, facts=facts)


def _portrait(side: Side) -> RgbImage:
    # Here, since both cost a second to import, and only the demo needs them.
    if side == "src":
        from skimage.data import astronaut

        return np.asarray(astronaut(), np.uint8)
    from matplotlib import cbook

    return read_image(Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))


def _play(act: Act, portrait: RgbImage, side: Side) -> Iterator[RgbImage]:
    puppet = _puppet_of(portrait)
    num_frames = act.length_s * int(RATE)
    with progress(f"clip {side}", total=num_frames, unit="frame") as bar:
        for index in range(num_frames):
            pose = pose_at(float(index / RATE), act)
            yield puppet.draw(pose, middle=act.middle, size_wh=act.size_wh)
            bar.update()


def _puppet_of(portrait: RgbImage) -> Puppet:
    [faces] = build_detector(device="cpu", min_score=0.5).detect([portrait])
    largest = max(faces, key=lambda face: float(face.box[2] - face.box[0]))
    [[found]] = build_landmarker("mesh", device="cpu").locate([portrait], [[largest]])
    if found.mesh is None:
        raise ValueError("the mesh landmarker gave no mesh")
    return build_puppet(portrait, found.mesh)


def _moments(path: Path) -> list[RgbImage]:
    """Return the frames at STRIP_TIMES, STRIP_WIDTH_PX wide."""
    info = probe_video(path)
    count = info.num_frames_hint or round((info.duration_s or 0) * info.average_rate)
    wanted = {min(count - 1, round(share * count)) for share in STRIP_TIMES}
    width, height = info.size_wh
    factor = STRIP_WIDTH_PX / width
    return [
        warp(frame.image, resizing(factor), size_wh=(STRIP_WIDTH_PX, round(height * factor)))
        for frame in read_frames(path, wanted=wanted.__contains__)
    ]


def _with_gaps(pictures: list[RgbImage], *, axis: int) -> list[RgbImage]:
    pad = [(0, 0)] * 3
    pad[axis] = (0, _GAP_PX)
    return [np.pad(picture, pad, constant_values=255) for picture in pictures]
