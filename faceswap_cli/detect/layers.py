"""What the two nets share: TensorFlow's padding, widening skips, and their weights files."""

import hashlib
from pathlib import Path
from typing import Final

import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from faceswap_cli.errors import WorkspaceError

WEIGHTS_DIR: Final = Path(__file__).parent / "weights"


def pad_channels(image_BCHW: Tensor, channels: int) -> Tensor:
    """Append channels of zeros, as the skip connections of both nets do when they widen."""
    missing = channels - image_BCHW.shape[1]
    return F.pad(image_BCHW, (0, 0, 0, 0, 0, missing)) if missing else image_BCHW


class SameConv(nn.Conv2d):
    """3 x 3 convolution with TensorFlow's SAME padding.

    At stride 2 and an even size it pads one row below and one column to the right, and
    none above or to the left; torch's own padding=1 would shift everything by a pixel.
    """

    def __init__(self, c_in: int, c_out: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(c_in, c_out, 3, stride, padding=2 - stride, groups=groups)

    def forward(self, input: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H / stride, W / stride)."""
        return super().forward(F.pad(input, (0, 1, 0, 1)) if self.stride[0] == 2 else input)


def load_weights(net: nn.Module, file_name: str) -> str:
    """Load the weights that come with the package, and return a name that changes with them.

    Raises:
        WorkspaceError: The file is missing, which means a broken installation.
    """
    path = WEIGHTS_DIR / file_name
    if not path.is_file():
        raise WorkspaceError(
            f"the weights {file_name} are missing",
            seen_in=WEIGHTS_DIR,
            fix="install faceswap-cli again, or run `python scripts/convert_weights.py`",
        )
    data = path.read_bytes()
    net.load_state_dict({name: tensor.float() for name, tensor in load(data).items()})
    return f"{path.stem}@{hashlib.sha256(data).hexdigest()[:8]}"
