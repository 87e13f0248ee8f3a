"""One step of a training: forward, backward, the optimisers; in parts where memory is short."""

import logging
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device, is_out_of_memory
from faceswap_cli.errors import DeviceError
from faceswap_cli.models import Faces, Terms
from faceswap_cli.ranks import ALONE, Ranks
from faceswap_cli.training.checkpoint import TrainState
from faceswap_cli.training.clipping import clip_gradients
from faceswap_cli.training.compiling import compile_errors, compile_model, forget_compiled
from faceswap_cli.training.optimizers import dropout_generator, step_with_dropout
from faceswap_cli.training.schedule import learning_rate, weighted_loss

_log = logging.getLogger(__name__)


class _Turns(nn.Module):
    """Asks a model for its next losses as a forward pass: there gradients are hooked."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, turns: Iterator[tuple[str, Terms]]) -> tuple[str, Terms]:
        """Return who steps, on what."""
        return next(turns)


class Stepper:
    """Takes the steps. Halves the part of the batch that is computed at once when memory ends."""

    def __init__(
        self, state: TrainState, config: TrainConfig, device: Device, ranks: Ranks = ALONE
    ) -> None:
        self.state, self._config, self._device, self._ranks = state, config, device, ranks
        self.faces_at_once = config.micro_batch or config.batch
        self._compiled = compile_model(state.model, config.compile, device)
        if device.name == "cuda":
            # Every step has the same shapes: it pays to try which convolutions are fastest.
            torch.backends.cudnn.benchmark = True
        if config.recompute:
            state.model.recompute_activations()
        self._turns = ranks.together(_Turns(state.model), all_used=state.model.turns == 1)

    def __call__(self, src: Faces, dst: Faces) -> dict[str, Tensor]:
        """Take one step; return the mean of each term of the loss, still on the device.

        Raises:
            DeviceError: Out of memory with as few faces at once as can be.
        """
        while True:
            try:
                log = self._step(src, dst)
                break
            except compile_errors(compiled=self._compiled) as error:
                self._compiled = False
                forget_compiled(self.state.model)
                _log.warning(
                    "torch.compile does not work here, training goes on without it: %s",
                    str(error).strip().splitlines()[0],
                )
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._take_less(error, len(src))
            # Here and not above: until its error is gone, what the step had made is kept.
            self.state.model.zero_grad(set_to_none=True)
            if self._device.name == "cuda":
                torch.cuda.empty_cache()
        self.state.iteration += 1
        self.state.move_average(self._config.ema_half_life)
        return log

    def _take_less(self, error: RuntimeError, batch: int) -> None:
        now = min(self.faces_at_once, batch)
        less = now // 2 if now <= 2 else (now + 3) // 4 * 2  # even, as models pair neighbours
        if less == 0 or self._ranks.count > 1:
            raise DeviceError(
                f"out of memory on {self._device}, {now} faces of each side at once: "
                + str(error).splitlines()[0],
                seen_in=f"resolution {self._config.resolution}",
                fix=f"--micro-batch {max(1, less)}, --recompute, or add d to --options",
            ) from error
        _log.warning(
            "out of memory: goes on with %d faces of each side at once instead of %d", less, now
        )
        self.faces_at_once = less

    def _step(self, src: Faces, dst: Faces) -> dict[str, Tensor]:
        state, total = self.state, len(src)
        parts = [slice(i, i + self.faces_at_once) for i in range(0, total, self.faces_at_once)]
        waiting = [state.model.losses(src.part(part), dst.part(part)) for part in parts]
        shares = [len(src.part(part)) / total for part in parts]
        log: dict[str, Tensor] = {}
        for turn in range(state.model.turns):
            names = self._gather_gradients(waiting, shares, log)
            self._update([name for name in names.split() if name in state.optimizers], turn)
            # Of all: who steps in a later turn must not learn from this one.
            state.model.zero_grad(set_to_none=True)
        return log

    def _gather_gradients(
        self,
        waiting: list[Iterator[tuple[str, Terms]]],
        shares: list[float],
        log: dict[str, Tensor],
    ) -> str:
        """Take a turn with each part of the batch; add its terms to the log; tell who steps."""
        names = ""
        for turns, share in zip(waiting, shares, strict=True):
            with self._ranks.apart(self._turns, still=turns is not waiting[-1]):
                with self._device.autocast():
                    names, terms = self._turns(turns)
                    loss = weighted_loss(terms, self._config, self.state.iteration)
                (loss * share if share < 1.0 else loss).backward()
            for name, value in terms.items():
                log[name] = log.get(name, 0.0) + share * value.detach().mean()
        return names

    def _update(self, names: list[str], turn: int) -> None:
        """Clip the gradients of some child networks, together, and step these."""
        config, state = self._config, self.state
        networks = {name: state.model.get_submodule(name) for name in names}
        clip_gradients(
            [p for network in networks.values() for p in network.parameters()],
            config.clip_norm,
            # What is usual is that of who draws, which is whose turn is first.
            norms=state.norms if turn == 0 else state.norms[:0],
            quantile=config.clip_quantile,
            number=state.iteration,
        )
        rate = learning_rate(config, state.iteration, scale=state.rate_scale)
        for name, network in networks.items():
            for group in state.optimizers[name].param_groups:
                group["lr"] = rate
            random = None
            if config.lr_dropout > 0:
                place = self._device.place
                random = dropout_generator(config.seed, state.iteration, turn, name, place)
            step_with_dropout(state.optimizers[name], network, config.lr_dropout, random)
