"""What a training tells: log.jsonl, TensorBoard, and pictures."""

import json
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from faceswap_cli.files import write_atomic
from faceswap_cli.imaging import write_image
from faceswap_cli.types import RgbImage


class Journal:
    """Appends to the files of a model folder; after a kill it goes on where the weights do."""

    def __init__(self, folder: Path, from_iteration: int, *, writes: bool = True) -> None:
        """Open the files; `writes` is false where another process of the training writes."""
        self._folder, self._log = folder, folder / "log.jsonl"
        self._board: SummaryWriter | None = None
        if not writes:
            return
        self._forget_after(from_iteration)
        self._board = SummaryWriter(
            log_dir=str(folder / "tensorboard"), purge_step=from_iteration + 1, flush_secs=30
        )

    def write(self, iteration: int, values: dict[str, float]) -> None:
        """Record numbers by name: losses, rate, it/s."""
        if self._board is None:
            return
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"iteration": iteration, **values}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, iteration)

    def show(self, iteration: int, preview: RgbImage) -> None:
        """Keep a preview: the newest as preview.png, all of them in preview_history/."""
        if self._board is None:
            return
        write_image(self._folder / "preview.png", preview)
        write_image(self._folder / "preview_history" / f"{iteration:08d}.jpg", preview)
        self._board.add_image("preview", preview, iteration, dataformats="HWC")

    def close(self) -> None:
        """Flush TensorBoard's file."""
        if self._board is not None:
            self._board.close()

    def _forget_after(self, iteration: int) -> None:
        """Drop what a killed run logged after its last checkpoint: it happens again."""
        if not self._log.exists():
            return
        kept = []
        for line in self._log.read_text("utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["iteration"] <= iteration:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue  # cut short by the kill
        write_atomic(self._log, "".join(kept).encode())
