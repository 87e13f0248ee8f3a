"""Before the first stage: two inputs -> a workspace."""

import filecmp
import json
import re
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from faceswap_cli.errors import ConfigError, MediaError, WorkspaceError
from faceswap_cli.files import expand_user, explain_write_error, replacing, write_atomic
from faceswap_cli.media.pictures import list_pictures
from faceswap_cli.media.source import Source, open_source
from faceswap_cli.media.span import Span
from faceswap_cli.settings import shipped
from faceswap_cli.types import SIDES, Side
from faceswap_cli.workspace import PICTURE_SUFFIXES, VIDEO_SUFFIXES, StageReport, Workspace


def run_init(
    root: Path,
    *,
    src: Path,
    dst: Path,
    src_span: str | None = None,
    dst_span: str | None = None,
    more_src: Sequence[Path] = (),
    more_dst: Sequence[Path] = (),
    copy: bool = False,
) -> StageReport:
    """Make a workspace, or complete one; the same call again changes nothing.

    Everything is checked before anything is made.

    Args:
        root: The folder to make.
        src: Video or folder of pictures: the identity to put on.
        dst: Video or folder of pictures: the footage that receives it.
        src_span: Part of src, seconds: "2.5-9", "10-" or "-9"; None leaves config.toml.
        dst_span: The same of dst.
        more_src: Further videos of the same person, for training.
        more_dst: Further videos of dst, for training; only the first one is merged.
        copy: Copy the footage; else it is linked, or copied where there are no links.

    Raises:
        MediaError: An input is missing, empty, or cannot be read.
        ConfigError: A span is none, or config.toml says another one.
        WorkspaceError: The workspace holds other footage, or cannot be written.
    """
    workspace = Workspace(expand_user(root).resolve())
    spans = {"src_span": src_span, "dst_span": dst_span}
    wanted = {key: text.strip() for key, text in spans.items() if text}
    inputs = {"src": expand_user(src).resolve(), "dst": expand_user(dst).resolve()}
    report = StageReport("init")
    for side in SIDES:
        span = Span.parse(wanted.get(f"{side}_span", "0-"))
        report.facts[side] = _described(_open_input(inputs[side], span))
    links = [link for side in SIDES for link in _plan(workspace, side, inputs[side])]
    links += _plan_more(workspace, "src", more_src) + _plan_more(workspace, "dst", more_dst)
    _check_spans(workspace.config, wanted)
    copy_template(workspace.root)
    _set_spans(workspace.config, wanted)
    for link in links:
        made = link.make(copy=copy)
        report.done, report.kept = report.done + made, report.kept + (not made)
    report.facts |= {**wanted, "workspace": str(root), "next": f"faceswap-cli run {root}"}
    return report


def copy_template(root: Path) -> None:
    """Make the folders of a workspace and the files of workspace_template that are missing."""
    workspace = Workspace(expand_user(root).resolve())
    try:
        for folder in [*(workspace.aligned(side) for side in SIDES), workspace.model]:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_write_error(error, Path(error.filename or workspace.root)) from error
    for template in sorted(shipped("workspace_template").iterdir()):
        target = workspace.root / template.name
        if template.is_file() and not target.exists():
            write_atomic(target, template.read_bytes())


@dataclass(frozen=True)
class _Link:
    """One file of footage and its place in the workspace."""

    origin: Path
    target: Path

    def is_there(self) -> bool:
        """Whether the target is that file, or a copy of it."""
        if not self.target.is_file():
            return False
        return self.target.samefile(self.origin) or filecmp.cmp(self.target, self.origin)

    def make(self, *, copy: bool) -> bool:
        """Link or copy it; False if it is there."""
        if self.is_there():
            return False
        if not copy:
            try:
                self.target.symlink_to(self.origin)
            except (OSError, NotImplementedError):
                copy = True  # a file system or a user that may not make links
        if copy:
            with replacing(self.target) as partial:
                shutil.copy2(self.origin, partial)
        return True


def _open_input(path: Path, span: Span) -> Source:
    """Open the footage, or raise MediaError: missing, empty, no video, nothing in the span."""
    if not path.exists():
        raise MediaError(f"there is no {path.name}", seen_in=path, fix="check the path")
    source = open_source(path, span)
    duration_s = source.info.duration_s
    if duration_s is not None and span.start_s >= duration_s:
        raise MediaError(
            f"the span {span} begins after the end of {path.name}",
            seen_in=path,
            fix=f"it is {float(duration_s):.2f} s long; give a span inside it",
        )
    return source


def _described(source: Source) -> str:
    width, height = source.info.size_wh
    rate = float(source.info.average_rate)
    count = source.num_frames_hint
    return f"{source.info.path} ({width}x{height}, {rate:.5g} frames/s, {count or '?'} frames)"


def _plan(workspace: Workspace, side: Side, origin: Path) -> list[_Link]:
    """Return what to link, or raise WorkspaceError if other footage of the side is there."""
    if origin == workspace.folder(side):
        return []
    if origin.is_dir():
        folder = workspace.folder(side)
        links = [_Link(path, folder / path.name) for path in list_pictures(origin)]
    else:
        suffix = origin.suffix.lower()
        suffix = suffix if suffix in VIDEO_SUFFIXES else ".mp4"  # what it is, its content tells
        links = [_Link(origin, workspace.root / f"data_{side}{suffix}")]
    foreign = set(_present(workspace, side)) - {link.target for link in links if link.is_there()}
    if foreign:
        raise WorkspaceError(
            f"the workspace has other footage of {side}: {min(foreign).name}",
            seen_in=min(foreign).parent,
            fix="name another folder for this swap, or move that footage away",
        )
    return links


def _plan_more(workspace: Workspace, side: Side, origins: Sequence[Path]) -> list[_Link]:
    """Return what to link of further videos, data_SIDE_2.* ..., or raise an error."""
    links = []
    for number, origin in enumerate(origins, start=2):
        path = expand_user(origin).resolve()
        _open_input(path, Span())
        if path.is_dir():
            raise ConfigError(
                f"further footage of {side} must be videos, {path.name} is a folder",
                seen_in=path,
                fix=f"put all pictures into the one folder that --{side} names",
            )
        suffix = path.suffix.lower() if path.suffix.lower() in VIDEO_SUFFIXES else ".mp4"
        target = workspace.root / f"data_{side}_{number}{suffix}"
        link = _Link(path, target)
        if target.exists() and not link.is_there():
            raise WorkspaceError(
                f"the workspace has other footage of {side}: {target.name}",
                seen_in=workspace.root,
                fix="move it away, or name another folder for this swap",
            )
        links.append(link)
    return links


def _present(workspace: Workspace, side: Side) -> Iterator[Path]:
    """Yield the footage of a side that is in the workspace."""
    yield from workspace.videos(side)
    folder = workspace.folder(side)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."):
            yield path


def _read_spans(config: Path) -> dict[str, object]:
    if not config.is_file():
        return {}
    try:
        found = tomllib.loads(config.read_text("utf-8")).get("input", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid TOML: {error}", seen_in=config, fix="mend it") from error
    return dict(found) if isinstance(found, dict) else {}


def _check_spans(config: Path, wanted: dict[str, str]) -> None:
    for key, span in wanted.items():
        was = _read_spans(config).get(key, span)
        if Span.parse(str(was)) != Span.parse(span):
            raise ConfigError(
                f"the workspace has {key} = {was!r}, asked for is {span!r}",
                seen_in=config,
                fix=f'write {key} = "{span}" there, under [input]',
            )


def _set_spans(config: Path, wanted: dict[str, str]) -> None:
    """Write the spans into config.toml, all else left as it stands."""
    present = _read_spans(config)
    missing = {key: span for key, span in wanted.items() if key not in present}
    if not missing:
        return
    lines = "".join(f"{key} = {json.dumps(span)}\n" for key, span in missing.items())
    text = config.read_text("utf-8") if config.is_file() else ""
    heading = re.search(r"^\[input\][^\n]*\n?", text, flags=re.MULTILINE)
    if heading is None:
        text = f"{text.rstrip()}\n\n[input]\n{lines}".lstrip()
    else:
        text = text[: heading.end()].rstrip("\n") + "\n" + lines + text[heading.end() :]
    write_atomic(config, text.encode())
