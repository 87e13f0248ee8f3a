"""The workspace folder: the only module that spells a path inside it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import expand_user
from faceswap_cli.types import Side

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("mp4", "mov", "mkv", "webm", "avi", "m4v", "mpg", "mpeg", "mts", "m2ts", "ts"),
        *("wmv", "flv", "3gp", "ogv", "gif", "mxf"),
    )
)
PICTURE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"))


@dataclass(frozen=True)
class Workspace:
    """Where every file of one swap lives. DeepFaceLab's folder, so that its own open too."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> Self:
        """Return the workspace at `root`, or raise WorkspaceError if it is not one."""
        workspace = cls(expand_user(root).resolve())
        fix = f"faceswap-cli init {root} --src VIDEO_OR_FOLDER --dst VIDEO_OR_FOLDER"
        if not workspace.root.is_dir():
            raise WorkspaceError("no such workspace folder", seen_in=workspace.root, fix=fix)
        if not any(workspace.root.glob("data_src*")) and not any(workspace.root.glob("data_dst*")):
            raise WorkspaceError(
                "not a workspace: neither data_src nor data_dst is in it",
                seen_in=workspace.root,
                fix=fix,
            )
        return workspace

    def source(self, side: Side) -> Path:
        """Return the video of a side, or else its folder of pictures.

        Raises:
            WorkspaceError: There is none, or more than one video.
        """
        videos = self.videos(side)
        if len(videos) > 1:
            raise WorkspaceError(
                f"more than one video for {side}: {', '.join(path.name for path in videos)}",
                seen_in=self.root,
                fix="keep one, move the others away",
            )
        if videos:
            return videos[0]
        folder = self.folder(side)
        if folder.is_dir() and any(
            path.suffix.lower() in PICTURE_SUFFIXES
            for path in folder.iterdir()
            if not path.name.startswith(".")
        ):
            return folder
        raise WorkspaceError(
            f"no footage of {side}: neither a video data_{side}.* nor pictures in data_{side}/",
            seen_in=self.root,
            fix=f"put a video there as data_{side}.mp4, or pictures into data_{side}/",
        )

    def videos(self, side: Side) -> list[Path]:
        """Return the videos called data_SIDE.*, sorted."""
        return sorted(
            path
            for path in self.root.glob(f"data_{side}.*")
            if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
        )

    def more_videos(self, side: Side) -> list[Path]:
        """Return further videos of the same people, called data_SIDE_NAME.*, sorted."""
        return sorted(
            path
            for path in self.root.glob(f"data_{side}_?*.*")
            if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
        )

    def folder(self, side: Side) -> Path:
        """Return data_src or data_dst."""
        return self.root / f"data_{side}"

    def aligned(self, side: Side) -> Path:
        """Return the folder of the aligned pictures."""
        return self.folder(side) / "aligned"

    def edited_masks(self, side: Side) -> Path:
        """Return the folder of masks a person may edit, NAME.png beside the pictures."""
        return self.aligned(side) / "mask"

    def trash(self, side: Side) -> Path:
        """Return the folder of the pictures that were sorted out, and how to take it back."""
        return self.folder(side) / "aligned_trash"

    def packed(self, side: Side) -> Path:
        """Return the one-file faceset of a side; it is read when there is no folder aligned."""
        return self.folder(side) / "aligned.zip"

    def people(self, side: Side) -> Path:
        """Return the folder of the list of people, a picture of each."""
        return self.folder(side) / "people"

    def overlays(self, side: Side) -> Path:
        """Return the folder of the frames with landmarks drawn in."""
        return self.folder(side) / "aligned_debug"

    def manifest(self, stage: str) -> Path:
        """Return the list of what a stage has finished."""
        return self.stages / f"{stage}.jsonl"

    def sightings(self, name: str) -> Path:
        """Return what was seen in a clip; `name` as of its manifest, e.g. extract-dst."""
        return self.stages / f"{name}.sightings"

    def times(self, side: Side) -> Path:
        """Return the file that keeps when each frame of the footage is shown."""
        return self.stages / f"times-{side}.json"

    def settings(self, stage: str) -> Path:
        """Return the file of the settings that a stage last ran with."""
        return self.stages / f"{stage}.toml"

    @property
    def stages(self) -> Path:
        """The folder of the manifests."""
        return self.root / "stages"

    @property
    def config(self) -> Path:
        """Overrides of the defaults for this swap; may be absent."""
        return self.root / "config.toml"

    @property
    def model(self) -> Path:
        """The folder of checkpoints, log and previews."""
        return self.root / "model"

    @property
    def mask_model(self) -> Path:
        """The folder of the network that tells face from what is in front of it."""
        return self.root / "model_mask"

    @property
    def reports(self) -> Path:
        """The folder of pictures and tables about the footage and the facesets."""
        return self.root / "reports"

    @property
    def preview_history(self) -> Path:
        """The folder of all previews of the training."""
        return self.model / "preview_history"

    def previews(self) -> list[Path]:
        """Return the previews, named by their iterations, sorted."""
        return sorted(self.preview_history.glob("[!.]*.jpg"))

    @property
    def timelapse(self) -> Path:
        """The film of the previews."""
        return self.model / "timelapse.mp4"

    @property
    def pretrained(self) -> Path:
        """The folder of what a pretraining makes, as `model` is of a training."""
        return self.root / "pretrained"

    @property
    def cache(self) -> Path:
        """The folder of what can be made again: decoded faces, compiled code."""
        return self.root / "cache"

    @property
    def merged(self) -> Path:
        """The folder of the merged frames."""
        return self.folder("dst") / "merged"

    @property
    def merged_masks(self) -> Path:
        """The folder of the masks of the merged frames."""
        return self.folder("dst") / "merged_mask"

    @property
    def merged_layer(self) -> Path:
        """The folder of the new faces alone, transparent around them."""
        return self.folder("dst") / "merged_layer"

    @property
    def merged_stream(self) -> Path:
        """The folder of what merge has encoded at once, piece by piece."""
        return self.folder("dst") / "merged_stream"

    @property
    def video_pieces(self) -> Path:
        """The folder of encoded pieces of a result in the making."""
        return self.cache / "video"

    @property
    def credentials(self) -> Path:
        """The folder of the certificate and the key that results are signed with."""
        return self.root / "credentials"

    def result(self, container: str) -> Path:
        """Return the final video."""
        return self.root / f"result.{container}"


@dataclass
class StageReport:
    """What a stage tells about its run."""

    stage: str
    done: int = 0
    """Items made by this run."""
    kept: int = 0
    """Items found finished."""
    failed: dict[str, str] = field(default_factory=dict)
    """Reason by item."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What else is worth knowing: counts, places, choices. JSON values."""

    def summary(self) -> str:
        """Return what the command prints last."""
        lines = [f"{self.stage}: {self.done} done, {self.kept} kept, {len(self.failed)} failed"]
        lines += [f"  {key}: {value}" for key, value in self.facts.items()]
        lines += [f"  FAILED {name}: {reason}" for name, reason in self.failed.items()]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the report as one JSON object."""
        return {
            "stage": self.stage,
            "done": self.done,
            "kept": self.kept,
            "failed": self.failed,
            **self.facts,
        }
