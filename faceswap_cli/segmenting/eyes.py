"""What the detectors of the package see in a crop: features that a few labels are enough for.

BlazeFace has learnt from many pictures what is a face and what is not, FaceMesh where its parts
are, also behind hands. A network that begins with what they see tells a hand from a cheek after
a hundredth of the training that one needs which begins with pixels alone. Their weights do not
change.
"""

# Shape suffixes: B batch, H = W = resolution.

import torch
import torch.nn.functional as F
from torch import Tensor

from faceswap_cli.detect import blazeface, facemesh
from faceswap_cli.detect.layers import load_weights

SIDE_PX = 192
"""What FaceMesh was made for."""
COARSE, MIDDLE, FINE = 12, 24, 48
"""Sides of the maps, pixels."""
CHANNELS = (256 + 96 + 128 + 128, 128 + 64 + 64, 64 + 48 + 32)
"""Of the maps at COARSE, MIDDLE and FINE."""
Seen = tuple[Tensor, Tensor, Tensor]
"""(B, CHANNELS[i], side, side) at COARSE, MIDDLE and FINE; each source of mean 0, deviation 1."""
_AT_48, _AT_24, _AT_12 = 4, 7, 10
"""Blocks of FaceMesh's trunk after which its maps have that side; after the last it is 6."""


class Eyes:
    """The two networks, frozen."""

    def __init__(self, place: torch.device) -> None:
        """Load them.

        Raises:
            WorkspaceError: Their weights are missing: a broken installation.
        """
        self._mesh, self._blaze = facemesh.FaceMesh(), blazeface.BlazeFace()
        self.name = " ".join(
            (
                load_weights(self._mesh, facemesh.WEIGHTS_FILE),
                load_weights(self._blaze, blazeface.WEIGHTS_FILE),
            )
        )
        for net in (self._mesh, self._blaze):
            net.eval().requires_grad_(False).to(place)

    @torch.no_grad()
    def __call__(self, image_B3HW: Tensor) -> Seen:
        """Return what they see in RGB, 0..1."""
        image = F.interpolate(image_B3HW, size=SIDE_PX, mode="bilinear", antialias=True)
        mesh = self._of_mesh(image)
        net, tone = self._blaze, 2.0 * image - 1.0
        at4 = net.down4(F.relu_(net.stem(tone)))
        at8 = net.down8(at4)
        at16 = net.down16(at8)
        up16 = net.up16(net.down32(at16), at16)
        up8 = net.up8(up16, at8)
        up4 = net.up4(up8, at4)
        return (
            _joined(at16, up16, mesh[12], F.interpolate(mesh[6], scale_factor=2.0)),
            _joined(at8, up8, mesh[24]),
            _joined(at4, up4, mesh[48]),
        )

    def _of_mesh(self, image: Tensor) -> dict[int, Tensor]:
        """Return maps of FaceMesh's trunk by their side."""
        found: dict[int, Tensor] = {}
        x = self._mesh.stem(image)
        for number, block in enumerate(self._mesh.trunk):
            x = block(x)
            if number in (_AT_48, _AT_24, _AT_12):
                found[x.shape[2]] = x.clone()  # the next block may write into it
        found[x.shape[2]] = x
        return found


def _joined(*maps: Tensor) -> Tensor:
    """Return maps of several networks as one; each counts as much as any other."""
    return torch.cat([F.group_norm(each.float(), 1) for each in maps], dim=1)
