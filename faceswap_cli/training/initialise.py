"""The first weights, fitted to the faces: what makes a short training learn at all.

With Glorot's weights alone the upscaling layers fade and the mean face drowns what differs
between faces, so that thousands of iterations pass before a face moves. Here every layer
starts with outputs of mean 0 and spread 1 over real faces, as after a batch normalisation
that is folded into the weights: the architecture, and every exported file, stays as it is.

Source: Kraehenbuehl et al., "Data-dependent Initializations of Convolutional Neural
Networks", ICLR 2016, section 3.1; Mishkin and Matas, "All you need is a good init", ICLR 2016.
"""

# Shape suffixes: B batch, C channels, N length of the code.

from typing import Any

import torch
from torch import Tensor, nn

from faceswap_cli.models import Autoencoder, Faces
from faceswap_cli.models.blocks import Heads

OUTPUT_SPREAD = 0.1
"""Of a layer that draws: near grey, where the sigmoid learns fastest."""
MAX_GAIN = 50.0
"""A channel that hardly varies is not blown up to noise."""
PICTURE_CHANNELS = (1, 3)
BOTTLENECK = "narrow"


@torch.no_grad()
def fit_to_faces(model: Autoencoder, src: Tensor, dst: Tensor) -> None:
    """Rescale and shift every layer of a new model, in the order in which they compute.

    The bottlenecks that see both sides, layers of the name `narrow`, also start blind to what
    tells the sides apart on average: a swap shows the src decoder dst codes, which it must take
    for its own. Networks that only judge stay as they are.

    Args:
        model: Changed in place.
        src: (B, 3, H, W), RGB, 0..1, faces of src.
        dst: The same shape, faces of dst.
    """
    hooks = []
    drawing = [child for name, child in model.named_children() if name not in model.critics]
    modules = [(name, module) for child in drawing for name, module in child.named_modules()]
    heads = [module for _, module in modules if isinstance(module, Heads)]
    for head in heads:
        head.apart = True  # so that each of their layers calls its hook
    fitted: set[nn.Module] = set()
    for name, module in modules:
        if isinstance(module, nn.Conv2d | nn.Linear):
            if name.split(".")[-1] == BOTTLENECK:
                hooks.append(module.register_forward_pre_hook(_forget_side(2 * len(src), fitted)))
            hooks.append(module.register_forward_hook(_standardise_in(fitted)))
    try:
        for _ in model.losses(_as_faces(src), _as_faces(dst)):
            pass
    finally:
        for hook in hooks:
            hook.remove()
        for head in heads:
            head.apart = False


def _as_faces(img: Tensor) -> Faces:
    lms = img.new_zeros(len(img), 68, 2)
    return Faces(img=img, lms=lms, mask=torch.ones_like(img[:, :1]))


def _standardise_in(fitted: set[nn.Module]) -> Any:
    """Return a hook that fits a layer when it computes for the first time."""

    def standardise(layer: nn.Module, inputs: tuple[Tensor], out: Tensor) -> Tensor | None:
        if layer in fitted:
            return None
        fitted.add(layer)
        return _standardise(layer, out)

    return standardise


def _standardise(layer: Any, out: Tensor) -> Tensor:
    """Make mean 0 and spread 1 of each channel; return what the changed layer gives."""
    others = [dim for dim in range(out.ndim) if dim != 1]
    mean_C, spread_C = out.mean(others), out.std(others)
    goal = OUTPUT_SPREAD if out.shape[1] in PICTURE_CHANNELS else 1.0
    gain_C = (goal / spread_C.clamp(min=1e-12)).clamp(max=MAX_GAIN)
    layer.weight.mul_(gain_C.view(-1, *[1] * (layer.weight.ndim - 1)))
    layer.bias.copy_((layer.bias - mean_C) * gain_C)
    along = (1, -1, *[1] * (out.ndim - 2))
    return (out - mean_C.view(along)) * gain_C.view(along)


def _forget_side(both: int, fitted: set[nn.Module]) -> Any:
    """Return a hook that takes out of a layer the direction from mean dst to mean src."""

    def forget(layer: Any, inputs: tuple[Tensor]) -> None:
        (code_BN,) = inputs
        if layer in fitted or len(code_BN) != both:
            return  # a bottleneck of one side: who it is, is all it has to tell
        src_BN, dst_BN = code_BN.chunk(2)
        towards_src = src_BN.mean(dim=0) - dst_BN.mean(dim=0)
        length = towards_src.norm()
        if length > 0:
            unit = towards_src / length
            layer.weight.sub_(torch.outer(layer.weight @ unit, unit))

    return forget
