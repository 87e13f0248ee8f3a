"""Where the time of a training goes, without making the device wait."""

import time
from dataclasses import dataclass, field

import torch


@dataclass
class Clock:
    """Measures the iterations between two reads.

    On a GPU work is only ordered, not done, when a call returns: there, marks are left among the
    orders, and their times are asked for when the losses are read, which waits for the device
    anyway.
    """

    device: torch.device
    _marks: list[tuple["_Mark", "_Mark", "_Mark"]] = field(default_factory=list)
    _began: "_Mark | None" = None
    _ready: "_Mark | None" = None
    _lap: float = field(default_factory=time.perf_counter)

    def begin(self) -> None:
        """Mark the end of the last iteration; what comes is waiting for the batch."""
        self._began = self._mark()

    def batch_is_there(self) -> None:
        """Mark that the batch is made."""
        self._ready = self._mark()

    def end(self) -> None:
        """Mark the end of the step."""
        assert self._began is not None and self._ready is not None
        self._marks.append((self._began, self._ready, self._mark()))

    def read(self) -> tuple[float, float]:
        """Return iterations a second and the share of data since the last read."""
        spent = [(a.until(b), b.until(c)) for a, b, c in self._marks]
        self._marks.clear()
        data, step = (sum(part) for part in zip(*spent, strict=True))
        whole = max(data + step, 1e-9)
        return len(spent) / whole, data / whole

    def lap_s(self) -> float:
        """Return the seconds since the last call."""
        now = time.perf_counter()
        self._lap, lap = now, now - self._lap
        return lap

    def _mark(self) -> "_Mark":
        return _Mark(self.device)


class _Mark:
    """A moment in the work of a device."""

    def __init__(self, device: torch.device) -> None:
        self._seconds = time.perf_counter()
        self._event = torch.cuda.Event(enable_timing=True) if device.type == "cuda" else None
        if self._event is not None:
            self._event.record()

    def until(self, later: "_Mark") -> float:
        """Return the seconds between two moments; both must have come."""
        if self._event is None or later._event is None:
            return later._seconds - self._seconds
        later._event.synchronize()
        return float(self._event.elapsed_time(later._event)) / 1000.0
