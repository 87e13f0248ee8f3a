"""Filling a state with what was saved: what may differ between two runs, and what may not.

Names are KIND/CHILD.REST: model/encoder.down.0.weight, critic/judge.0.weight,
average/encoder.down.0.weight, optimizer/encoder.down.0.weight/exp_avg; and norms, alone.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from faceswap_cli.errors import WorkspaceError

SHOWN = 5
NORMS = "norms"


def fill(own: Mapping[str, Tensor], saved: Mapping[str, Tensor], path: Path) -> None:
    """Copy every saved tensor into its own place.

    Raises:
        WorkspaceError: A name is on one side only, or a shape differs; they are listed, and
            nothing was changed.
    """
    wrong = sorted(own.keys() ^ saved.keys())
    wrong += sorted(k for k in own.keys() & saved.keys() if own[k].shape != saved[k].shape)
    if wrong:
        more = ", ..." if len(wrong) > SHOWN else ""
        raise WorkspaceError(
            f"{len(wrong)} tensors do not fit the model: {', '.join(wrong[:SHOWN])}{more}",
            seen_in=path,
            fix=f"restore the settings it was trained with, or move {path.parent} away",
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(saved[name])


def fill_what_fits(
    own: dict[str, Tensor], saved: dict[str, Tensor], path: Path, *, optimizer: tuple[str, str]
) -> list[str]:
    """Fill a state with a checkpoint; judges and optimisers may have come or gone between.

    Args:
        own: Of the state; changed in place. What is new to the checkpoint stays as it is.
        saved: Of the checkpoint.
        path: Of the checkpoint, for errors.
        optimizer: Its name then, and now.

    Returns:
        What differs, as sentences for people.

    Raises:
        WorkspaceError: Anything else does not fit.
    """
    own, saved = dict(own), dict(saved)
    critics = _of_kind(own, "critic"), _of_kind(saved, "critic")
    told = [
        f"{child} is new, it starts from its first weights" for child in critics[0] - critics[1]
    ]
    told += [f"{child} is not wanted any more, it is left out" for child in critics[1] - critics[0]]
    _forget(own, "critic", critics[0] - critics[1])
    _forget(saved, "critic", critics[1] - critics[0])
    learners = _of_kind(own, "optimizer"), _of_kind(saved, "optimizer")
    if optimizer[0] != optimizer[1]:
        told.append(f"the optimiser was {optimizer[0]}, is {optimizer[1]}: it starts anew")
        stay: set[str] = set()
    else:
        stay = learners[0] & learners[1]
        strange = critics[0] ^ critics[1]
        told += [f"{c} learns now, its optimiser starts anew" for c in learners[0] - stay - strange]
        told += [f"{c} is frozen, its optimiser is dropped" for c in learners[1] - stay - strange]
    _forget(own, "optimizer", learners[0] - stay)
    _forget(saved, "optimizer", learners[1] - stay)
    if (NORMS in own) != (NORMS in saved):
        own.pop(NORMS, None), saved.pop(NORMS, None)
    fill(own, saved, path)
    return sorted(told)


def child_of(name: str) -> str:
    """Return the child network that a tensor belongs to."""
    return name.partition("/")[2].partition(".")[0]


def _of_kind(tensors: Mapping[str, Tensor], kind: str) -> set[str]:
    return {child_of(name) for name in tensors if name.startswith(f"{kind}/")}


def _forget(tensors: dict[str, Tensor], kind: str, children: set[str]) -> None:
    for name in [n for n in tensors if n.startswith(f"{kind}/") and child_of(n) in children]:
        del tensors[name]
