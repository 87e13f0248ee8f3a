"""The stage that paints the new face into every frame of the footage."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from faceswap_cli.config import InputConfig, MergeConfig
from faceswap_cli.device import Device, choose_device, shared_cores
from faceswap_cli.errors import GeometryError, MediaError, WorkspaceError
from faceswap_cli.faces.faceset import Faceset, open_faceset
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.store import find_aligned
from faceswap_cli.files import Manifest, fingerprint, only_one, sweep_partials, write_atomic
from faceswap_cli.imaging import encode_image
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame
from faceswap_cli.media.source import Source, open_side
from faceswap_cli.media.span import FrameRanges
from faceswap_cli.merging.choose import check_origin, check_time, choose_faces, first_face
from faceswap_cli.merging.compose import Drawn, Look, paste_faces
from faceswap_cli.merging.draw import Artist, Cut, cut_face, instruct, to_faces
from faceswap_cli.merging.likeness import measure_range
from faceswap_cli.merging.shown import FaceMasks
from faceswap_cli.progress import Stopwatch, progress
from faceswap_cli.training.checkpoint import Trained, open_trained
from faceswap_cli.types import Points, RgbImage
from faceswap_cli.workspace import StageReport, Workspace

if TYPE_CHECKING:
    from tqdm import tqdm

MAX_BATCH_BYTES = 2**28  # of frames that wait for the network, however few faces they have
MAX_WRITERS = 16
NOT_IN_FINGERPRINT = {"batch_faces", "device"}  # they change the speed, not the frames

Pair = tuple[Frame, list[Drawn]]


def run_merge(
    workspace: Workspace, section: MergeConfig, inputs: InputConfig, *, redo: bool = False
) -> StageReport:
    """Write every frame of dst, with the new face where one was chosen, and its mask.

    May be killed at any time: a frame is done when its line is in the manifest, and the
    line comes after both files. A frame is made again only if the faces chosen in it have
    changed, or its files are gone. Frames without a chosen face keep every pixel.

    Args:
        workspace: Holds the footage of dst, its aligned faces, and a trained model.
        section: How the face is put in.
        inputs: Which part of the footage.
        redo: Make all frames again, with these settings.

    Raises:
        WorkspaceError: No faces, no model, faces of another video, other settings, ...
        ConfigError: The model cannot do what morph or mask asks for.
        MediaError: The footage cannot be read.
        DeviceError: The device is missing, or its memory is too small for the batch.
    """
    with only_one(workspace.stages, "merge"):
        sweep_partials(workspace.stages, workspace.merged, workspace.merged_masks)
        source = open_side(workspace, "dst", inputs)
        faceset = _open_faces(workspace)
        chosen = choose_faces(
            (face.record for face in faceset.faces),
            section.face,
            excluded=FrameRanges.parse(inputs.dst_exclude),
            other_clips={path.name for path in workspace.more_videos("dst")},
        )
        check_origin(chosen, source, workspace.aligned("dst"))
        device = choose_device(section.device)
        trained = _open_model(workspace, section, device, faceset)
        settings = section.model_dump(exclude=NOT_IN_FINGERPRINT)
        settings |= {"model": trained.fingerprint, "footage": source.fingerprint()}
        manifest = Manifest.open(
            workspace.manifest("merge"),
            settings,
            command=f"faceswap-cli merge {workspace.root}",
            redo=redo,
        )
        masks = FaceMasks(faceset, respected=section.respect_masks)
        merge = _Merge(workspace, section, source, chosen, manifest, masks)
        with shared_cores(device):
            merge.run(_artist(trained, device, section, first=first_face(faceset, chosen)))
        report = merge.report
        report.facts |= {"model": f"iteration {trained.iteration}"}
        report.facts |= {"device": str(device), "folder": str(workspace.merged)}
        if faceset.skipped:
            report.facts["aligned_skipped"] = faceset.skipped
        return report


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


def _open_model(
    workspace: Workspace, section: MergeConfig, device: Device, dst: Faceset
) -> Trained:
    """Return the newest model, told how it shall draw."""
    trained = open_trained(workspace.model, device)
    instruct(trained.model, morph=section.morph, mask=section.mask)
    if section.likeness > 0.0:
        trained.model.likeness = measure_range(
            trained.model,
            {"src": open_faceset(find_aligned(workspace, "src")).faces, "dst": dst.faces},
            face_type=trained.face_type,
            strength=section.likeness,
            place=device.place,
        )
    return trained


def _artist(
    trained: Trained, device: Device, section: MergeConfig, *, first: tuple[RgbImage, Points]
) -> Artist:
    """Return the model, bound to the clip that begins with `first`: picture and landmarks."""
    cut = cut_face(*first, face_type=trained.face_type, size_px=trained.resolution)
    return Artist(
        painter=trained.model.bind(None, to_faces([cut], device.place)),
        device=device,
        face_type=trained.face_type,
        size_px=trained.resolution,
        batch_size=section.batch_faces,
        match_colour=section.colour == "rct",
    )


@dataclass
class _Merge:
    """One run: what goes through it, and what it has counted."""

    workspace: Workspace
    section: MergeConfig
    source: Source
    chosen: dict[int, list[FaceRecord]]
    manifest: Manifest
    masks: FaceMasks
    report: StageReport = field(default_factory=lambda: StageReport("merge"))
    watch: Stopwatch = field(default_factory=Stopwatch)
    num_swapped: int = 0

    def run(self, artist: Artist) -> None:
        """Decode, draw, compose, write: the last two in threads, all in bounded queues."""
        num_threads = min(os.cpu_count() or 1, MAX_WRITERS)
        waiting: deque[tuple[int, Future[None]]] = deque()
        with (
            progress("merge", total=self.source.num_frames_hint, unit="frame") as bar,
            ThreadPoolExecutor(num_threads) as pool,
        ):
            try:
                for frame, drawn in self._drawn(artist, self._frames(bar)):
                    waiting.append((frame.index, pool.submit(self._write, frame, drawn)))
                    self._settle(waiting, bar, at_most=2 * num_threads)
                self._settle(waiting, bar, at_most=0)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                whole = (pair for pair in waiting if _is_whole(pair[1]))
                self._settle(deque(whole), bar, at_most=0)
                raise
        self._tell()

    def _tell(self) -> None:
        num_frames = self.report.done + self.report.kept
        self.report.facts["swapped"] = self.num_swapped
        self.report.facts["passed_through"] = num_frames - self.num_swapped
        self.report.facts["seconds"] = self.watch.seconds()
        if self.source.losses.num_packets:
            self.report.facts["packets_not_decoded"] = self.source.losses.num_packets

    def _frames(self, bar: "tqdm[NoReturn]") -> Iterator[Frame]:
        """Yield the frames that are not done yet."""

        def is_wanted(index: int) -> bool:
            name = self.source.frame_name(index)
            done = self.manifest.items.get(name) == self._key(index)
            if done and all(path.exists() for path in self._paths(name)):
                self._count(index, bar, kept=1)
                return False
            return True

        frames = iter(self.source.frames(is_wanted))
        while True:
            with self.watch.timing("decode"):
                frame = next(frames, None)
            if frame is None:
                return
            if isinstance(frame, BadFrame):
                self.report.failed[frame.name] = frame.reason
                bar.update()
            else:
                yield frame

    def _drawn(self, artist: Artist, frames: Iterable[Frame]) -> Iterator[Pair]:
        """Yield the frames with the faces drawn for them."""
        batch: list[tuple[Frame, list[Cut]]] = []
        num_faces = num_bytes = 0
        for frame in frames:
            cuts = self._cut(artist, frame)
            if not cuts:
                if cuts is not None:
                    yield frame, []  # at once: only frames that need the network wait for it
                continue
            batch.append((frame, cuts))
            num_faces, num_bytes = num_faces + len(cuts), num_bytes + frame.image.nbytes
            if num_faces >= self.section.batch_faces or num_bytes >= MAX_BATCH_BYTES:
                yield from self._draw(artist, batch)
                batch, num_faces, num_bytes = [], 0, 0
        yield from self._draw(artist, batch)

    def _cut(self, artist: Artist, frame: Frame) -> list[Cut] | None:
        """Return the faces of a frame; None if one of them is unusable, which is reported."""
        records = self.chosen.get(frame.index, [])
        for record in records:
            check_time(record, frame, self.source, self.workspace.aligned("dst"))
        try:
            with self.watch.timing("cut"):
                return [
                    replace(artist.cut(frame.image, r.landmarks), shown=self.masks.read(r))
                    for r in records
                ]
        except (GeometryError, MediaError) as error:
            self.report.failed[self.source.frame_name(frame.index)] = (
                f"{error.what}: delete this face among the aligned ones, or extract again"
            )
            return None

    def _draw(self, artist: Artist, batch: list[tuple[Frame, list[Cut]]]) -> Iterator[Pair]:
        with self.watch.timing("draw"):
            drawn = iter(artist.draw([cut for _, cuts in batch for cut in cuts]))
        for frame, cuts in batch:
            yield frame, [next(drawn) for _ in cuts]

    def _write(self, frame: Frame, drawn: list[Drawn]) -> None:
        """Compose a frame and write both files; runs in a thread."""
        with self.watch.timing("compose"):
            image, mask = paste_faces(frame.image, drawn, self._look)
        frame_path, mask_path = self._paths(self.source.frame_name(frame.index))
        with self.watch.timing("encode"):
            quality = self.section.jpeg_quality
            frame_data = encode_image(image, frame_path.suffix, jpeg_quality=quality)
            mask_data = encode_image(mask, mask_path.suffix)
        with self.watch.timing("write"):
            write_atomic(frame_path, frame_data)
            write_atomic(mask_path, mask_data)

    def _settle(
        self, waiting: "deque[tuple[int, Future[None]]]", bar: "tqdm[NoReturn]", *, at_most: int
    ) -> None:
        """Record what is written; wait until no more than `at_most` frames are not."""
        while waiting and (len(waiting) > at_most or waiting[0][1].done()):
            index, written = waiting.popleft()
            written.result()
            self.manifest.add(self.source.frame_name(index), self._key(index))
            self._count(index, bar, done=1)

    def _count(self, index: int, bar: "tqdm[NoReturn]", *, done: int = 0, kept: int = 0) -> None:
        self.report.done += done
        self.report.kept += kept
        self.num_swapped += index in self.chosen
        bar.update()

    def _paths(self, name: str) -> tuple[Path, Path]:
        frame = self.workspace.merged / f"{name}.{self.section.format}"
        return frame, self.workspace.merged_masks / f"{name}.png"

    def _key(self, index: int) -> str:
        """Return what changes when the faces that are painted into a frame change."""
        records = self.chosen.get(index, [])
        masks = [self.masks.version(record) for record in records]
        return fingerprint(faces=[record.landmarks_frame for record in records], masks=masks)

    @property
    def _look(self) -> Look:
        keys = ("mask", "jaw", "grow", "erode", "feather", "sharpen")
        return Look(**{key: getattr(self.section, key) for key in keys})


def _is_whole(written: "Future[None]") -> bool:
    return written.done() and not written.cancelled() and written.exception() is None
