"""What the manifest of a merge tells."""

from collections.abc import Mapping
from typing import Any

from faceswap_cli.files import Manifest

COMPLETE = "*"
"""The name under which stands whether all frames are as the settings say."""
UNFINISHED = {COMPLETE: {"complete": False}}
_SEGMENT = "segment "


def segment_name(first: int) -> str:
    """Return the name of the segment that begins with a frame."""
    return f"{_SEGMENT}{first:06d}"


def mark(manifest: Manifest, *, complete: bool) -> None:
    """Note whether all frames are as the settings say; nothing if that is noted already."""
    if manifest.items.get(COMPLETE) != {"complete": complete}:
        manifest.add(COMPLETE, {"complete": complete})


def is_complete(items: Mapping[str, Any]) -> bool:
    """Tell whether no frame is of other settings; manifests of old versions do not tell."""
    entry = items.get(COMPLETE)
    return not isinstance(entry, dict) or bool(entry.get("complete", True))


def count_merged(items: Mapping[str, Any], *, stream: bool) -> int:
    """Return how many frames are there.

    Args:
        items: Of the manifest.
        stream: Count the frames of segments, not those that are files. Of segments that
            overlap, as those of another length do, the earlier ones count.
    """
    if stream:
        return _count_streamed(items)
    return sum(
        bool(entry)
        for name, entry in items.items()
        if name != COMPLETE and not name.startswith(_SEGMENT)
    )


def _count_streamed(items: Mapping[str, Any]) -> int:
    count = end = 0
    for name in sorted(name for name in items if name.startswith(_SEGMENT)):
        first, entry = int(name.removeprefix(_SEGMENT)), items[name]
        if isinstance(entry, dict) and first >= end:
            count, end = count + int(entry["frames"]), first + int(entry["frames"])
    return count
