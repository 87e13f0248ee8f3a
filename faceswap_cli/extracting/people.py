"""The list of people of a side: a contact sheet of each, and a table."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faceswap_cli.extracting.understand import Clip, in_one_row
from faceswap_cli.faces.people import Person, summarise
from faceswap_cli.faces.pose import estimate_pose
from faceswap_cli.faces.sheets import choose_spread, contact_sheet
from faceswap_cli.faces.sighting_store import Seen
from faceswap_cli.files import fingerprint, write_atomic
from faceswap_cli.imaging import decode_image, write_image

TABLE = "people.json"
MAX_PICTURES = 40
"""People of whom a sheet is drawn; a crowd has hundreds."""


def list_people(clips: Sequence[Clip], folder: Path) -> list[Person]:
    """Return the people of a side, most often seen first; draw and write the list if it changed.

    Args:
        clips: Understood.
        folder: Gets people.json and person_N.jpg.
    """
    faces, rows = in_one_row(clips)
    persons = {face.track: face.person for _, face in faces}
    tracks = [face.track for _, face in faces]
    people = summarise(persons, tracks, rows)
    filled = Counter(
        face.person for _, face in faces if face.sighting.origin in ("repaired", "interpolated")
    )
    table = [_row(person, filled[person.number]) for person in people]
    mark = fingerprint(table=table, clips=[clip.store.about("understood") for clip in clips])
    path = folder / TABLE
    if _is_drawn(path, mark):
        return people
    for person in people[:MAX_PICTURES]:
        _draw(person, [face for face in faces if face[1].person == person.number], folder)
    write_atomic(path, json.dumps({"of": mark, "people": table}, indent=1).encode() + b"\n")
    return people


def _row(person: Person, filled: int) -> dict[str, Any]:
    return {
        "person": person.number,
        "faces": person.num_faces,
        "tracks": list(person.tracks),
        "frames": [person.first_frame, person.last_frame],
        "yaw_deg": list(person.yaw_range_deg),
        "repaired_or_interpolated": filled,
        "picture": f"person_{person.number}.jpg" if person.number < MAX_PICTURES else "",
    }


def _is_drawn(path: Path, mark: str) -> bool:
    try:
        return bool(json.loads(path.read_text("utf-8"))["of"] == mark)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _draw(person: Person, faces: Sequence[tuple[Clip, Seen]], folder: Path) -> None:
    """Write the contact sheet of somebody."""
    shown: list[tuple[Seen, float, bytes]] = []
    for clip in {id(clip): clip for clip, _ in faces}.values():
        tiles = dict(clip.store.tiles(person.number))
        for owner, face in faces:
            if owner is clip and face.id in tiles:
                yaw_deg = estimate_pose(face.sighting.points68)[1]
                shown.append((face, yaw_deg, tiles[face.id]))
    frames = [face.sighting.frame for face, _, _ in shown]
    chosen = [shown[index] for index in choose_spread(frames, [yaw for _, yaw, _ in shown])]
    low, high = person.yaw_range_deg
    sheet = contact_sheet(
        [decode_image(tile, "a tile") for _, _, tile in chosen],
        [f"frame {face.sighting.frame}  yaw {yaw:.0f}" for face, yaw, _ in chosen],
        heading=f"person {person.number}: {person.num_faces} faces, yaw {low:.0f} to {high:.0f},"
        f" {len(person.tracks)} tracks",
    )
    write_image(folder / f"person_{person.number}.jpg", sheet, jpeg_quality=90)
