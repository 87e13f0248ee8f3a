"""Tells people how a training goes: the bar, the log, the previews, the report."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.training.checkpoint import TrainState
from faceswap_cli.training.journal import Journal
from faceswap_cli.training.loop import Look
from faceswap_cli.training.preview import Previewer
from faceswap_cli.training.schedule import learning_rate
from faceswap_cli.training.trend import arrow, mean_and_trend

if TYPE_CHECKING:
    from tqdm import tqdm

ON_THE_BAR = ("dssim", "ms_ssim")
"""Terms that fit on one line and say most."""


@dataclass
class Teller:
    """Called by the loop; in a process that only computes, it writes and draws nothing."""

    state: TrainState
    section: TrainConfig
    device: Device
    journal: Journal
    previewer: Previewer
    bar: "tqdm[NoReturn]"
    leads: bool = True
    troubles: list[str] = field(default_factory=list)
    """What has gone wrong in this run."""
    last: Look | None = None

    def seen(self, iteration: int, look: Look | None) -> None:
        """Move the bar; tell what a look has seen."""
        self.bar.update()
        if look is None:
            return
        self.last = look
        speed = self._speed(look)
        rate = learning_rate(self.section, iteration, scale=self.state.rate_scale)
        self.journal.write(iteration, look.losses | {"rate": rate} | speed)
        shown = {k: v for k, v in look.losses.items() if k.split("/")[-1] in ON_THE_BAR}
        losses = {name: f"{value:.4f}{self._arrow(name)}" for name, value in shown.items()}
        self.bar.set_postfix(losses | {k: f"{v:.3g}" for k, v in speed.items() if k != "it_s"})

    def show(self) -> None:
        """Draw the preview."""
        if self.leads:
            pages = self.previewer.draw(self.state.weights())
            self.journal.show(self.state.iteration, pages)

    def contrast(self) -> float:
        """Return that of faces drawn by the weights as they are, see Previewer."""
        return self.previewer.contrast(self.state.raw_weights())

    def went_back(self, why: str) -> None:
        """Tell that the training goes on from an earlier iteration."""
        iteration = self.state.iteration
        self.troubles.append(why)
        self.journal.forget_after(iteration)
        self.journal.note(
            iteration, f"went back to here, {self.state.rate_scale:g} of the learning rate: {why}"
        )
        self.last = None
        self.bar.n = iteration
        self.bar.refresh()

    def facts(self) -> dict[str, Any]:
        """Return what the report tells: speed, losses and their trend, what went wrong."""
        facts: dict[str, Any] = dict(self._speed(self.last)) if self.last else {}
        losses = {}
        for name in sorted(self.last.losses if self.last else ()):
            found = mean_and_trend(self.journal.history, name)
            if found is not None:
                mean, change = found
                percent = {} if change is None else {"change_percent": round(change, 1)}
                losses[name] = {"mean": float(f"{mean:.4g}"), **percent}
        if losses:
            facts["losses"] = losses
        if self.state.rollbacks:
            facts["rollbacks"] = self.state.rollbacks
            facts["rate_scale"] = self.state.rate_scale
        if self.troubles:
            facts["went wrong"] = self.troubles
        return facts

    def _arrow(self, name: str) -> str:
        found = mean_and_trend(self.journal.history, name)
        return arrow(found[1]) if found else ""

    def _speed(self, look: Look) -> dict[str, float]:
        return {
            "it_s": round(look.it_s, 3),
            "images_s": round(2 * self.section.batch * look.it_s, 1),
            "memory_gib": round(self.device.used_bytes() / 2**30, 2),
            "data_percent": round(100.0 * look.data_share, 2),
        }
