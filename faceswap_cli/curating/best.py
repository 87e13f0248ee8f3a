"""The best N faces: every pose that there is, evenly, and of each pose the sharpest.

The outcome of DeepFaceLab's `final`: its bins of yaw, its candidates, its ranges, and its
turns among the bins of pitch.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.curating.chain import spread_out
from faceswap_cli.curating.measures import Measures

YAW_BINS, YAW_DEG = 128, 68.75
"""Over -YAW_DEG to YAW_DEG (1.2 radians); what is beyond belongs to the outermost."""
FACES_A_BIN, FEWEST_BINS = 4, 8
"""Where few faces are wanted there are fewer bins of yaw, so that pitch has its say too."""
PITCH_DEG = 90.0
"""The bins of pitch reach this far up and down."""
CANDIDATES = 10
"""For each face that a bin of yaw may give, so many of the sharpest are looked at."""


def choose_best(faces: Sequence[Measures], count: int) -> list[int]:
    """Return the indices of the chosen faces, `count` of them or all there are.

    Every bin of yaw gives as many; what a thin one has not is made up for by the others.
    Within it bins of pitch take turns, each beginning with faces that differ most.

    Args:
        faces: In any order.
        count: 1 or more.

    Returns:
        The first of every bin first, then the second of each ...: any beginning of the list
        is an even choice, too.
    """
    num_yaw = int(np.clip(count // FACES_A_BIN, FEWEST_BINS, YAW_BINS))
    bins: dict[int, list[int]] = defaultdict(list)
    for index, face in enumerate(faces):
        bins[_bin(face.yaw_deg, YAW_DEG, num_yaw)].append(index)
    num_pitch = -(-count // max(1, len(bins)))
    queues = [_take_turns(faces, members, num_pitch) for _, members in sorted(bins.items())]
    quotas = share([len(queue) for queue in queues], count)
    queues = [queue[:quota] for queue, quota in zip(queues, quotas, strict=True)]
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def share(held: Sequence[int], count: int) -> list[int]:
    """Return how many each gives, as evenly as can be, together `count` or all there are.

    Args:
        held: How many each has.
        count: How many are wanted.
    """
    given = [0] * len(held)
    wanted = min(count, sum(held))
    while wanted:
        able = [index for index, has in enumerate(held) if given[index] < has]
        each, more = divmod(wanted, len(able))
        # Those that give one more lie spread over the range, not all at its beginning.
        extra = {able[position * len(able) // more] for position in range(more)}
        for index in able:
            amount = min(each + (index in extra), held[index] - given[index])
            given[index] += amount
            wanted -= amount
    return given


def _take_turns(faces: Sequence[Measures], members: list[int], num_pitch: int) -> list[int]:
    """Return the members of a bin of yaw in the order in which they are wanted."""
    by_sharpness = sorted(members, key=lambda index: -faces[index].sharpness)
    candidates, rest = np.split(np.array(by_sharpness), [CANDIDATES * num_pitch])
    pitch_bins: dict[int, list[int]] = defaultdict(list)
    for index in candidates.tolist():
        pitch_bins[_bin(faces[index].pitch_deg, PITCH_DEG, num_pitch)].append(index)
    rows = {index: faces[index].colours for index in candidates.tolist()}
    queues = [_spread(rows, queue) for _, queue in sorted(pitch_bins.items())]
    longest = max(len(queue) for queue in queues)
    turns = [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]
    return [*turns, *map(int, rest)]


def _spread(rows: dict[int, NDArray[np.float32]], queue: list[int]) -> list[int]:
    stacked = np.stack([rows[index] for index in queue])
    return [queue[place] for place in spread_out(stacked, range(len(queue)))]


def _bin(angle_deg: float, limit_deg: float, number: int) -> int:
    share_of_range = (angle_deg + limit_deg) / (2.0 * limit_deg)
    return int(np.clip(share_of_range * number, 0, number - 1))
