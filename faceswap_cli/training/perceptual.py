"""Distance of pictures as a network sees them that learnt to tell what pictures show."""

# Shape suffixes: B batch, C channels, H, W sides of the picture, h, w of a feature map.

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from faceswap_cli.errors import ConfigError
from faceswap_cli.files import expand_user

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))
"""Of VGG-16, the widths of convolutions up to relu4_3; pictures are halved between stages."""
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours, RGB, 0..1: what the network was given."""
ADVICE = "give --perceptual-weights a file that torchvision's vgg16 can load, or --perceptual 0"


class Perceptual:
    """Compares pictures by the directions of VGG-16's features. It never learns.

    No part of the model that it teaches: neither its checkpoints nor its optimisers know it.

    Source: Zhang et al., "The unreasonable effectiveness of deep features as a perceptual
    metric", CVPR 2018, equation 1, with every channel at weight 1 and the mean over layers.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights over, by torchvision's names; raises KeyError or RuntimeError."""
        self._stages = _layers(state)
        self._mean, self._spread = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, SPREAD))

    @classmethod
    def open(cls, path: str) -> "Perceptual":
        """Read the weights from a file; without one get them as torchvision does.

        Raises:
            ConfigError: There is no such file, no network, or it holds something else.
        """
        if not path:
            return cls(_downloaded())
        seen_in = f"perceptual_weights {path}"
        try:
            return cls(_read(expand_user(path)))
        except OSError as error:
            what = f"the weights of VGG-16 cannot be read: {error.strerror or error}"
            raise ConfigError(what, seen_in=seen_in, fix=ADVICE) from error
        except (SafetensorError, pickle.UnpicklingError, EOFError, KeyError, RuntimeError) as error:
            why = str(error).partition("\n")[0] or "the file is empty"
            what = f"not the weights of VGG-16: {why}"
            raise ConfigError(what, seen_in=seen_in, fix=ADVICE) from error

    def __call__(self, drawn_BCHW: Tensor, wanted_BCHW: Tensor) -> Tensor:
        """Return the distance of each pair, (B,), 0..2; RGB, 0..1; `wanted` does not learn."""
        self._follow(drawn_BCHW.device)
        with torch.no_grad():
            wanted = self.features(wanted_BCHW)
        apart = [
            (a - b).square().sum(dim=1).flatten(1).mean(dim=1)
            for a, b in zip(self.features(drawn_BCHW), wanted, strict=True)
        ]
        return torch.stack(apart).mean(dim=0)

    def features(self, img_BCHW: Tensor) -> list[Tensor]:
        """Return what each stage sees, (B, C, h, w): at every place a direction of length 1."""
        x = (img_BCHW - self._mean) / self._spread
        found = []
        for stage in self._stages:
            x = stage(x)
            found.append(F.normalize(x.float(), dim=1, eps=1e-6))
        return found

    def _follow(self, place: torch.device) -> None:
        """Move to where the pictures are, the first time."""
        if self._mean.device != place:
            self._stages.to(place)
            self._mean, self._spread = self._mean.to(place), self._spread.to(place)


def _layers(state: Mapping[str, Tensor]) -> nn.ModuleList:
    """Return the stages of VGG-16 with their weights, frozen."""
    stages, c, number = nn.ModuleList(), 3, 0
    for widths in STAGES:
        layers: list[nn.Module] = []
        if len(stages):
            layers, number = [nn.MaxPool2d(2)], number + 1
        for wide in widths:
            conv = nn.utils.skip_init(nn.Conv2d, c, wide, kernel_size=3, padding=1)
            names = {key: f"features.{number}.{key}" for key in ("weight", "bias")}
            conv.load_state_dict({key: state[name] for key, name in names.items()})
            layers += [conv, nn.ReLU()]
            c, number = wide, number + 2
        stages.append(nn.Sequential(*layers))
    return stages.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        loaded: Mapping[str, Tensor] = load_file(path)
        return loaded
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, Mapping):
        raise KeyError(f"a {type(state).__name__}, no weights by name")
    return state


def _downloaded() -> Mapping[str, Tensor]:
    """Return the weights that torchvision publishes; it keeps them for the next time."""
    from torchvision.models import VGG16_Weights

    published = VGG16_Weights.IMAGENET1K_V1
    try:
        state: Mapping[str, Tensor] = published.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"the term perceptual needs the weights of VGG-16, and they cannot be fetched: {error}",
            seen_in=published.url,
            fix=ADVICE,
        ) from error
    return state
