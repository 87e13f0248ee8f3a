"""The stage that paints the new face into every frame of the footage."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from faceswap_cli.config import InputConfig, MergeConfig, VideoConfig
from faceswap_cli.device import Device, choose_device, keep_freed_memory, shared_cores
from faceswap_cli.errors import ConfigError
from faceswap_cli.files import Manifest, only_one, sweep_partials
from faceswap_cli.media.encoding import check_encoding
from faceswap_cli.media.patching import can_patch
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame
from faceswap_cli.media.source import Source
from faceswap_cli.progress import Stopwatch, progress
from faceswap_cli.readahead import read_ahead
from faceswap_cli.rendering.flow import Flow
from faceswap_cli.rendering.form import encoding_of, form_of
from faceswap_cli.rendering.frame_files import FrameFiles
from faceswap_cli.rendering.ledger import UNFINISHED, mark
from faceswap_cli.rendering.on_gpu import painted
from faceswap_cli.rendering.render import Sink, render
from faceswap_cli.rendering.setting import Setting, part_of, set_up
from faceswap_cli.rendering.streaming import Stream
from faceswap_cli.workspace import StageReport, Workspace

if TYPE_CHECKING:
    from tqdm import tqdm

MAX_WAITING_BYTES = 2**28  # of frames in each of the queues before and behind the network
_log = logging.getLogger(__name__)


def run_merge(
    workspace: Workspace,
    section: MergeConfig,
    inputs: InputConfig,
    *,
    video: VideoConfig | None = None,
    redo: bool = False,
) -> StageReport:
    """Write every frame of dst, with the new face where one was chosen, and its mask.

    May be killed at any time: a frame is done when its line is in the manifest, and the
    line comes after its files. A frame is made again only if something that its pixels depend
    on has changed, or its files are gone; if somebody has changed it by hand, it is left
    alone. Frames without a chosen face keep every pixel.

    Args:
        workspace: Holds the footage of dst, its aligned faces, and a trained model.
        section: How the face is put in.
        inputs: Which part of the footage.
        video: How frames are encoded, if `section` says that there are no frame files.
        redo: Make all frames again, with these settings.

    Raises:
        WorkspaceError: No faces, no model, faces of another video, foreign pictures, ...
        ConfigError: The model cannot do what morph or mask asks for, no encoder can what
            `video` asks for, or frames are to be streamed that have to be files.
        MediaError: The footage cannot be read, or the encoder fails.
        DeviceError: The device is missing, or its memory is too small for the batch.
    """
    video = video or VideoConfig()
    if section.stream:
        _check_stream(section, video)
    with only_one(workspace.stages, "merge"):
        sweep_partials(workspace.stages, workspace.merged, workspace.merged_masks)
        sweep_partials(workspace.merged_layer, workspace.merged_stream)
        device = choose_device(section.device)
        keep_freed_memory()
        setting = set_up(workspace, section, inputs, device)
        settings = section.model_dump(mode="json") | {"footage": setting.source.fingerprint()}
        if section.stream:
            encoding = encoding_of(video, bits=setting.bits)
            check_encoding(workspace.result(video.container).suffix, encoding)
            settings |= {"encoding": asdict(encoding), "label": video.label}
        path = workspace.manifest("merge")
        manifest = Manifest.open(path, settings, redo=redo, mixed=UNFINISHED)
        patches = section.stream and can_patch(setting.source.info) and not video.label
        merge = _Merge(workspace, section, setting, manifest, device, patches)
        with shared_cores(device), merge.open_sink(video, redo=redo) as sink:
            merge.run(sink)
        return merge.told()


def _check_stream(section: MergeConfig, video: VideoConfig) -> None:
    """Raise ConfigError for what is made of files: else it would be left out without a word."""
    for is_asked, key in ((section.layer, "merge.layer"), (video.alpha, "video.alpha")):
        if is_asked:
            raise ConfigError(
                f"{key} needs the new face alone in files, and merge.stream writes none",
                seen_in=key,
                fix="merge with --no-stream, or leave it out",
            )


@dataclass
class _Merge:
    """One run: what goes through it, and what it has counted."""

    workspace: Workspace
    section: MergeConfig
    setting: Setting
    manifest: Manifest
    device: Device
    patches: bool
    """Paint into the decoder's own pictures."""
    report: StageReport = field(default_factory=lambda: StageReport("merge"))
    watch: Stopwatch = field(default_factory=Stopwatch)
    sink: Any = None
    lost: set[int] = field(default_factory=set)
    """Frames that could not be made."""

    @property
    def source(self) -> Source:
        """The footage."""
        return self.setting.source

    @property
    def queue(self) -> int:
        """Frames before and behind the network: a whole batch, or both sides wait in turn."""
        width, height = self.source.info.size_wh
        frame_bytes = 3 * width * height * (2 if self.setting.deep else 1)
        return max(2, min(self.section.batch_faces, MAX_WAITING_BYTES // frame_bytes))

    def open_sink(self, video: VideoConfig, *, redo: bool) -> AbstractContextManager[Sink]:
        """Return what keeps the frames."""
        if self.section.stream:
            return Stream(
                self.workspace,
                self.source,
                self.setting.plan,
                self.manifest,
                form=form_of(self.source.info),
                encoding=encoding_of(video, bits=self.setting.bits),
                length=video.segment,
                patched=self.patches,
                label=video.label,
                lost=self.lost,
                report=self._fail,
                watch=self.watch,
            )
        files = FrameFiles(
            self.workspace,
            self.section,
            self.source,
            self.setting.plan,
            self.manifest,
            self.watch,
            redo=redo,
        )
        files.check_folder()
        return nullcontext(files)

    def run(self, sink: Sink) -> None:
        """Decode, draw, compose, write: each in its own threads, all in bounded queues."""
        self.sink, plan = sink, self.setting.plan
        is_done = lru_cache(maxsize=None)(sink.is_done)
        flow = Flow(
            plan,
            self.setting.studio.artists,
            self.setting.masks,
            report=self._fail,
            check=self.setting.check,
            watch=self.watch,
            ahead=self.queue,
        )
        total = self.source.num_frames_hint
        with progress("merge", total=total, unit="frame") as bar:

            def needed(index: int) -> bool:
                if is_done(index):
                    self._count(bar, kept=1)
                else:
                    mark(self.manifest, complete=False)
                return not is_done(index) or any(
                    not is_done(near)
                    for face in plan.faces.get(index, [])
                    for near in plan.neighbours(index, face)
                )

            frames = self._good(self._frames(needed), bar)
            ready = flow.run(frames, lambda index: not is_done(index))
            if self.device.name == "cuda" and not self.section.layer:
                ready = painted(ready, self.device.place, at_once=self.section.batch_faces)
            for _ in render(read_ahead(ready, depth=self.queue), sink):
                self._count(bar, done=1)
        if not self.report.failed:
            mark(self.manifest, complete=True)

    def _frames(self, needed: Callable[[int], bool]) -> Iterator[Frame | BadFrame]:
        """Yield the frames that are needed."""
        if self.patches:
            seen = set[int]()

            def where(index: int) -> tuple[int, int, int, int] | None:
                if not needed(index):
                    return None
                seen.add(index)
                return part_of(self.setting, index)

            parts = self.source.parts(where, native=True, deep=self.setting.deep)
            frames: Iterable[Frame | BadFrame] = (part for part in parts if part.index in seen)
        else:
            frames = self.source.frames(needed, deep=self.setting.deep)
        yield from frames

    def _good(self, frames: Iterator[Frame | BadFrame], bar: "tqdm[NoReturn]") -> Iterator[Frame]:
        """Yield the frames that could be decoded; report the others."""
        while True:
            with self.watch.timing("wait for decoder"):
                frame = next(frames, None)
            if frame is None:
                return
            if isinstance(frame, BadFrame):
                self.lost.add(frame.index)
                self.report.failed[frame.name] = frame.reason
                bar.update()
            else:
                yield frame

    def _fail(self, index: int, reason: str) -> None:
        self.lost.add(index)
        name, failed = self.source.frame_name(index), self.report.failed
        failed[name] = f"{failed[name]}; {reason}" if name in failed else reason

    def _count(self, bar: "tqdm[NoReturn]", *, done: int = 0, kept: int = 0) -> None:
        self.report.done += done
        self.report.kept += kept
        bar.update()

    def told(self) -> StageReport:
        """Return the report, with what else is worth knowing."""
        report, studio = self.report, self.setting.studio
        report.done -= getattr(self.sink, "num_dropped", 0)
        swapped = len(self.setting.plan.faces.keys() - self.lost)
        report.facts["swapped"] = swapped
        report.facts["passed_through"] = report.done + report.kept - swapped
        report.facts["seconds"] = self.watch.seconds()
        if self.source.losses.num_packets:
            report.facts["packets_not_decoded"] = self.source.losses.num_packets
        if by_hand := getattr(self.sink, "changed_by_hand", []):
            _log.warning(
                "%d merged frames were changed by hand and are left alone, the first is %s:"
                " delete them, or add --redo, to have them made again",
                *(len(by_hand), by_hand[0]),
            )
            report.facts["changed_by_hand"] = by_hand
        iterations = [f"{name}: iteration {count}" for name, count in studio.iterations.items()]
        report.facts["model"] = ", ".join(iterations).removeprefix("model: ")
        report.facts["device"] = str(self.device)
        folder = self.workspace.merged_stream if self.section.stream else self.workspace.merged
        report.facts["folder"] = str(folder)
        if self.setting.skipped:
            report.facts["aligned_skipped"] = self.setting.skipped
        return report
