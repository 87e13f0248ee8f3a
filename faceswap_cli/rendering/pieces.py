"""Merged frames, encoded piece by piece: what is finished outlives a kill."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

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
from faceswap_cli.media.source import Source
from faceswap_cli.progress import progress
from faceswap_cli.rendering.merged import FrameFile
from faceswap_cli.rendering.originals import Originals, Repainter

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
        footage: What was painted goes into its own pictures, so that no other sample changes;
            see can_repaint. None: whole pictures are converted.
    """

    folder: Path
    form: PictureForm
    encoding: Encoding
    length: int
    label: str
    footage: Source | None = None

    def encode(self, frames: Sequence[FrameFile], times: Sequence[FrameTime]) -> list[Path]:
        """Return the pieces of all frames; those that are there, of the same files, are kept.

        Raises:
            MediaError: A frame, or the footage, cannot be read, a frame has another size, the
                encoder fails, the disk is full. Finished pieces stay.
            WorkspaceError: A frame has gone.
        """
        pieces: list[Path] = []
        with (
            progress("video", total=len(frames), unit="frame") as bar,
            closing(Originals(self.footage)) as originals,
        ):
            for part in plan_segments(len(frames), self.length):
                files, shown = frames[part.start : part.stop], times[part.start : part.stop]
                piece = self.folder / self._name(part.start, files, shown)
                if piece.is_file():
                    bar.update(len(part))
                else:
                    pictures = self._pictures(files, map(originals.find, shown))
                    self._encode(piece, pictures, shown, lambda: bar.update())
                pieces.append(piece)
        return pieces

    def _name(self, first: int, files: Sequence[FrameFile], times: Sequence[FrameTime]) -> str:
        """Return a name that changes when anything changes of which the piece is made."""
        repainted = self.footage and {
            "footage": self.footage.fingerprint(),
            "painted": [painted_state(file) for file in files],
        }
        made_of = fingerprint(
            form=repr(self.form),
            encoding=repr(self.encoding),
            label=self.label,
            frames=[file_state(file.path) for file in files],
            times=[str(timed.time_s - times[0].time_s) for timed in times],
            versions=[__version__, ffmpeg_version()],
            **(repainted or {}),
        )
        return f"{first:06d}-{made_of}{segment_suffix(self.encoding)}"

    def _encode(
        self,
        piece: Path,
        pictures: Iterator[Any],
        times: Sequence[FrameTime],
        done: Callable[[], object],
    ) -> None:
        with open_segment(piece, self.form, self.encoding) as write:
            for picture, timed in zip(pictures, times, strict=True):
                write(picture, timed.time_s, timed.duration_s)
                done()

    def _pictures(self, files: Sequence[FrameFile], natives: Iterator[Any]) -> Iterator[Any]:
        """Yield what to encode in order, a few pictures ahead, which are made in threads."""
        waiting = deque[Future[Any]]()
        with ThreadPoolExecutor(2) as pool:
            try:
                for file, native in zip(files, natives, strict=True):
                    if len(waiting) == FRAMES_AHEAD:
                        yield waiting.popleft().result()
                    waiting.append(pool.submit(self._picture, file, native))
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _picture(self, file: FrameFile, native: Any) -> Any:
        """Return a picture as WritePicture takes it."""
        if self._repainter is None or native is None:
            return self._read(file.path)
        return self._repainter.picture(file, native)

    @cached_property
    def _repainter(self) -> Repainter | None:
        return Repainter(self.footage.info, self.encoding) if self.footage else None

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


def painted_state(file: FrameFile) -> list[object]:
    """Return what tells whether a frame, and its mask, are as merge has written them."""
    return [file_state(file.mask) if file.mask.is_file() else None, file.noted]


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
