"""What a workspace holds, what is missing, and what to run next. Reads headers only."""

import json
import re
import tomllib
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from faceswap_cli.config import Config
from faceswap_cli.config_merge import CONTAINERS
from faceswap_cli.errors import FaceswapError
from faceswap_cli.faces.metadata import read_comment
from faceswap_cli.faces.store import FaceFiles, find_aligned, open_files
from faceswap_cli.files import read_manifest
from faceswap_cli.media.source import open_side
from faceswap_cli.rendering.ledger import count_merged, is_complete
from faceswap_cli.settings import load_config
from faceswap_cli.types import SIDES, Side
from faceswap_cli.workspace import Workspace

NUM_LISTED = 8
_CHECKPOINT = re.compile(r"iter_(\d+)\.safetensors")
_HEADER_BYTES = 256 * 1024  # holds a record with its mesh many times over


@dataclass
class SideStatus:
    """What there is of src or dst."""

    footage: str = ""
    """File or folder; empty: none."""
    size_wh: tuple[int, int] = (0, 0)
    rate: float = 0.0
    """Frames a second, the mean."""
    duration_s: float = 0.0
    frames: int = 0
    """In the span, about."""
    span: str = ""
    extracted_frames: int = 0
    faces: int = 0
    skipped: int = 0
    """Pictures among the aligned ones that cannot be used."""
    people: list[dict[str, Any]] = field(default_factory=list)
    """As people.json has them, most often seen first."""
    problem: str = ""


@dataclass
class Status:
    """A workspace at a glance."""

    workspace: str
    src: SideStatus = field(default_factory=SideStatus)
    dst: SideStatus = field(default_factory=SideStatus)
    iteration: int = 0
    """Of the newest checkpoint; 0: there is none."""
    iterations: int = 0
    """How many the last training was to have, or the settings say."""
    merged: int = 0
    results: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    next: str = ""
    """The next command; empty: all is done."""

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        return asdict(self)

    def text(self) -> str:
        """Return it as lines for people."""
        trained = f"iteration {self.iteration} of {self.iterations}" if self.iteration else "none"
        lines = [
            f"workspace: {self.workspace}",
            *_side_lines("src", self.src),
            *_side_lines("dst", self.dst),
            f"model: {trained}",
            f"merged: {self.merged} of {self.dst.frames or '?'} frames",
            f"result: {', '.join(self.results) or 'none'}",
            f"missing: {', '.join(self.missing) or 'nothing'}",
        ]
        return "\n".join([*lines, f"next: {self.next}"] if self.next else lines)


def read_status(workspace: Workspace, *, shown_as: Path | None = None) -> Status:
    """Look at a workspace, and change nothing.

    Args:
        workspace: Of this program or of DeepFaceLab.
        shown_as: How its path is spelt in the next command; None: in full.

    Raises:
        ConfigError: config.toml cannot be used.
    """
    config = load_config(workspace.config)
    root = str(shown_as or workspace.root)
    status = Status(root, iterations=_iterations(workspace, config))
    for side in SIDES:
        setattr(status, side, _read_side(workspace, side, config))
    status.iteration = _newest_iteration(workspace.model)
    merged_by, merged = read_manifest(workspace.manifest("merge"))
    is_stream = bool(merged_by.get("stream"))
    status.merged = count_merged(merged, stream=is_stream)
    results = [workspace.result(container) for container in CONTAINERS]
    status.results = [path.name for path in results if path.is_file()]
    merge = "" if is_complete(merged) and status.merged >= max(status.dst.frames, 1) else "merge"
    merge += " --stream" if merge and is_stream else ""
    status.missing, status.next = _what_next(workspace, status, root, merge=merge)
    return status


def _read_side(workspace: Workspace, side: Side, config: Config) -> SideStatus:
    found = SideStatus(span=str(getattr(config.input, f"{side}_span")))
    found.faces, found.skipped = _count_faces(find_aligned(workspace, side))
    found.extracted_frames = len(read_manifest(workspace.manifest(f"extract-{side}"))[1])
    found.people = _read_people(workspace.people(side) / "people.json")
    try:
        source = open_side(workspace, side, config.input)
    except FaceswapError as error:
        found.problem = error.what
        return found
    info = source.info
    found.footage, found.size_wh = info.path.name, info.size_wh
    found.rate = round(float(info.average_rate), 3)
    found.duration_s = round(float(info.duration_s or 0), 3)
    found.frames = source.num_frames_hint or 0
    return found


def _read_people(path: Path) -> list[dict[str, Any]]:
    try:
        people = json.loads(path.read_text("utf-8"))["people"]
        return [{"person": int(p["person"]), "faces": int(p["faces"])} for p in people]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _count_faces(place: Path) -> tuple[int, int]:
    """Return how many pictures describe themselves, and how many do not."""
    try:
        with closing(open_files(place)) as files:
            seen = [_describes_itself(files, name) for name in files.names()]
    except FaceswapError:  # a pack that cannot be opened
        return 0, 1
    return sum(seen), len(seen) - sum(seen)


def _describes_itself(files: FaceFiles, name: str) -> bool:
    try:
        text = read_comment(files.head(name, _HEADER_BYTES))
    except FaceswapError:
        return False
    return text is not None and '"schema_version"' in text


def _newest_iteration(model: Path) -> int:
    names = [path.name for path in model.glob("iter_*.safetensors")]
    found = [int(match[1]) for name in names if (match := _CHECKPOINT.fullmatch(name))]
    return max(found, default=0)


def _iterations(workspace: Workspace, config: Config) -> int:
    """Return how long the training is to be: the last run may have been told by a flag."""
    path = workspace.settings("train")
    try:
        saved = tomllib.loads(path.read_text("utf-8"))["train"]["iterations"]
    except (OSError, ValueError, KeyError, TypeError):
        return config.train.iterations
    return saved if isinstance(saved, int) else config.train.iterations


def _what_next(
    workspace: Workspace, status: Status, root: str, *, merge: str
) -> tuple[list[str], str]:
    """Return what is missing, in the order of the stages, and the command for the first.

    Args:
        workspace: That is looked at.
        status: What was found in it.
        root: How its path is spelt.
        merge: The command of a merge that is not there, or not whole; empty: it is.
    """
    sides: dict[Side, SideStatus] = {"src": status.src, "dst": status.dst}
    no_footage = [side for side in SIDES if not sides[side].footage]
    no_faces = [side for side in SIDES if not sides[side].faces or _is_cut_short(sides[side])]
    unmade: list[tuple[str, str]] = []
    if "dst" in no_footage or set(no_footage) & set(no_faces):
        command = f"init {root} --src VIDEO_OR_FOLDER --dst VIDEO_OR_FOLDER"
        unmade.append((f"footage of {' and '.join(no_footage)}", command))
    if no_faces:
        one_side = f" --side {no_faces[0]}" if len(no_faces) == 1 else ""
        unmade.append((f"faces of {' and '.join(no_faces)}", f"extract {root}{one_side}"))
    if status.iteration < status.iterations:
        # A training that was begun goes on only with the settings it was begun with.
        begun = status.iteration and workspace.settings("train").exists()
        config = f" --config {root}/stages/train.toml" if begun else ""
        unmade.append(("training" if status.iteration else "a model", f"train {root}{config}"))
    if merge:
        command, *flags = merge.split()
        unmade.append(("merged frames", " ".join([command, root, *flags])))
    if not status.results or _is_stale(workspace, status.results):
        unmade.append(("an up-to-date result" if status.results else "a result", f"video {root}"))
    missing = [what for what, _ in unmade]
    return missing, f"faceswap-cli {unmade[0][1]}" if unmade else ""


def _is_cut_short(side: SideStatus) -> bool:
    """Whether extract was stopped; the number of frames is only the header's claim."""
    return bool(side.extracted_frames) and side.extracted_frames < side.frames - 2


def _is_stale(workspace: Workspace, results: list[str]) -> bool:
    newest = max((workspace.root / name).stat().st_mtime for name in results)
    merged = workspace.manifest("merge")
    return merged.exists() and merged.stat().st_mtime > newest


def _side_lines(name: str, side: SideStatus) -> list[str]:
    if side.footage:
        width, height = side.size_wh
        span = f", used: {side.span} s" if side.span else ""
        footage = (
            f"{side.footage} ({width}x{height}, {side.rate:g} frames/s, {side.duration_s:g} s"
            f"{span}, about {side.frames} frames)"
        )
    else:
        footage = f"none: {side.problem}"
    skipped = f", {side.skipped} pictures that cannot be used" if side.skipped else ""
    lines = [f"{name}: {footage}", f"{name} faces: {side.faces}{skipped}"]
    people = [f"{person['person']} ({person['faces']} faces)" for person in side.people]
    if people:
        more = f" and {len(people) - NUM_LISTED} more" if len(people) > NUM_LISTED else ""
        lines.append(f"{name} people: {', '.join(people[:NUM_LISTED])}{more}")
    return lines
