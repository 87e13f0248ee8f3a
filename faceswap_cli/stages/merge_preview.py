"""A few merged frames on one sheet, in seconds: before a night is spent on all of them."""

from collections.abc import Iterator, Sequence

import numpy as np

from faceswap_cli.config import InputConfig, MergeConfig
from faceswap_cli.device import choose_device, shared_cores
from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.imaging import write_image
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame
from faceswap_cli.progress import Stopwatch, progress
from faceswap_cli.rendering.flow import Flow
from faceswap_cli.rendering.overrides import with_overrides
from faceswap_cli.rendering.setting import Setting, set_up
from faceswap_cli.rendering.tiles import face_tile, in_rows, table
from faceswap_cli.types import RgbImage
from faceswap_cli.workspace import StageReport, Workspace

COLUMNS = 4


def run_preview(
    workspace: Workspace,
    section: MergeConfig,
    inputs: InputConfig,
    *,
    frames: int,
    compare: Sequence[str] = (),
) -> StageReport:
    """Merge some frames, spread over all that have a face, and show them on one sheet.

    Nothing of a merge is touched. With `compare`, each frame has a row: the footage, and one
    tile for each of the settings, with their names.

    Args:
        workspace: As of run_merge.
        section: How the face is put in.
        inputs: Which part of the footage.
        frames: How many.
        compare: Settings to lay over `section`, `colour=mkl mode=seamless`; one tile each.

    Raises:
        ConfigError: A setting to compare is none.
        WorkspaceError, MediaError, DeviceError: As run_merge.
    """
    device = choose_device(section.device)
    sections = [with_overrides(section, text) for text in compare] or [section]
    report, columns = StageReport("merge preview"), []
    with shared_cores(device):
        setting = set_up(workspace, section, inputs, device, others=sections)
        chosen = spread(list(setting.plan.faces), frames)
        for one, name in zip(sections, compare or ["merged"], strict=True):
            columns.append(_merged(setting.looking(one), chosen, report.failed, name=name))
    first = columns[0]
    if not first:
        raise MediaError(
            f"none of the frames can be merged: {'; '.join(report.failed.values())}",
            seen_in=setting.source.info.path,
            fix=f"faceswap-cli merge {workspace.root}, which goes on with all others",
        )
    if compare:
        rows: list[Sequence[RgbImage]] = [
            [first[index][0], *(column[index][1] for column in columns)] for index in first
        ]
    else:
        rows = in_rows([tile for pair in first.values() for tile in pair], COLUMNS)
    target = workspace.reports / ("merge_compare.png" if compare else "merge_preview.png")
    write_image(target, table(rows))
    report.done = len(first)
    report.facts |= {"sheet": str(target), "frames": list(first)}
    return report


def spread(frames: Sequence[int], number: int) -> list[int]:
    """Return so many of the frames that have a face, evenly spread."""
    there = sorted(frames)
    if not there:
        raise WorkspaceError("no frame has a face that is replaced", fix="see --face and --person")
    places = np.linspace(0, len(there) - 1, min(number, len(there))).round().astype(int)
    return [there[place] for place in dict.fromkeys(places.tolist())]


def _merged(
    setting: Setting, chosen: Sequence[int], failed: dict[str, str], *, name: str
) -> dict[int, tuple[RgbImage, RgbImage]]:
    """Return the tiles of footage and of merged frames, by frame index; note those that fail."""
    wanted, last = setting.plan.needed(chosen), max(chosen)
    tiles: dict[int, tuple[RgbImage, RgbImage]] = {}

    def fail(index: int, reason: str) -> None:
        if index in chosen:  # of others, only what was to be smoothed with them is missing
            failed[setting.source.frame_name(index)] = reason

    flow = Flow(
        setting.plan,
        setting.studio.artists,
        setting.masks,
        report=fail,
        check=setting.check,
        watch=Stopwatch(),
    )

    def good() -> Iterator[Frame]:
        for frame in setting.source.frames(lambda index: index in wanted, deep=setting.deep):
            if isinstance(frame, BadFrame):
                fail(frame.index, frame.reason)
            else:
                yield frame

    with progress(name, total=len(chosen), unit="frame") as bar:
        for ready in flow.run(good(), lambda index: index in set(chosen)):
            if ready.look is not None:
                index, image = ready.frame.index, ready.frame.image
                points = setting.plan.faces[index][0].landmarks
                pasted = ready.paste()
                tiles[index] = (
                    face_tile(image, points, f"dst {index}"),
                    face_tile(pasted.image, points, name),
                )
            bar.update()
            if ready.frame.index >= last:
                break
    return tiles
