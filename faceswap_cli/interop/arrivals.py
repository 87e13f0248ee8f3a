"""The folder aligned as it receives faces from elsewhere: nothing in it is replaced or lost."""

import itertools
from pathlib import Path

from faceswap_cli.errors import FaceswapError, MediaError
from faceswap_cli.faces.faceset import parse_record
from faceswap_cli.faces.metadata import with_comment
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.files import write_atomic
from faceswap_cli.imaging import read_bytes, write_image
from faceswap_cli.types import GreyImage

MAX_NAMESAKES = 1000


class Arrivals:
    """Puts faces and masks into a faceset.

    Args:
        folder: Of the aligned pictures.
        masks: Of the masks a person may edit.
    """

    def __init__(self, folder: Path, masks: Path) -> None:
        self.folder, self._masks = folder, masks
        self.num_masks = 0
        self.renamed: dict[str, str] = {}
        """New name by old name, where another picture had it."""

    def put(self, name: str, data: bytes) -> tuple[Path, bool]:
        """Write a picture under its name, or under NAME_1, NAME_2 ... if another one has it.

        Returns:
            Where it is, and whether it is new: the same picture may lie there already, with a
            record that has been edited since, and then stays.
        """
        for path in self._candidates(name):
            if not path.exists():
                write_atomic(path, data)
                if path.name != name:
                    self.renamed[name] = path.name
                return path, True
            if _is_same(read_bytes(path), data):
                return path, False
        raise MediaError(f"{MAX_NAMESAKES} pictures are called like it")

    def find(self, name: str, record: FaceRecord) -> Path | None:
        """Return the picture of a face that was cut in the same way before, if it is there."""
        for path in self._candidates(name):
            if not path.exists():
                return None
            old = own_record(read_bytes(path), path)
            if old is not None and _cut(old) == _cut(record):
                return path
        return None

    def put_mask(self, picture: Path, mask: GreyImage | None) -> None:
        """Write the mask of a picture; one that is there stays."""
        path = self._masks / f"{picture.stem}.png"
        if mask is not None and not path.exists():
            write_image(path, mask)
            self.num_masks += 1

    def has_mask(self, picture: Path) -> bool:
        """Tell whether a picture has a mask of its own."""
        return (self._masks / f"{picture.stem}.png").exists()

    def _candidates(self, name: str) -> list[Path]:
        first = self.folder / name
        numbered = (f"{first.stem}_{number}{first.suffix}" for number in itertools.count(1))
        rest = itertools.islice(numbered, MAX_NAMESAKES)
        return [first, *(self.folder / other for other in rest)]


def own_record(data: bytes, path: Path) -> FaceRecord | None:
    """Return our record inside an encoded picture, None if there is no usable one."""
    try:
        return parse_record(data, path)
    except FaceswapError:
        return None


def _is_same(one: bytes, other: bytes) -> bool:
    try:
        return one == other or with_comment(one, "") == with_comment(other, "")
    except FaceswapError:
        return False


def _cut(record: FaceRecord) -> tuple[object, ...]:
    return record.source_name, record.frame_index, record.size_px, record.crop_from_frame
