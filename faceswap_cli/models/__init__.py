"""The models, by name. To add one: write its module, add one line here."""

from faceswap_cli.models.autoencoder import DF, LIAE, Autoencoder
from faceswap_cli.models.base import Crop, Faces, Model, Painter, Terms

__all__ = ["MODELS", "Autoencoder", "Crop", "Faces", "Model", "Painter", "Terms"]

MODELS: dict[str, type[DF] | type[LIAE]] = {"df": DF, "liae": LIAE}
