"""Whose faces are cut out."""

from pathlib import Path

from faceswap_cli.config import ExtractConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.extracting.cut import Wanted
from faceswap_cli.extracting.look import Engines
from faceswap_cli.faces.people import Person, find_like
from faceswap_cli.files import expand_user
from faceswap_cli.media.pictures import read_picture


def choose_people(section: ExtractConfig, people: list[Person], engines: Engines) -> Wanted:
    """Return which faces the settings ask for.

    Raises:
        WorkspaceError: There is no such person, or nobody looks like the one in the picture.
        MediaError: The picture cannot be read.
    """
    numbers = {int(number) for number in section.person.split(",") if number}
    known = {person.number for person in people}
    if missing := sorted(numbers - known):
        raise WorkspaceError(
            f"there is no person {missing[0]}; there are {len(known)}: "
            + ", ".join(f"{person.number} ({person.num_faces} faces)" for person in people[:20]),
            fix="take numbers of the list of people, or leave --person out",
        )
    if section.like:
        numbers.add(_like(expand_user(section.like), people, engines))
    return lambda face: not numbers or face.person in numbers


def _like(path: Path, people: list[Person], engines: Engines) -> int:
    image = read_picture(path)
    detections = engines.detector.detect([image])
    largest = max(detections[0], key=lambda found: float(found.box[2] - found.box[0]), default=None)
    if largest is None:
        raise WorkspaceError(
            "no face in the picture of --like", seen_in=path, fix="give one with a clear face"
        )
    marks = engines.landmarker.locate([image], [[largest]])
    appearance = engines.appearance.describe([image], marks)[0][0]
    alike = engines.appearance.alike
    return find_like(appearance, people, alike=alike, picture=path)
