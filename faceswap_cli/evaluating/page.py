"""The outcome as a page: one file, that fetches nothing and runs nothing."""

import base64
import math
from collections.abc import Sequence
from html import escape

from faceswap_cli.evaluating.charts import caption
from faceswap_cli.evaluating.doubts import ADVICE, WORDS, Doubt, Reason
from faceswap_cli.evaluating.outcome import (
    BUILT_IN_NOTE,
    MEANINGS,
    Outcome,
    count_frames,
    count_reasons,
    main_figures,
)
from faceswap_cli.imaging import encode_image
from faceswap_cli.types import RgbImage

THUMB_QUALITY = 88
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1280px;
       padding: 0 1rem; color: #1c1c1e; background: #fff; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
       border-bottom: 1px solid #e4e4e8; } td.number { text-align: right;
       font-variant-numeric: tabular-nums; } .dim { color: #6b6b72; }
img { max-width: 100%; display: block; }
.doubts { display: grid;
       grid-template-columns: repeat(auto-fill, minmax(376px, 1fr)); gap: 1.2rem; }
.doubt { border: 1px solid #e4e4e8; border-radius: 6px; padding: .6rem; }
.doubt ul { margin: .4rem 0; padding-left: 1.1rem; } .doubt p { margin: .3rem 0; }
pre { background: #f4f4f6; padding: .4rem .6rem; margin: .3rem 0; overflow-x: auto; }
"""


def outcome_html(
    outcome: Outcome, charts: RgbImage, doubts: Sequence[Doubt], sides: Sequence[RgbImage]
) -> bytes:
    """Return the page, UTF-8.

    Args:
        outcome: Of an evaluation.
        charts: As of draw_charts.
        doubts: To be shown, worst first.
        sides: The picture of each, as of read_sides.
    """
    title = escape(f"{outcome.result} against {outcome.footage}")
    looked_at = len({face.frame for face in outcome.faces})
    curves = _image(charts, ".png", "what was measured, over time")
    cards = "\n".join(_card(doubt, side) for doubt, side in zip(doubts, sides, strict=True))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        f"<p>{looked_at} of {outcome.num_frames} frames were measured; "
        f"{outcome.num_swapped} have a face to swap. {escape(outcome.masks)}.</p>",
        _figures(outcome),
        _about_identity(outcome),
        f"<h2>Over time</h2>{curves}",
        f"<h2>Frames that need a look</h2>{_summary(outcome, len(doubts))}",
        f'<div class="doubts">{cards}</div>',
        "</body></html>\n",
    ]
    return "\n".join(parts).encode()


def _figures(outcome: Outcome) -> str:
    rows = []
    for key, value in main_figures(outcome).items():
        unit, meaning = MEANINGS[key]
        shown = "not known" if math.isnan(value) else f"{value:.4g}"
        rows.append(
            f'<tr><td>{escape(key)}</td><td class="number">{shown}</td><td>{escape(unit)}</td>'
            f'<td class="dim">{escape(meaning)}</td></tr>'
        )
    return f"<table>{''.join(rows)}</table>"


def _about_identity(outcome: Outcome) -> str:
    used = outcome.embedding
    told = (
        f"Identity was compared with {used.name}. A face of src has a cosine of "
        f"{_number(used.src_usual)} to the mean of src, a face of dst {_number(used.dst_usual)} to "
        f"that of dst; the two means {_number(used.src_vs_dst)} to each other."
    )
    note = f" Note: {BUILT_IN_NOTE}." if used.is_built_in else ""
    return f'<p class="dim">{escape(told + note)}</p>'


def _summary(outcome: Outcome, shown: int) -> str:
    if not outcome.doubts:
        return "<p>None.</p>"
    counts = ", ".join(
        f"{count} {escape(code.replace('_', ' '))}"
        for code, count in count_reasons(outcome.doubts).most_common()
    )
    frames = count_frames(outcome.doubts)
    return f"<p>{frames}: {counts}. The worst {shown} are shown, footage | result.</p>"


def _card(doubt: Doubt, side: RgbImage) -> str:
    reasons = "".join(f"<li>{_reason(reason)}</li>" for reason in doubt.reasons)
    hint = f"<pre>{escape(doubt.hint)}</pre>" if doubt.hint else ""
    advice = ADVICE[doubt.reasons[0].code]
    return (
        f'<div class="doubt">{_image(side, ".jpg", caption(doubt))}'
        f"<p><b>{escape(caption(doubt))}</b></p><ul>{reasons}</ul>{hint}"
        f'<p class="dim">{escape(advice)}</p></div>'
    )


def _reason(reason: Reason) -> str:
    words = escape(WORDS[reason.code])
    if reason.code == "missed":
        return f"{words}: {reason.value:.0f} frames"
    sign = "at least" if reason.code in ("blur", "background", "no_face") else "at most"
    return f"{words}: <b>{reason.value:.3g}</b> ({sign} {reason.limit:.3g})"


def _image(image: RgbImage, suffix: str, alt: str) -> str:
    data = base64.b64encode(encode_image(image, suffix, jpeg_quality=THUMB_QUALITY)).decode()
    kind = {".png": "png", ".jpg": "jpeg"}[suffix]
    return f'<img alt="{escape(alt)}" src="data:image/{kind};base64,{data}">'


def _number(value: float) -> str:
    return "an unknown value" if math.isnan(value) else f"{value:.2f}"
