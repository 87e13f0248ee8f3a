"""Merged frames straight into an encoder, in segments that outlive a kill."""

from collections.abc import Callable, Set
from contextlib import ExitStack
from dataclasses import asdict
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

from faceswap_cli.files import Manifest, fingerprint
from faceswap_cli.media.encoding import Encoding, PictureForm
from faceswap_cli.media.label import draw_label
from faceswap_cli.media.patching import Patchers
from faceswap_cli.media.segments import WritePicture, open_segment, segment_suffix
from faceswap_cli.media.source import Source
from faceswap_cli.progress import Stopwatch
from faceswap_cli.rendering.flow import Ready
from faceswap_cli.rendering.ledger import segment_name
from faceswap_cli.rendering.plan import Plan
from faceswap_cli.workspace import Workspace

Made = tuple[Any, Fraction, Fraction]
"""A picture for the encoder, its time and its duration."""

MISSING = "missing: its whole segment cannot be encoded"


class Stream:
    """Segments of `length` frames in merged_stream/; use as a context manager.

    Args:
        workspace: Where they go.
        source: The footage.
        plan: Which faces.
        manifest: Is told each segment when it is whole.
        form: Of the pictures.
        encoding: How they are encoded.
        length: Frames of a segment.
        patched: Paint into the decoder's own pictures, so that no other sample changes.
        label: Written into every picture, which must not be patched then; empty: none.
        lost: Frames that cannot be made; it grows while they come.
        report: Is told the index of a frame that is missing, and why.
        watch: Is told where the time goes.
    """

    def __init__(
        self,
        workspace: Workspace,
        source: Source,
        plan: Plan,
        manifest: Manifest,
        *,
        form: PictureForm,
        encoding: Encoding,
        length: int,
        patched: bool,
        label: str = "",
        lost: Set[int] = frozenset(),
        report: Callable[[int, str], None],
        watch: Stopwatch,
    ) -> None:
        self._workspace, self._source, self._plan = workspace, source, plan
        self._manifest, self._form, self._encoding = manifest, form, encoding
        self._length, self._patched, self._report, self._watch = length, patched, report, watch
        self._stack, self._first, self._next = ExitStack(), -1, 0
        self._write: WritePicture | None = None
        self._common = fingerprint(
            footage=source.fingerprint(),
            encoding=asdict(encoding),
            length=length,
            patched=patched,
            label=label,
        )
        self._done = dict[int, bool]()
        self.num_dropped = 0
        """Frames that came, and whose segment was given up."""
        self._patchers, self._label, self._lost = Patchers(source.info), label, lost

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop the segment that is not whole."""
        self._stack.__exit__(kind, error, trace)

    def is_done(self, index: int) -> bool:
        """Tell whether the segment of a frame is whole, and as it would be made now."""
        first = index - index % self._length
        if first not in self._done:
            entry = self._manifest.items.get(segment_name(first))
            path = self._path(first)
            self._done[first] = (
                isinstance(entry, dict)
                and entry.get("key") == self._key(first)
                and path.is_file()
                and path.stat().st_size == entry.get("bytes")
            )
        return self._done[first]

    def begin(self, index: int) -> None:
        """Do nothing: a segment is named when it is whole."""

    def make(self, ready: Ready) -> Made:
        """Compose a frame; runs in a thread."""
        frame, picture = ready.frame, ready.frame.native if self._patched else ready.frame.image
        if ready.faces:
            with self._watch.timing("compose"):
                pasted = ready.paste()
                picture = pasted.image
            if self._patched:
                with self._watch.timing("patch"):
                    picture = self._patchers.mine().patch(
                        frame.native, pasted.image, frame.corner_xy, pasted.mask
                    )
        if self._label:
            picture = draw_label(picture, self._label, transfer=self._source.info.colour.transfer)
        return picture, frame.time_s, frame.duration_s

    def settle(self, index: int, made: Made) -> None:
        """Encode a frame."""
        first = index - index % self._length
        if first != self._first:
            self._close()
            self._open(first)
        if self._write is not None and index != self._next:
            self._give_up()
        if self._write is None:
            self.num_dropped += 1
            return
        with self._watch.timing("encode"):
            self._write(*made)
        self._next += 1
        if self._next == first + self._length:
            self._close()

    def finish(self) -> None:
        """Complete the last segment."""
        self._close()

    def _open(self, first: int) -> None:
        self._first = self._next = first
        path = self._path(first)
        self._write = self._stack.enter_context(open_segment(path, self._form, self._encoding))

    def _close(self) -> None:
        """Complete the present segment, and record it; drop it if its last frames are missing."""
        if self._write is None:
            return
        if self._next in self._lost and self._next < self._first + self._length:
            self._give_up()
            return
        with self._watch.timing("encode"):
            self._stack.close()
        self._write = None
        entry = {
            "key": self._key(self._first),
            "bytes": self._path(self._first).stat().st_size,
            "frames": self._next - self._first,
        }
        self._manifest.add(segment_name(self._first), entry)

    def _give_up(self) -> None:
        """Report the frame that is missing in the present segment, and remove what there is."""
        self._report(self._next, MISSING)
        self.num_dropped += self._next - self._first
        error = RuntimeError("a frame is missing")
        try:
            self._stack.__exit__(RuntimeError, error, None)
        except RuntimeError as raised:
            if raised is not error:
                raise
        self._stack, self._write = ExitStack(), None

    def _key(self, first: int) -> str:
        frames = range(first, first + self._length)
        return fingerprint(common=self._common, frames=[self._plan.key(i) for i in frames])

    def _path(self, first: int) -> Any:
        suffix = segment_suffix(self._encoding)
        return self._workspace.merged_stream / f"{first:06d}{suffix}"
