"""The picture that shows how far a training is."""

import torch
import torch.nn.functional as F
from torch import Tensor

from faceswap_cli.imaging import to_uint8
from faceswap_cli.models import Autoencoder
from faceswap_cli.types import RgbImage

GAP_PX = 2


@torch.inference_mode()
def draw_preview(model: Autoencoder, src: Tensor, dst: Tensor) -> RgbImage:
    """Tile one row a face: src, src redrawn, dst, dst redrawn, swap, swap within its mask.

    Args:
        model: On the device of the faces.
        src: (N, 3, H, W), RGB, 0..1.
        dst: The same shape.

    Returns:
        (N (H + gap), 6 (W + gap), 3).
    """
    src_again, dst_again = model.redraw(src, dst)
    swapped, mask = model.swap(dst)
    pasted = dst * (1.0 - mask) + swapped * mask
    columns = [src, src_again, dst, dst_again, swapped, pasted]
    padded = [F.pad(c.float(), (0, GAP_PX, 0, GAP_PX), value=1.0) for c in columns]
    rows = torch.cat(padded, dim=3)  # N 3 H 6W
    sheet = torch.cat(list(rows), dim=1).permute(1, 2, 0)
    return to_uint8(sheet.cpu().numpy())
