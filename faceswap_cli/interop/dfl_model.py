"""A DeepFaceLab model folder, SAEHD or Quick96: what it is, and its weights as ours.

Only what the arrays cannot tell is asked of `NAME_CLASS_data.dat`, the options of the training,
and of the user where that file cannot be read.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.config_train import FIXED
from faceswap_cli.errors import ConfigError, WorkspaceError
from faceswap_cli.interop.dfl_weights import SUB_PIXELS, from_theirs, named_as_theirs
from faceswap_cli.interop.pickles import read_arrays, read_plain

CLASSES: Final = ("SAEHD", "Quick96")
CHILDREN: Final = {
    "df": ("encoder", "inter", "decoder_src", "decoder_dst"),
    "liae": ("encoder", "inter_AB", "inter_B", "decoder"),
}
LETTERS: Final = "udtc"
SEEN_IN_WEIGHTS: Final = "dt"
FACE_TYPES: Final = {
    "h": "half",
    "mf": "mid_full",
    "f": "full",
    "wf": "whole_face",
    "head": "head",
}
_MARK: Final = "_encoder.npy"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DflModel:
    """A model that DeepFaceLab has trained."""

    name: str
    shape: dict[str, Any]
    """Our settings of the structure, without the model's defaults."""
    weights: dict[str, NDArray[np.float32]]
    """By our names."""
    iteration: int | None
    """Of its training; None if it is not known."""
    ignored: list[str] = field(default_factory=list)
    """Files of the model that are of no use here."""


@dataclass(frozen=True)
class _Files:
    folder: Path
    stem: str
    """NAME_CLASS."""

    @property
    def is_quick(self) -> bool:
        return self.stem.endswith(CLASSES[1])

    def path(self, what: str) -> Path:
        return self.folder / f"{self.stem}_{what}"


def read_dfl_model(
    folder: Path,
    *,
    name: str | None = None,
    options: str | None = None,
    face_type: str | None = None,
) -> DflModel:
    """Read a model folder of DeepFaceLab.

    Args:
        folder: With `NAME_SAEHD_encoder.npy` and so on.
        name: Which, if there are several: NAME or NAME_CLASS.
        options: Letters of u, d, t, c, if data.dat cannot tell.
        face_type: One of ours, if data.dat cannot tell.

    Raises:
        WorkspaceError: There is none, several, or it is damaged.
        ConfigError: `options` or `face_type` have to be given, or contradict the weights.
    """
    files = _find(folder, name)
    model = "liae" if files.path("inter_AB.npy").is_file() else "df"
    arrays = {child: _read_child(files, child) for child in CHILDREN[model]}
    about = _read_about(files)
    told = about.get("options", {})
    told = told if isinstance(told, dict) else {}
    letters = _letters(files, arrays, told, options)
    shape: dict[str, Any] = {
        "model": model,
        "options": letters,
        "face_type": _face_type(files, told, face_type),
    }
    try:
        shape |= _dimensions(arrays, letters)
        weights: dict[str, NDArray[np.float32]] = {}
        for child in CHILDREN[model]:
            weights |= from_theirs(child, arrays.pop(child), letters)
    except (ValueError, KeyError, IndexError) as error:
        raise WorkspaceError(
            f"the arrays are not those of a {model}-{letters}: {error}",
            seen_in=files.path("*.npy"),
            fix="import a SAEHD or Quick96 model of DeepFaceLab 2, its files unchanged",
        ) from error
    _check_finite(weights, files)
    if files.is_quick and FIXED["quick96"].items() <= shape.items():
        shape["model"] = "quick96"
    iteration = about.get("iter")
    used = {f"{files.stem}_{child}.npy" for child in CHILDREN[model]} | {
        files.path("data.dat").name
    }
    ignored = sorted(path.name for path in folder.glob(f"{files.stem}_*.npy"))
    return DflModel(
        name=files.stem,
        shape=shape,
        weights=weights,
        iteration=iteration if isinstance(iteration, int) else None,
        ignored=[name for name in ignored if name not in used],
    )


def _find(folder: Path, name: str | None) -> _Files:
    stems = sorted(
        path.name.removesuffix(_MARK)
        for kind in CLASSES
        for path in folder.glob(f"*_{kind}{_MARK}")
    )
    chosen = [s for s in stems if name is None or name in (s, s.rsplit("_", maxsplit=1)[0])]
    if len(chosen) == 1:
        return _Files(folder, chosen[0])
    if not stems:
        raise WorkspaceError(
            f"no model of DeepFaceLab: no *_SAEHD{_MARK} and no *_Quick96{_MARK}",
            seen_in=folder,
            fix="give the folder `model` of a DeepFaceLab workspace",
        )
    raise WorkspaceError(
        "more than one model" if chosen else f"no model {name}",
        seen_in=folder,
        fix=f"choose one: --name with one of {', '.join(chosen or stems)}",
    )


def _read_child(files: _Files, child: str) -> dict[str, NDArray[Any]]:
    return {named_as_theirs(k): v for k, v in read_arrays(files.path(f"{child}.npy")).items()}


def _read_about(files: _Files) -> dict[str, Any]:
    path = files.path("data.dat")
    try:
        return read_plain(path)
    except WorkspaceError as error:
        _log.warning("%s is left out: %s", path.name, error.what)
        return {}


def _letters(
    files: _Files,
    arrays: Mapping[str, Mapping[str, NDArray[Any]]],
    told: Mapping[Any, Any],
    given: str | None,
) -> str:
    """Return the letters of the options, in our order."""
    letters = given
    if letters is None and files.is_quick:
        letters = "ud"
    if letters is None and isinstance(archi := told.get("archi"), str):
        letters = archi.partition("-")[2]
    seen = "d" * ("out_conv1/weight:0" in arrays[_decoder(arrays)])
    seen += "t" * ("down5/conv1/weight:0" in arrays["encoder"])
    if letters is None:
        raise ConfigError(
            "its weights do not tell whether it was trained with options u and c, and"
            f" {files.path('data.dat').name} cannot be read",
            seen_in=files.folder,
            fix=f"--options with what stands behind df- or liae- in {files.stem}_summary.txt,"
            f" such as --options u{seen}, or --options '' for plain df or liae",
        )
    if not set(letters) <= set(LETTERS):
        raise ConfigError(
            f"options {letters!r}: only the letters u, d, t, c are known",
            seen_in="--options" if given is not None else files.path("data.dat"),
            fix=f"--options with letters of {LETTERS}; its weights have {seen or 'no d, no t'}",
        )
    if {letter for letter in letters if letter in SEEN_IN_WEIGHTS} != set(seen):
        raise ConfigError(
            f"options {letters!r}, but its weights have {seen or 'neither d nor t'}",
            seen_in="--options" if given is not None else files.path("data.dat"),
            fix=f"--options with {', '.join(seen) or 'neither d nor t'}, and u or c if it had them",
        )
    return "".join(letter for letter in LETTERS if letter in letters)


def _face_type(files: _Files, told: Mapping[Any, Any], given: str | None) -> str:
    if given in FACE_TYPES.values():
        return str(given)
    if given is None and files.is_quick:
        return "full"
    known = told.get("face_type")
    if given is None and isinstance(known, str) and known in FACE_TYPES:
        return FACE_TYPES[known]
    raise ConfigError(
        f"its weights do not tell the face type, nor does {files.path('data.dat').name}"
        if given is None
        else f"no face type {given}",
        seen_in=files.folder if given is None else "--face-type",
        fix=f"--face-type with one of {', '.join(FACE_TYPES.values())}",
    )


def _decoder(arrays: Mapping[str, Any]) -> str:
    return "decoder" if "decoder" in arrays else "decoder_src"


def _dimensions(arrays: Mapping[str, Mapping[str, NDArray[Any]]], letters: str) -> dict[str, int]:
    """Return resolution and widths, which the shapes of the arrays tell.

    Raises:
        KeyError, ValueError: These are no arrays of such a model.
    """
    encoder, decoder = arrays["encoder"], arrays[_decoder(arrays)]
    inter = arrays["inter_AB" if "inter_AB" in arrays else "inter"]
    first = "down1/conv1" if "t" in letters else "down1/downs_0/conv1"
    e_dims = encoder[f"{first}/bias:0"].size
    length, ae_dims = inter["dense1/weight:0"].shape
    side = math.isqrt(length // (8 * e_dims))
    if 8 * e_dims * side * side != length:
        raise ValueError(f"dense1 takes {length} numbers, {8 * e_dims} channels come in")
    widest = 8 * SUB_PIXELS  # channels of the first upscaling, in widths of the decoder
    return {
        "resolution": side * (32 if "t" in letters else 16),
        "ae_dims": ae_dims,
        "e_dims": e_dims,
        "d_dims": decoder["upscale0/conv1/bias:0"].size // widest,
        "d_mask_dims": decoder["upscalem0/conv1/bias:0"].size // widest,
    }


def _check_finite(weights: Mapping[str, NDArray[np.float32]], files: _Files) -> None:
    wrong = [name for name, values in weights.items() if not np.isfinite(values).all()]
    if wrong:
        raise WorkspaceError(
            f"{len(wrong)} weights are not finite: its training had gone wrong",
            seen_in=files.path("*.npy"),
            fix=f"import one of {files.stem}_autobackups/ instead",
        )
