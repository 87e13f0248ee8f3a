"""What a training is after, as a model sees it: which terms to compute, not how they weigh."""

from dataclasses import dataclass

from faceswap_cli.training.losses import PLAIN, Compare
from faceswap_cli.training.structure import ms_ssim, texture

TERMS = (
    *("dssim", "ms_ssim", "mse", "texture", "mask", "eyes_mouth", "perceptual"),  # of redrawings
    *("identity", "face_style", "background_style"),  # of swaps
    *("true_face", "gan"),  # of what critics say
)
"""All there are: what is the weight of a term in the settings has its name."""


@dataclass(frozen=True)
class Objective:
    """The terms of a training. One that is not among them costs nothing."""

    terms: frozenset[str] = frozenset({"dssim", "mse", "mask", "eyes_mouth"})
    """Of TERMS."""
    perceive: Compare | None = None
    """Compares pictures for the term `perceptual`."""
    gan_patch: int = 16
    """What the critic of pictures sees at once, pixels."""
    gan_dims: int = 16
    """Width of the critic of pictures."""
    blur_out_mask: bool = False
    """Blur what lies around the faces before it is learnt."""
    mix_codes: bool = True
    """Of LIAE: draw each dst face with what another one's code says of who it is."""

    def __post_init__(self) -> None:
        unknown = self.terms - set(TERMS)
        if unknown or ("perceptual" in self.terms) != (self.perceive is not None):
            raise ValueError(f"unknown {unknown}, or perceptual without what perceives")

    def __contains__(self, term: str) -> bool:
        return term in self.terms

    @property
    def comparisons(self) -> dict[str, Compare]:
        """Return, by name, what compares redrawn faces with the true ones."""
        known = PLAIN | {"ms_ssim": ms_ssim, "texture": texture}
        known |= {"perceptual": self.perceive} if self.perceive else {}
        return {name: compare for name, compare in known.items() if name in self.terms}
