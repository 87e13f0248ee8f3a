"""The outcome as JSON."""

import json
import math
from typing import Any

from faceswap_cli.evaluating.background import psnr_db
from faceswap_cli.evaluating.doubts import Doubt
from faceswap_cli.evaluating.looking import NUMBERS, FaceFigures
from faceswap_cli.evaluating.outcome import BUILT_IN_NOTE, Outcome, count_reasons, main_figures

VERSION = 1
DIGITS = 5
_NOT_LIMITS = {"of", "frames", "recognizer", "thumbnails", "device"}


def outcome_json(outcome: Outcome) -> bytes:
    """Return the whole as JSON, each face a line; what is not known is null."""
    head = {
        "version": VERSION,
        "result": outcome.result,
        "footage": outcome.footage,
        "frames": outcome.num_frames,
        "frames_with_a_face": outcome.num_swapped,
        "frames_looked_at": len({face.frame for face in outcome.faces}),
        "masks": outcome.masks,
        "embedding": _embedding(outcome),
        "limits": outcome.section.model_dump(exclude=_NOT_LIMITS),
        "figures": {key: number(value) for key, value in main_figures(outcome).items()},
        "left_unswapped": [[gap.first, gap.last] for gap in outcome.gaps],
        "reasons": dict(count_reasons(outcome.doubts)),
        "need_a_look": [_doubt(doubt) for doubt in outcome.doubts],
    }
    lines = [json.dumps(_face(face)) for face in outcome.faces]
    text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    return (text + ',\n "faces": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n").encode()


def number(value: float) -> float | None:
    """Return a number as JSON has it: rounded; null if it is none."""
    return round(value, DIGITS) if math.isfinite(value) else None


def _embedding(outcome: Outcome) -> dict[str, Any]:
    used = outcome.embedding
    return {
        "name": used.name,
        "note": BUILT_IN_NOTE if used.is_built_in else None,
        "src_to_its_mean": number(used.src_usual),
        "dst_to_its_mean": number(used.dst_usual),
        "src_vs_dst": number(used.src_vs_dst),
    }


def _doubt(doubt: Doubt) -> dict[str, Any]:
    return {
        "frame": doubt.frame,
        "last": doubt.last,
        "time_s": None if doubt.time_s is None else number(float(doubt.time_s)),
        "track": doubt.track,
        "reasons": {
            reason.code: {"value": number(reason.value), "limit": number(reason.limit)}
            for reason in doubt.reasons
        },
        "try": doubt.hint,
    }


def _face(face: FaceFigures) -> dict[str, Any]:
    return {
        "frame": face.frame,
        "time_s": number(float(face.time_s)),
        "track": face.track,
        **{key: number(getattr(face, key)) for key in NUMBERS},
        "background_psnr_db": number(psnr_db(face.mse)),
    }
