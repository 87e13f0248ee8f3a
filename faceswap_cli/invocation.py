"""What each command does around its stage: settings in, report and exit code out."""

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from faceswap_cli.errors import ConfigError, MediaError
from faceswap_cli.options import given_flags

if TYPE_CHECKING:
    from faceswap_cli.config import Config, TrainConfig
    from faceswap_cli.workspace import StageReport, Workspace


class _Findings(Protocol):
    """What is told of a training that was only tried."""

    def as_json(self) -> dict[str, Any]: ...

    def text(self) -> str: ...


@dataclass(frozen=True)
class Invocation:
    """One call of a command that runs stages."""

    root: Path
    preset: str | None
    as_json: bool
    quiet: bool
    redo: bool = False

    def run(self, *stages: str) -> None:
        """Run the stages on the workspace, print their reports, and leave with an exit code."""
        from faceswap_cli.chain import run_stage
        from faceswap_cli.workspace import Workspace

        if _is_follower():
            self._follow(*stages)
            return
        workspace = Workspace.open(self.root)
        config = self.settings(workspace)
        if config.train.pretrain and len(stages) > 1:
            raise ConfigError(
                "pretraining makes no model of these two people: there would be nothing to merge",
                seen_in="train.pretrain",
                fix=f"faceswap-cli train {self.root} --pretrain FOLDER, then run without it",
            )
        reports: list[StageReport] = []
        for name in stages:
            reports += run_stage(name, workspace, config, announce=self.announce, redo=self.redo)
        self.report(reports, name=stages[0] if len(stages) == 1 else "run")

    def _follow(self, *stages: str) -> None:
        """Do our part of the training; all else is done and told by the first process."""
        from faceswap_cli.stages.train import run_train
        from faceswap_cli.workspace import Workspace

        if "train" in stages:
            workspace = Workspace.open(self.root)
            run_train(workspace, replace(self, quiet=True).settings(workspace).train)

    def rehearse(self) -> None:
        """Print what a training with these settings would be like; nothing is written."""
        from faceswap_cli.stages.rehearse import rehearse

        self._try_training(rehearse)

    def find_rate(self) -> None:
        """Print which learning rate suits; a picture of it is all that is written."""
        from faceswap_cli.stages.find_rate import find_rate

        self._try_training(find_rate)

    def preview_merge(self, *, frames: int, compare: tuple[str, ...]) -> None:
        """Print where the sheet of a few merged frames lies."""
        from faceswap_cli.chain import settings_toml
        from faceswap_cli.stages.merge_preview import run_preview
        from faceswap_cli.workspace import Workspace

        workspace = Workspace.open(self.root)
        config = self.settings(workspace)
        self.announce(settings_toml("merge", config))
        merge = config.merge
        report = run_preview(workspace, merge, config.input, frames=frames, compare=compare)
        self.report([report], name="merge")

    def _try_training(self, attempt: "Callable[[Workspace, TrainConfig], _Findings]") -> None:
        from faceswap_cli.chain import settings_toml
        from faceswap_cli.workspace import Workspace

        workspace = Workspace.open(self.root)
        config = self.settings(workspace)
        self.announce(settings_toml("train", config))
        found = attempt(workspace, config.train)
        print_json(found.as_json()) if self.as_json else click.echo(found.text())

    def settings(self, workspace: "Workspace") -> "Config":
        """Return the resolved settings: default < --config < config.toml < flag."""
        from faceswap_cli.settings import find_preset, load_config

        if self.quiet:
            from faceswap_cli.progress import be_quiet

            be_quiet()
        _show_log(logging.WARNING if self.quiet else logging.INFO)
        preset = find_preset(self.preset) if self.preset is not None else None
        flags = given_flags(click.get_current_context())
        return load_config(preset, workspace.config, flags=flags)

    def announce(self, settings: str) -> None:
        """Print the settings of a stage on stderr."""
        if not self.quiet:
            click.echo(settings, err=True)

    def report(self, reports: "list[StageReport]", *, name: str) -> None:
        """Print what was done; leave with MediaError's exit code if an item failed."""
        if self.as_json:
            print_json(_as_one(reports, name))
        else:
            click.echo("\n".join(report.summary() for report in reports))
        if any(report.failed for report in reports):
            click.get_current_context().exit(MediaError.exit_code)


def _is_follower() -> bool:
    """Tell whether a launcher started us as another than the first of several processes."""
    if not {"RANK", "SLURM_PROCID"} & os.environ.keys():
        return False  # without torch, which `video` has no need of
    from faceswap_cli.ranks import is_follower

    return is_follower()


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _as_one(reports: "list[StageReport]", name: str) -> dict[str, Any]:
    """Return reports as one object: extract has one for each side, run one for each stage."""
    parts = [report.as_json() for report in reports]
    if name == "extract":
        return {"stage": name, "sides": parts}
    return parts[0] if len(parts) == 1 else {"stage": name, "stages": parts}


class _Stderr(logging.Handler):
    """Writes to what is stderr at the time, which is not always what it was at the start."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        prefix = "" if record.levelno <= logging.INFO else f"{record.levelname.capitalize()}: "
        click.echo(prefix + self.format(record), err=True)


def _show_log(level: int) -> None:
    log = logging.getLogger("faceswap_cli")
    log.setLevel(level)
    if not any(isinstance(handler, _Stderr) for handler in log.handlers):
        log.addHandler(_Stderr())
