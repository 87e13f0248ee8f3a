"""The terms of an autoencoder's losses, as its objective wants them."""

# Shape suffixes: B batch, C channels, H = W side of the crop, l of the decoders' first map.

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faceswap_cli.models.base import Faces, Terms
from faceswap_cli.models.critics import frozen
from faceswap_cli.training.adversarial import fooling, total_variation
from faceswap_cli.training.losses import mse, redraw_terms, soften, within
from faceswap_cli.training.style import (
    background_style,
    cut_out,
    face_style,
    joint_mask,
    unlikeness,
)

if TYPE_CHECKING:
    from faceswap_cli.models.autoencoder import Autoencoder

Evidence = dict[str, tuple[Tensor, Tensor]]
"""What each critic is to tell apart, by its name: the false and the true, as many."""


@dataclass(frozen=True)
class Redrawn:
    """One side, drawn again from its distorted pictures."""

    true: Faces
    code: Tensor
    """Of the encoder."""
    start: Tensor
    """(B, C, l, l): what the decoder started from."""
    face: Tensor
    """(B, 3, H, W), RGB, 0..1."""
    mask: Tensor
    """(B, 1, H, W), 0..1."""


def drawing_terms(model: "Autoencoder", src: Redrawn, dst: Redrawn) -> tuple[Terms, Evidence]:
    """Return the terms of all that draws, and what the critics shall judge after that.

    Names are src/dssim, swap/identity ...: which faces are compared, and how.
    """
    wanted = model.objective
    terms: Terms = {}
    for name, side in (("src", src), ("dst", dst)):
        found = redraw_terms(
            side.face,
            side.mask,
            side.true,
            wanted.comparisons,
            outline="mask" in wanted and model.draws_mask,
            parts="eyes_mouth" in wanted,
        )
        terms |= {f"{name}/{term}": value for term, value in found.items()}
    if wanted.terms & {"face_style", "identity"}:
        terms |= _likeness_terms(model, src, dst)
    if "background_style" in wanted:
        terms["swap/background_style"] = _background(model, dst)
    evidence: Evidence = {}
    if "gan" in wanted:
        judged = {"src": src, "dst": dst}
        judged = {name: judged[name] for name in model.gan_sides}
        terms |= _picture_terms(model, judged)
        evidence["gan"] = _pictures(judged)
    if "true_face" in wanted:
        critic = model.get_submodule("code_critic")
        with frozen(critic):
            terms["src/true_face"] = fooling(critic(src.start))
        evidence["code_critic"] = (src.start.detach(), dst.start.detach())
    return terms, evidence


def _likeness_terms(model: "Autoencoder", src: Redrawn, dst: Redrawn) -> Terms:
    """Compare a swap with dst's light and with src's looks; only what decodes it learns.

    src and dst look like they are redrawn: as sharp as the swap, so that only who it is remains
    to tell them apart. The encoder is no judge by training, and all that sets src faces apart
    from dst faces on average, be it the light, counts as identity.
    """
    terms: Terms = {}
    with torch.no_grad():
        start = model.swap_map(dst.code)
    face, mask = model.side_decoders[0](start)
    face = cut_out(face, mask)
    if "face_style" in model.objective:
        terms["swap/face_style"] = face_style(face, cut_out(dst.face, dst.mask).detach())
    if "identity" in model.objective:
        with torch.no_grad():
            known = [model.features(cut_out(side.face, side.mask)) for side in (src, dst)]
        with frozen(model.encoder):
            terms["swap/identity"] = unlikeness(model.features(face), *known)
    return terms


def _background(model: "Autoencoder", dst: Redrawn) -> Tensor:
    """Compare a swap with dst around the face; all that draws it learns."""
    face, mask = model.side_decoders[0](model.swap_map(dst.code))
    return background_style(face, dst.true.img, soften(joint_mask(mask, dst.mask)))


def _picture_terms(model: "Autoencoder", sides: dict[str, Redrawn]) -> Terms:
    """Have pictures judged, and keep what the critic does not see from becoming noise."""
    terms: Terms = {}
    critic = model.get_submodule("gan")
    for name, side in sides.items():
        with frozen(critic):
            terms[f"{name}/gan"] = fooling(critic(within(side.face, side.true.mask)))
        around = 1.0 - soften(side.true.mask)
        terms[f"{name}/gan_around"] = mse(side.face * around, side.true.img * around)
        terms[f"{name}/gan_noise"] = total_variation(side.face)
    return terms


def _pictures(sides: dict[str, Redrawn]) -> tuple[Tensor, Tensor]:
    """Return what the critic of pictures is to tell apart: faces alone, drawn and true."""
    drawn = [within(side.face.detach(), side.true.mask) for side in sides.values()]
    true = [within(side.true.img, side.true.mask) for side in sides.values()]
    return torch.cat(drawn), torch.cat(true)
