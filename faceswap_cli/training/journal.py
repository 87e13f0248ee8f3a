"""What a training tells: log.jsonl, TensorBoard, and pictures.

None of it is worth stopping for: where the disk is full, a warning is given once and the
training goes on.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import write_atomic
from faceswap_cli.imaging import write_image
from faceswap_cli.training.trend import Seen
from faceswap_cli.types import RgbImage

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

NEWEST_SECONDS = 30
_log = logging.getLogger(__name__)


class Journal:
    """Appends to the files of a model folder; after a kill it goes on where the weights do."""

    def __init__(self, folder: Path, from_iteration: int, *, writes: bool = True) -> None:
        """Open the files; `writes` is false where another process of the training writes."""
        self._folder, self._log, self._writes = folder, folder / "log.jsonl", writes
        self._board: SummaryWriter | None = None
        self._warned = False
        self.history: list[Seen] = []
        """Numbers by name, by growing iteration, from the beginning of the training."""
        self.forget_after(from_iteration)

    def write(self, iteration: int, values: dict[str, float]) -> None:
        """Record numbers by name: losses, rate, it/s."""
        self.history.append((iteration, values))
        if not self._writes:
            return
        with self._tolerated():
            self._append({"iteration": iteration, **values})
        with self._tolerated():
            board = self._open_board(iteration)
            for name, value in values.items():
                board.add_scalar(name, value, iteration)

    def note(self, iteration: int, text: str) -> None:
        """Record what has happened to the training."""
        if self._writes:
            with self._tolerated():
                self._append({"iteration": iteration, "note": text})

    def show(self, iteration: int, pages: Mapping[str, RgbImage]) -> None:
        """Keep a preview: the newest as NAME.png, all of the first page in preview_history/."""
        if not self._writes:
            return
        with self._tolerated():
            for number, (name, page) in enumerate(pages.items()):
                write_image(self._folder / f"{name}.png", page)
                if number == 0:
                    write_image(self._folder / "preview_history" / f"{iteration:08d}.jpg", page)
        with self._tolerated():
            board = self._open_board(iteration)
            for name, page in pages.items():
                board.add_image(name, page, iteration, dataformats="HWC")

    def forget_after(self, iteration: int) -> None:
        """Drop what comes after an iteration: it happens again, or was in vain.

        Lines that a kill has cut short are dropped, too.
        """
        self._close_board()
        if not self._writes:
            self.history = [seen for seen in self.history if seen[0] <= iteration]
            return
        self.history, kept = [], []
        for line in self._lines():
            try:
                entry = json.loads(line)
                number = int(entry["iteration"])
            except (ValueError, KeyError, TypeError):
                continue
            if number <= iteration:
                kept.append(line + "\n")
                if "note" not in entry:
                    self.history.append((number, entry))
        with self._tolerated():
            if kept or self._log.exists():
                write_atomic(self._log, "".join(kept).encode())
            self._open_board(iteration + 1)

    def close(self) -> None:
        """Flush TensorBoard's file."""
        self._close_board()

    def _lines(self) -> list[str]:
        with self._tolerated():
            if self._log.exists():
                return self._log.read_text("utf-8", errors="replace").splitlines()
        return []

    def _append(self, entry: Mapping[str, object]) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _open_board(self, iteration: int) -> "SummaryWriter":
        if self._board is None:
            # Here: half a second that processes that do not write save.
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(
                log_dir=str(self._folder / "tensorboard"),
                purge_step=iteration,
                flush_secs=NEWEST_SECONDS,
            )
        return self._board

    def _close_board(self) -> None:
        board, self._board = self._board, None
        if board is not None:
            with self._tolerated():
                board.close()

    @contextmanager
    def _tolerated(self) -> Iterator[None]:
        """Turn what cannot be written into one warning."""
        try:
            yield
        except (OSError, WorkspaceError) as error:
            self._board = (
                None  # its thread has ended with the error; the next write makes a new one
            )
            if not self._warned:
                _log.warning("training goes on, but its log cannot be written: %s", error)
            self._warned = True
