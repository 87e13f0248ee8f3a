"""The models, by name. To add one: write its module, add one line here."""

from faceswap_cli.models.amp import AMP
from faceswap_cli.models.autoencoder import DF, LIAE, Autoencoder
from faceswap_cli.models.base import Crop, Faces, Model, Painter, Terms
from faceswap_cli.models.original import Original

__all__ = ["AMP", "MODELS", "Autoencoder", "Crop", "Faces", "Model", "Painter", "Terms"]

MODELS: dict[str, type[Autoencoder]] = {
    "df": DF,
    "liae": LIAE,
    "quick96": DF,  # of one size, which the settings know
    "amp": AMP,
    "original": Original,
}
