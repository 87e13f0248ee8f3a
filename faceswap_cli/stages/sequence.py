"""Merged frames as numbered pictures, with the mattes of the new faces, for compositors."""

import logging
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceswap_cli import __version__
from faceswap_cli.config import InputConfig, VideoConfig
from faceswap_cli.errors import ConfigError, MediaError, WorkspaceError
from faceswap_cli.files import (
    Manifest,
    checksum,
    fingerprint,
    only_one,
    sweep_partials,
    write_atomic,
)
from faceswap_cli.imaging import read_bytes, read_deep_grey, read_deep_image, read_layer
from faceswap_cli.media.provenance import with_synthetic_mark
from faceswap_cli.media.sequences import KINDS, SUFFIXES, SequenceKind, encode_pictures
from faceswap_cli.media.source import Source, open_side
from faceswap_cli.progress import progress
from faceswap_cli.rendering.frame_times import frame_times
from faceswap_cli.rendering.merged import read_merged
from faceswap_cli.workspace import StageReport, Workspace

if TYPE_CHECKING:
    from faceswap_cli.media.signing import Signing

_log = logging.getLogger(__name__)

MAX_WRITERS = 16
NAMES = {"picture": "result", "matte": "matte"}


@dataclass(frozen=True)
class _Item:
    """One frame: what it is made of, and where it goes."""

    number: int
    made_from: dict[str, Path]
    """Of "picture" and "matte"."""

    @property
    def name(self) -> str:
        """As in the manifest."""
        return f"{self.number:06d}"

    def missing(self) -> list[Path]:
        """Return what is not there."""
        return [path for path in self.made_from.values() if not path.is_file()]


def run_sequence(
    workspace: Workspace, section: VideoConfig, inputs: InputConfig, *, redo: bool = False
) -> StageReport:
    """Write sequence/result.000000.png and matte.000000.png, and so on, or .tiff or .exr.

    The numbers are those of the frames of the footage, from 0. May be killed at any time. A
    picture is made again when its frame has changed; one that somebody else has put there, or
    has changed, is left alone and reported. With section.alpha it is the new face alone, of
    merged_layer/, and there are no mattes.

    Args:
        workspace: Holds the footage of dst, and a merged frame for each of its frames.
        section: Which kind, and whether with alpha.
        inputs: Which part of the footage.
        redo: Make all again, in place of whatever is there.

    Raises:
        ConfigError: section.sequence is "none".
        WorkspaceError: Merged frames, masks or layers are missing, or not of the last merge.
        MediaError: The footage cannot be read.
    """
    if section.sequence == "none":
        raise ConfigError("no kind of sequence is chosen", fix=f"one of {' '.join(KINDS)}")
    with only_one(workspace.stages, "sequence"):
        folder = workspace.root / "sequence"
        sweep_partials(workspace.stages, folder)
        source = open_side(workspace, "dst", inputs)
        items = _find_items(workspace, source, alpha=section.alpha)
        manifest = Manifest.open(workspace.manifest("sequence"), {}, redo=redo, mixed={})
        made = _Sequence(
            folder,
            section.sequence,
            transfer=source.info.colour.transfer,
            manifest=manifest,
            redo=redo,
            signing=_open_signing(workspace, section, source),
            signed_by=section.certificate,
        )
        made.run(items)
        made.warn_of_others(items)
        made.report.facts |= {"folder": str(folder), "kind": section.sequence}
        return made.report


def _open_signing(workspace: Workspace, section: VideoConfig, source: Source) -> "Signing | None":
    """Return what signs the pictures; None, and said so, if nobody asks for it or can."""
    if not section.credentials:
        _log.warning("the pictures are not signed, as asked: at most their metadata say what it is")
        return None
    if section.sequence == "exr":
        _log.warning("EXR files cannot hold credentials: the pictures are not signed")
        return None
    from faceswap_cli.media.credentials import prepare_key
    from faceswap_cli.media.signing import Signing

    key = prepare_key(section.certificate, section.private_key, workspace.credentials)
    path = source.info.path
    return Signing(key, parent=path if path.is_file() else None, tool_version=__version__)


def _find_items(workspace: Workspace, source: Source, *, alpha: bool) -> list[_Item]:
    """Return what each frame of the footage is made from.

    Raises:
        WorkspaceError: Some of it is missing, or not of the last merge.
    """
    merged = read_merged(workspace, source)
    merged.check_files(alpha=alpha)
    folder, suffix = merged.folder_and_suffix(alpha=alpha)
    items = []
    for timed in frame_times(source, workspace.times("dst")):
        stem = source.frame_name(timed.index)
        made_from = {"picture": folder / f"{stem}{suffix}"}
        if not alpha:
            made_from["matte"] = workspace.merged_masks / f"{stem}.png"
        items.append(_Item(timed.index, made_from))
    missing = [path for item in items for path in item.missing()]
    if missing:
        how = " --layer" if alpha else ""
        raise WorkspaceError(
            f"{len(missing)} merged pictures are missing, the first is {missing[0].name}",
            seen_in=missing[0].parent,
            fix=f"faceswap-cli merge {workspace.root}{how}",
        )
    return items


@dataclass
class _Sequence:
    """One run."""

    folder: Path
    kind: SequenceKind
    transfer: int
    manifest: Manifest
    redo: bool
    signing: "Signing | None" = None
    signed_by: str = ""
    """The certificate, if it is the user's own."""
    report: StageReport = field(default_factory=lambda: StageReport("sequence"))

    def run(self, items: list[_Item]) -> None:
        """Write what is not there yet, in threads, a few pictures at a time."""
        num_threads = min(os.cpu_count() or 1, MAX_WRITERS)
        waiting: deque[tuple[_Item, Future[dict[str, Any]]]] = deque()
        with (
            progress("sequence", total=len(items), unit="frame") as bar,
            ThreadPoolExecutor(num_threads) as pool,
        ):
            try:
                for item in items:
                    if self._is_wanted(item):
                        self._begin(item)
                        waiting.append((item, pool.submit(self._write, item)))
                    if len(waiting) > 2 * num_threads:
                        self._settle(*waiting.popleft())
                    bar.update()
                while waiting:
                    self._settle(*waiting.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def warn_of_others(self, items: list[_Item]) -> None:
        """Say so if pictures of an earlier, longer run stand behind those of this one."""
        ours = {path.name for item in items for path in self._paths(item).values()}
        pattern = f".[0-9]*{SUFFIXES[self.kind]}"
        found = [path for name in NAMES.values() for path in self.folder.glob(name + pattern)]
        others = sorted(path.name for path in found if path.name not in ours)
        if others:
            _log.warning(
                "%s: %d pictures are not of this sequence, the first is %s: move them away",
                *(self.folder, len(others), others[0]),
            )

    def _is_wanted(self, item: _Item) -> bool:
        """Tell whether a frame is to be written; count it if not."""
        name = self._name(item)
        entry = self.manifest.items.get(name)
        is_there = all(path.exists() for path in self._paths(item).values())
        if is_there and isinstance(entry, dict) and entry["key"] == self._key(item):
            self.report.kept += 1
            return False
        foreign = next((p for p in self._paths(item).values() if self._is_foreign(p, name)), None)
        if foreign is not None:
            self.report.failed[foreign.name] = (
                "not made by this stage, or changed since: move it away, or add --redo"
            )
        return foreign is None

    def _is_foreign(self, path: Path, name: str) -> bool:
        if self.redo or not path.exists():
            return False
        if name not in self.manifest.items or not path.is_file():
            return True
        entry = self.manifest.items[name]  # None: we were killed while we wrote it
        return entry is not None and entry["files"].get(path.name) != checksum(read_bytes(path))

    def _begin(self, item: _Item) -> None:
        """Say that these files are going to be ours."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.manifest.add(self._name(item), None)

    def _write(self, item: _Item) -> dict[str, Any]:
        """Write the files of a frame; runs in a thread. Returns its line of the manifest."""
        key = self._key(item)  # before it is read: should it change meanwhile, it is made again
        matte = item.made_from.get("matte")
        picture = item.made_from["picture"]
        files = encode_pictures(
            self.kind,
            read_deep_image(picture) if matte else read_layer(picture),
            read_deep_grey(matte) if matte else None,
            self.transfer,
        )
        paths = self._paths(item)
        if paths["picture"].suffix == ".png":
            files["picture"] = with_synthetic_mark(files["picture"], __version__)
        if self.signing is not None:
            name = paths["picture"]
            files["picture"] = self.signing.sign_picture(
                files["picture"], name.suffix, title=name.name
            )
        for part, data in files.items():
            write_atomic(paths[part], data)
        return {"key": key, "files": {paths[part].name: checksum(files[part]) for part in files}}

    def _settle(self, item: _Item, written: Future[dict[str, Any]]) -> None:
        try:
            self.manifest.add(self._name(item), written.result())
            self.report.done += 1
        except MediaError as error:
            self.report.failed[item.name] = error.what

    def _name(self, item: _Item) -> str:
        return f"{item.name}{SUFFIXES[self.kind]}"

    def _paths(self, item: _Item) -> dict[str, Path]:
        """Return the files of a frame; the matte of an EXR is its channel A."""
        parts = ["picture"] if self.kind == "exr" else list(item.made_from)
        return {part: self.folder / f"{NAMES[part]}.{self._name(item)}" for part in parts}

    def _key(self, item: _Item) -> str:
        stats = [path.stat() for path in item.made_from.values()]
        return fingerprint(
            kind=self.kind,
            transfer=self.transfer,
            signed=self.signing and self.signed_by,
            made_from=[str(path.parent.name) for path in item.made_from.values()],
            seen=[(stat.st_size, stat.st_mtime_ns) for stat in stats],
        )
