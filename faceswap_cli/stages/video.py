"""The last stage: merged frames -> a video with the times and the sound of the footage."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceswap_cli import __version__
from faceswap_cli.config import InputConfig, VideoConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import Manifest, discard, fingerprint, only_one, sweep_partials
from faceswap_cli.imaging import read_deep_image, read_layer
from faceswap_cli.media.encoding import PictureForm, check_encoding
from faceswap_cli.media.extras import ExtrasPlan, plan_extras
from faceswap_cli.media.oddities import find_oddities
from faceswap_cli.media.patching import can_patch
from faceswap_cli.media.provenance import synthetic_mark
from faceswap_cli.media.reader import FrameTime
from faceswap_cli.media.segments import describe_encoding, join_segments
from faceswap_cli.media.sound import SoundPlan, plan_sound
from faceswap_cli.media.source import Source, open_side
from faceswap_cli.rendering.form import encoding_of, form_of
from faceswap_cli.rendering.frame_times import frame_times
from faceswap_cli.rendering.merged import Merged, find_frames, find_pieces, read_merged
from faceswap_cli.rendering.originals import can_repaint
from faceswap_cli.rendering.pieces import (
    PieceWork,
    discard_pieces,
    file_state,
    painted_state,
    unsigned_path,
)
from faceswap_cli.workspace import StageReport, Workspace

if TYPE_CHECKING:
    from faceswap_cli.media.certificates import SigningKey

_log = logging.getLogger(__name__)

NOT_IN_RESULT = {"sequence", "animation"}


def run_video(
    workspace: Workspace, section: VideoConfig, inputs: InputConfig, *, redo: bool = False
) -> StageReport:
    """Make result.CONTAINER of the merged frames.

    It is made again when frames, footage or settings have changed, and appears only when it
    is whole. May be killed at any time: the pieces that are encoded by then are kept, and made
    anew only if their frames have changed. A file of that name that this stage did not make is
    left alone.

    Where footage and encoder allow it, what merge has painted is put into the decoder's own
    pictures, whose other samples stay as they are; see can_patch and can_repaint. A frame that
    somebody has changed since is encoded as it is.

    Args:
        workspace: Holds the footage of dst, and a merged frame for each of its frames, or what
            `merge --stream` has encoded.
        section: How it is encoded.
        inputs: Which part of the footage; pictures a second, if it is a folder.
        redo: Make it in any case, in place of whatever is there.

    Raises:
        WorkspaceError: Merged frames are missing or unfinished, the footage is not that of the
            merge, or a foreign file is in the way.
        ConfigError: The container does not take the codec, the certificate cannot sign, or
            merge has encoded the frames otherwise.
        MediaError: Footage or frames cannot be read, or the encoder fails.
    """
    with only_one(workspace.stages, "video"):
        work = _Work(workspace, section, open_side(workspace, "dst", inputs))
        sweep_partials(workspace.stages, workspace.root, work.folder)
        merged = read_merged(workspace, work.source)
        made_of = work.made_of(merged)
        if redo:
            discard_pieces(work.folder)
        elif work.is_made(made_of):
            work.report.kept = 1
            work.report.facts |= work.entry["facts"]
            return work.report
        work.make(merged, made_of)
        return work.report


@dataclass
class _Work:
    """One run."""

    workspace: Workspace
    section: VideoConfig
    source: Source
    report: StageReport = field(default_factory=lambda: StageReport("video"))

    def __post_init__(self) -> None:
        self.result = self.workspace.result(self.section.container)
        self.folder = self.workspace.video_pieces
        self._manifest = Manifest.open(self.workspace.manifest("video"), {})

    @property
    def entry(self) -> dict[str, Any]:
        """What is known of the result that is there."""
        entry = self._manifest.items.get(self.result.name)
        return entry if isinstance(entry, dict) else {}

    def made_of(self, merged: Merged) -> str:
        """Return what changes when the result would."""
        folder, suffix = merged.folder_and_suffix(alpha=self.section.alpha)
        frames = [] if merged.is_stream else sorted(folder.glob(f"[!.]*{suffix}"))
        files = [merged.frame_file(path) for path in frames] if self._may_repaint else []
        painted = {"painted": [painted_state(file) for file in files]} if files else {}
        return fingerprint(
            settings=self.section.model_dump(exclude=NOT_IN_RESULT),
            footage=self.source.fingerprint(),
            merged=[file_state(path) for path in frames],
            stream=merged.items if merged.is_stream else {},
            version=__version__,
            **painted,
        )

    @property
    def _may_repaint(self) -> bool:
        """Whether frames may go into the decoder's own pictures, in which nothing else is drawn."""
        section = self.section
        return not section.label and not section.alpha and can_patch(self.source.info)

    def is_made(self, made_of: str) -> bool:
        """Tell whether the result is up to date, or raise WorkspaceError if it is not ours."""
        if not self.result.exists():
            return False
        entry = self.entry
        if not entry or ("file" in entry and entry["file"] != file_state(self.result)):
            raise WorkspaceError(
                f"{self.result.name} was not made by this stage, or was changed since",
                seen_in=self.result,
                fix="move it away, or add --redo to overwrite it",
            )
        sidecar = entry.get("sidecar")
        is_whole = not sidecar or self.result.with_name(sidecar).exists()
        return is_whole and bool(entry.get("made_of") == made_of)

    def make(self, merged: Merged, made_of: str) -> None:
        """Encode what is not encoded yet, join it, and put the result in its place."""
        key = self._find_key()
        info, span = self.source.info, self.source.span
        sound = plan_sound(info, self.result, span=span) if self.section.sound else None
        extras = plan_extras(info, self.result, span=span) if self.section.tracks else None
        self._warn(sound)
        times = frame_times(self.source, self.workspace.times("dst"))
        pieces, form = self._find_pieces(merged, times)
        self._tell(pieces, form, times, sound, extras)
        # Said first: should the process die after the rename, the file is known to be ours.
        old_sidecar = self.entry.get("sidecar")
        self._manifest.add(self.result.name, {"making": made_of, "sidecar": old_sidecar})
        unsigned = self.result if key is None else unsigned_path(self.folder, self.result)
        join_segments(
            pieces,
            unsigned,
            form=form,
            times=times,
            sound=sound,
            extras=extras,
            metadata=synthetic_mark(__version__),
        )
        sidecar = self._mark(unsigned, key)
        if old_sidecar and old_sidecar != sidecar:
            discard(self.result.with_name(old_sidecar))
        done = {"made_of": made_of, "file": file_state(self.result), "sidecar": sidecar}
        self._manifest.add(self.result.name, done | {"facts": self.report.facts})
        discard_pieces(self.folder)
        self.report.done = 1

    def _find_key(self) -> "SigningKey | None":
        """Return what signs; asked before the work, so that a bad certificate costs none."""
        if not self.section.credentials:
            return None
        from faceswap_cli.media.credentials import prepare_key

        section = self.section
        return prepare_key(section.certificate, section.private_key, self.workspace.credentials)

    def _find_pieces(
        self, merged: Merged, times: Sequence[FrameTime]
    ) -> tuple[list[Path], PictureForm]:
        """Return the pieces of all frames, encoded by merge or now, and their form."""
        section, info = self.section, self.source.info
        if merged.is_stream:
            pieces = find_pieces(merged, section, num_frames=len(times))
            return pieces, form_of(info)
        paths = find_frames(merged, self.source, times, alpha=section.alpha)
        first = (read_layer if section.alpha else read_deep_image)(paths[0])
        form = form_of(info, size_wh=(first.shape[1], first.shape[0]))
        encoding = encoding_of(section, bits=8 * first.itemsize)
        check_encoding(self.result.suffix, encoding)
        frames = [merged.frame_file(path) for path in paths]
        repaints = self._may_repaint and can_repaint(frames, info, form, encoding)
        footage = self.source if repaints else None
        work = PieceWork(self.folder, form, encoding, section.segment, section.label, footage)
        return work.encode(frames, times), form

    def _mark(self, unsigned: Path, key: "SigningKey | None") -> str | None:
        """Sign the joined file, and put it in its place; return the name of its sidecar."""
        if key is None:
            _log.warning("the result is not signed, as asked: only its metadata say what it is")
            self.report.facts["marked"] = "as synthetic, in the metadata; not signed, as asked"
            return None
        from faceswap_cli.media.credentials import sign_file

        path = self.source.info.path
        signed = sign_file(
            unsigned,
            self.result,
            title=self.result.name,
            parent=path if path.is_file() else None,
            key=key,
            tool_version=__version__,
        )
        place = signed.sidecar.name if signed.sidecar else "the file"
        self.report.facts["marked"] = (
            f"as synthetic, in the metadata; content credentials in {place}, signed by {key.name}"
        )
        return signed.sidecar.name if signed.sidecar else None

    def _warn(self, sound: SoundPlan | None) -> None:
        """Say what the result will not have as one would expect; of extras, media says it."""
        path = self.source.info.path
        for sentence in [] if path.is_dir() else find_oddities(path):
            _log.warning("%s", sentence)
        for index, reason in (sound.lost if sound else {}).items():
            _log.warning("%s: sound track #%d is left out: %s", path.name, index, reason)

    def _tell(
        self,
        pieces: Sequence[Path],
        form: PictureForm,
        times: Sequence[FrameTime],
        sound: SoundPlan | None,
        extras: ExtrasPlan | None,
    ) -> None:
        """Put into the report what the result is."""
        last = times[-1]
        width, height = form.size_wh
        self.report.facts |= {
            "result": str(self.result),
            "frames": len(times),
            "seconds": round(float(last.time_s + last.duration_s - times[0].time_s), 3),
            "picture": f"{width}x{height}, {describe_encoding(pieces[0])}",
            "sound": self._sound_fact(sound),
            "tracks": "; ".join(extras.report()) if extras else "none",
        }

    def _sound_fact(self, sound: SoundPlan | None) -> str:
        if sound is None:
            if not self.section.sound and self.source.info.has_sound:
                return "none: left out on request"
            return "none: the footage has none"
        kept = [
            f"{track.codec} copied" if track.copied else f"{track.codec} encoded ({track.reason})"
            for track in sound.tracks.values()
        ]
        lost = [f"#{index} left out ({reason})" for index, reason in sound.lost.items()]
        return ", ".join([*(kept or ["none"]), *lost])
