"""Merged frames, encoded piece by piece: what is finished outlives a kill."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from faceswap_cli import __version__
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import discard, fingerprint
from faceswap_cli.imaging import Picture, read_deep_image, read_layer
from faceswap_cli.media.codecs import ffmpeg_version
from faceswap_cli.media.encoding import Encoding, PictureForm
from faceswap_cli.media.label import draw_label
from faceswap_cli.media.reader import FrameTime
from faceswap_cli.media.segments import (
    SUFFIXES,
    open_segment,
    plan_segments,
    segment_suffix,
)
from faceswap_cli.progress import progress

FRAMES_AHEAD = 4  # decoded while the encoder works
UNSIGNED = "unsigned"


@dataclass(frozen=True)
class PieceWork:
    """How merged frames become pieces.

    Args:
        folder: Where the pieces are kept; nothing else is in it.
        form: Of the pictures.
        encoding: Of the pictures.
        length: Frames of a piece.
        label: Drawn into each frame; empty: none.
    """

    folder: Path
    form: PictureForm
    encoding: Encoding
    length: int
    label: str

    def encode(self, frames: Sequence[Path], times: Sequence[FrameTime]) -> list[Path]:
        """Return the pieces of all frames; those that are there, of the same files, are kept.

        Raises:
            MediaError: A frame cannot be read or has another size, the encoder fails, the
                disk is full. Finished pieces stay.
            WorkspaceError: A frame has gone.
        """
        pieces: list[Path] = []
        with progress("video", total=len(frames), unit="frame") as bar:
            for part in plan_segments(len(frames), self.length):
                paths, shown = frames[part.start : part.stop], times[part.start : part.stop]
                piece = self.folder / self._name(part.start, paths, shown)
                if piece.is_file():
                    bar.update(len(part))
                else:
                    self._encode(piece, paths, shown, lambda: bar.update())
                pieces.append(piece)
        return pieces

    def _name(self, first: int, paths: Sequence[Path], times: Sequence[FrameTime]) -> str:
        """Return a name that changes when anything changes of which the piece is made."""
        made_of = fingerprint(
            form=repr(self.form),
            encoding=repr(self.encoding),
            label=self.label,
            frames=[file_state(path) for path in paths],
            times=[str(timed.time_s - times[0].time_s) for timed in times],
            versions=[__version__, ffmpeg_version()],
        )
        return f"{first:06d}-{made_of}{segment_suffix(self.encoding)}"

    def _encode(
        self,
        piece: Path,
        paths: Sequence[Path],
        times: Sequence[FrameTime],
        done: Callable[[], object],
    ) -> None:
        with open_segment(piece, self.form, self.encoding) as write:
            for image, timed in zip(self._decoded(paths), times, strict=True):
                write(image, timed.time_s, timed.duration_s)
                done()

    def _decoded(self, paths: Sequence[Path]) -> Iterator[Picture]:
        """Yield the pictures in order, a few of them decoded ahead in threads."""
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(self._read, path) for path in paths[:FRAMES_AHEAD]]
            try:
                for path in paths[FRAMES_AHEAD:]:
                    yield waiting.pop(0).result()
                    waiting.append(pool.submit(self._read, path))
                for last in waiting:
                    yield last.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _read(self, path: Path) -> Picture:
        image = read_layer(path) if self.encoding.alpha else read_deep_image(path)
        if not self.label:
            return image
        return draw_label(image, self.label, transfer=self.form.colour.transfer)


def discard_pieces(folder: Path) -> None:
    """Remove the pieces of earlier runs, and what such a run has joined but not signed."""
    discard(*(path for suffix in SUFFIXES for path in folder.glob(f"[0-9]*-*{suffix}")))
    discard(*folder.glob(f"{UNSIGNED}.*"))


def unsigned_path(folder: Path, result: Path) -> Path:
    """Return where the joined file waits for being signed."""
    return folder / f"{UNSIGNED}{result.suffix}"


def file_state(path: Path) -> list[object]:
    """Return what tells a file from a later one of the same name, as JSON has it.

    Raises:
        WorkspaceError: It is not there.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise WorkspaceError(f"{path.name} has gone", seen_in=path.parent) from error
    return [path.name, stat.st_size, stat.st_mtime_ns]
