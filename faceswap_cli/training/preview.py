"""The pictures that show how far a training is."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.imaging import to_uint8
from faceswap_cli.models import Autoencoder
from faceswap_cli.training.building import build_model
from faceswap_cli.types import RgbImage

GAP_PX = 2


class Previewer:
    """Draws the same faces each time, with weights that are lent to it."""

    def __init__(self, faces: tuple[Tensor, Tensor], config: TrainConfig, device: Device) -> None:
        """Build a second model: what is compiled for training is not touched.

        Args:
            faces: Of src and dst, (N, 3, H, W), RGB, 0..1, on the device.
            config: Of the training.
            device: Where it draws.
        """
        self._faces, self._device = faces, device
        self._model = build_model(config, device).eval()

    def draw(self, weights: Mapping[str, Tensor]) -> dict[str, RgbImage]:
        """Return the pages of the preview by name."""
        self._model.load_state_dict(weights)
        with self._device.autocast():
            return draw_preview(self._model, *self._faces)

    @torch.inference_mode()
    def contrast(self, weights: Mapping[str, Tensor]) -> float:
        """Return that of faces redrawn, as a share of that of the true ones."""
        self._model.load_state_dict(weights)
        with self._device.autocast():
            drawn = self._model.redraw(*self._faces)
        return spread(torch.cat(drawn)) / max(spread(torch.cat(self._faces)), 1e-6)


def spread(faces_N3HW: Tensor) -> float:
    """Return the standard deviation over space, mean over faces and colours."""
    return float(faces_N3HW.float().flatten(2).std(dim=2).mean())


@torch.inference_mode()
def draw_preview(model: Autoencoder, src: Tensor, dst: Tensor) -> dict[str, RgbImage]:
    """Tile one row a face.

    Args:
        model: On the device of the faces.
        src: (N, 3, H, W), RGB, 0..1.
        dst: The same shape.

    Returns:
        preview: src, src redrawn, dst, dst redrawn, swap, swap within its mask.
        preview_masks: src, its drawn mask, dst, its drawn mask, the mask of the swap.
        Each (N (H + gap), columns (W + gap), 3).
    """
    src_map, dst_map = model.maps(model.encoder(src), model.encoder(dst))
    src_decoder, dst_decoder = model.side_decoders
    (src_again, src_mask), (dst_again, dst_mask) = src_decoder(src_map), dst_decoder(dst_map)
    swapped, swap_mask = model.swap(dst)
    pasted = dst * (1.0 - swap_mask) + swapped * swap_mask
    return {
        "preview": _tiled([src, src_again, dst, dst_again, swapped, pasted]),
        "preview_masks": _tiled([src, src_mask, dst, dst_mask, swap_mask]),
    }


def _tiled(columns: Sequence[Tensor]) -> RgbImage:
    """Put pictures, (N, 3 or 1, H, W) each, side by side, and the rows one below the other."""
    coloured = [c.float().expand(-1, 3, -1, -1) for c in columns]
    padded = [F.pad(c, (0, GAP_PX, 0, GAP_PX), value=1.0) for c in coloured]
    rows = torch.cat(padded, dim=3)
    sheet = torch.cat(list(rows), dim=1).permute(1, 2, 0)
    return to_uint8(sheet.cpu().numpy())
