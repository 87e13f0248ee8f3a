"""Merged frames as files, each with the key of what it was made of."""

from pathlib import Path
from typing import Any

import numpy as np

from faceswap_cli.config import MergeConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import Manifest, checksum, fingerprint, write_atomic
from faceswap_cli.imaging import encode_image, read_bytes
from faceswap_cli.media.source import Source
from faceswap_cli.progress import Stopwatch
from faceswap_cli.rendering.flow import Ready
from faceswap_cli.rendering.plan import Plan
from faceswap_cli.workspace import Workspace


class FrameFiles:
    """The folders merged/, merged_mask/ and merged_layer/.

    A frame is done when its line is in the manifest, and the line comes after its files. A
    line without a value comes before them: files of that name are ours.
    """

    def __init__(
        self,
        workspace: Workspace,
        section: MergeConfig,
        source: Source,
        plan: Plan,
        manifest: Manifest,
        watch: Stopwatch,
        *,
        redo: bool,
    ) -> None:
        self._workspace, self._section, self._source = workspace, section, source
        self._plan, self._manifest, self._watch, self._redo = plan, manifest, watch, redo
        self._common = fingerprint(
            footage=source.fingerprint(),
            **{key: getattr(section, key) for key in ("format", "jpeg_quality", "depth", "layer")},
        )
        self.changed_by_hand: list[str] = []
        """Names of frames that somebody has changed, and that were left alone."""

    def check_folder(self) -> None:
        """Refuse to work among pictures that somebody else has put there.

        Raises:
            WorkspaceError: Names how many, and the first.
        """
        if self._redo:
            return
        foreign = sorted(
            path
            for example in self._paths("[!.]*")
            for path in example.parent.glob(example.name)
            if path.stem not in self._manifest.items
        )
        if foreign:
            raise WorkspaceError(
                f"{len(foreign)} pictures were not made by this stage,"
                f" the first is {foreign[0].name}",
                seen_in=foreign[0].parent,
                fix="move them away, or add --redo to have them overwritten",
            )

    def is_done(self, index: int) -> bool:
        """Tell whether a frame is there as it would be made now."""
        name = self._source.frame_name(index)
        entry = self._manifest.items.get(name)
        is_same = isinstance(entry, dict) and entry.get("key") == self._key(index)
        return is_same and all(path.exists() for path in self._paths(name))

    def begin(self, index: int) -> None:
        """Say that the files of a frame are going to be ours, unless somebody has changed them."""
        name = self._source.frame_name(index)
        entry = self._manifest.items.get(name)
        if isinstance(entry, dict) and not self._is_ours(name, entry):
            self.changed_by_hand.append(name)
        elif name not in self._manifest.items or entry is not None:
            self._manifest.add(name, None)

    def make(self, ready: Ready) -> dict[str, Any]:
        """Compose a frame and write its files; runs in a thread. Returns its line."""
        name = self._source.frame_name(ready.frame.index)
        key = self._key(ready.frame.index)
        if name in self.changed_by_hand:
            return {**self._manifest.items[name], "key": key}
        with self._watch.timing("compose"):
            pasted = ready.paste(with_layer=self._section.layer)
        pictures = [pasted.image, pasted.mask]
        if self._section.layer:
            pictures.append(self._layer(pasted.layer, pasted.image))
        files = dict[str, list[int]]()
        for path, picture in zip(self._paths(name), pictures, strict=True):
            with self._watch.timing("encode"):
                quality = self._section.jpeg_quality
                data = encode_image(picture, path.suffix, jpeg_quality=quality)
            with self._watch.timing("write"):
                write_atomic(path, data)
            files[path.parent.name] = checksum(data)
        return {"key": key, "files": files}

    def settle(self, index: int, made: dict[str, Any]) -> None:
        """Record a frame whose files are written."""
        self._manifest.add(self._source.frame_name(index), made)

    def finish(self) -> None:
        """Do nothing: every frame stands for itself."""

    def _key(self, index: int) -> str:
        return f"{self._common} {self._plan.key(index)}"

    def _layer(self, layer: Any, image: Any) -> Any:
        """Return the layer of a frame; of one without a face an empty one."""
        return np.zeros((*image.shape[:2], 4), image.dtype) if layer is None else layer

    def _is_ours(self, name: str, entry: dict[str, Any]) -> bool:
        """Tell whether files may be replaced: nobody has changed them since we wrote them."""
        checks = entry.get("files", {})
        return self._redo or all(
            checksum(read_bytes(path)) == checks[path.parent.name]
            for path in self._paths(name)
            if path.exists() and path.parent.name in checks
        )

    def _paths(self, name: str) -> list[Path]:
        workspace = self._workspace
        paths = [
            workspace.merged / f"{name}.{self._section.format}",
            workspace.merged_masks / f"{name}.png",
        ]
        return [*paths, workspace.merged_layer / f"{name}.png"] if self._section.layer else paths
