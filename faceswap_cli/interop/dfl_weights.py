"""DeepFaceLab's weights as ours, and back: the same numbers in another order.

Each network is a file, `NAME_CLASS_encoder.npy`: a pickled dict of arrays, named by where the
layer is. What differs from torch:

* A convolution's kernel is (height, width, in, out); a dense layer's matrix is (in, out).
* Before a sub-pixel upscaling, channel s * C + c holds the sub-pixel s of channel c; torch has
  it at c * 4 + s. Sub-pixels count by rows. The four heads of option d are the sub-pixels in
  this order on both sides.
* Pictures are BGR, in and out.

Flattening and unflattening is by channel, row, column on both sides.
"""

# Shape suffixes: H, W of a kernel, I channels or numbers in, O out.

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
SUB_PIXELS = 4
# DeepFaceLab numbers the elements of a list by NAME_INDEX: down1/downs_0/conv1/weight:0. In
# ports of it to torch that write their own names the index of a ModuleList is a part of the
# path, and there is no :0, which is TensorFlow's: down1/downs/0/conv1/weight.
_INDEX_IN_PATH = re.compile(r"\bdowns[/.](\d)\b")


@dataclass(frozen=True)
class Layer:
    """A layer with weight and bias, where each side keeps it."""

    ours: str
    """Inside the child network: down.0.0."""
    theirs: str
    """down1/downs_0/conv1."""
    shuffled: bool = False
    """Its channels out are sub-pixels."""
    bgr: str = ""
    """in, out: of which channels the order is that of the colours."""

    def weight_from_theirs(self, weight: NDArray[Any]) -> NDArray[np.float32]:
        """(H, W, I, O) -> (O, I, H, W), or (I, O) -> (O, I)."""
        weight = self._shuffle(weight, inverse=False)
        if self.bgr:
            weight = np.flip(weight, axis=-2 if self.bgr == "in" else -1)
        return _settled(weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight.T)

    def weight_to_theirs(self, weight: NDArray[Any]) -> NDArray[np.float32]:
        """The way back."""
        weight = weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
        if self.bgr:
            weight = np.flip(weight, axis=-2 if self.bgr == "in" else -1)
        return _settled(self._shuffle(weight, inverse=True))

    def bias_from_theirs(self, bias: NDArray[Any]) -> NDArray[np.float32]:
        """(O,) or, in old files, (1, 1, 1, O) -> (O,)."""
        bias = self._shuffle(bias.reshape(-1), inverse=False)
        return _settled(bias[::-1] if self.bgr == "out" else bias)

    def bias_to_theirs(self, bias: NDArray[Any]) -> NDArray[np.float32]:
        """The way back."""
        return _settled(self._shuffle(bias[::-1] if self.bgr == "out" else bias, inverse=True))

    def _shuffle(self, values: NDArray[Any], *, inverse: bool) -> NDArray[Any]:
        """Order the last axis, O = 4 C: from sub-pixel, channel to channel, sub-pixel."""
        if not self.shuffled:
            return values
        parts = (-1, SUB_PIXELS) if inverse else (SUB_PIXELS, -1)
        apart = values.reshape(*values.shape[:-1], *parts)
        return apart.swapaxes(-1, -2).reshape(values.shape)


def layers(child: str, options: str) -> list[Layer]:
    """Return the layers of a child network of DF or LIAE."""
    if child == "encoder":
        return list(_encoder(options))
    return list(_inter(options) if child.startswith("inter") else _decoder(options))


def from_theirs(child: str, arrays: Arrays, options: str) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a child network by our names.

    Raises:
        ValueError: Arrays are missing, or there are others; names them.
    """
    given = {named_as_theirs(name): array for name, array in arrays.items()}
    table = layers(child, options)
    wanted = {f"{layer.theirs}/{kind}:0" for layer in table for kind in ("weight", "bias")}
    if wrong := sorted(wanted ^ given.keys()):
        raise ValueError(_listed("missing", wrong, wanted) + _listed("not known", wrong, given))
    found = {}
    for layer in table:
        weight, bias = (given[f"{layer.theirs}/{kind}:0"] for kind in ("weight", "bias"))
        found[f"{child}.{layer.ours}.weight"] = layer.weight_from_theirs(weight)
        found[f"{child}.{layer.ours}.bias"] = layer.bias_from_theirs(bias)
    return found


def to_theirs(child: str, weights: Arrays, options: str) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a child network by DeepFaceLab's names; `weights` are by ours."""
    found = {}
    for layer in layers(child, options):
        weight, bias = (weights[f"{child}.{layer.ours}.{kind}"] for kind in ("weight", "bias"))
        found[f"{layer.theirs}/weight:0"] = layer.weight_to_theirs(weight)
        found[f"{layer.theirs}/bias:0"] = layer.bias_to_theirs(bias)
    return found


def named_as_theirs(name: str) -> str:
    """Return DeepFaceLab's name of an array that may be named as in a port of it."""
    return _INDEX_IN_PATH.sub(r"downs_\1", name).removesuffix(":0") + ":0"


def _encoder(options: str) -> Iterator[Layer]:
    if "t" not in options:
        for i in range(4):
            yield Layer(f"down.{i}.0", f"down1/downs_{i}/conv1", bgr="" if i else "in")
        return
    yield Layer("down.0.0", "down1/conv1", bgr="in")
    yield from _residual("down.1", "res1")
    for i in range(2, 6):
        yield Layer(f"down.{i}.0", f"down{i}/conv1")
    yield from _residual("down.6", "res5")


def _inter(options: str) -> Iterator[Layer]:
    yield Layer("narrow", "dense1")
    yield Layer("widen", "dense2")
    if "t" not in options:
        yield Layer("up.0", "upscale1/conv1", shuffled=True)


def _decoder(options: str) -> Iterator[Layer]:
    doublings = 4 if "t" in options else 3
    for i in range(doublings):
        yield Layer(f"face.{2 * i}.0", f"upscale{i}/conv1", shuffled=True)
        yield from _residual(f"face.{2 * i + 1}", f"res{i}")
    for k in range(SUB_PIXELS if "d" in options else 1):
        yield Layer(f"heads.{k}", f"out_conv{k or ''}", bgr="out")
    of_mask = doublings + ("d" in options)
    for i in range(of_mask):
        yield Layer(f"mask.{i}.0", f"upscalem{i}/conv1", shuffled=True)
    yield Layer(f"mask.{of_mask}", "out_convm")


def _residual(ours: str, theirs: str) -> Iterator[Layer]:
    for conv in ("conv1", "conv2"):
        yield Layer(f"{ours}.{conv}", f"{theirs}/{conv}")


def _settled(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return a copy in one piece."""
    return np.array(values, dtype=np.float32, order="C")


def _listed(what: str, names: list[str], among: Any) -> str:
    found = [name for name in names if name in among]
    return f"{what}: {', '.join(found[:5])}{' ...' * (len(found) > 5)} " if found else ""
