import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from faceswap_cli import chain
from faceswap_cli.cli import ALL_SECTIONS, cli
from faceswap_cli.config import Config
from faceswap_cli.errors import DivergedError, MediaError
from faceswap_cli.options import SettingsCommand, given_flags, section_options
from faceswap_cli.settings import describe_range, find_preset
from faceswap_cli.workspace import StageReport, Workspace

STAGES = ("extract", "train", "merge", "video")
CHAIN = ("run", "demo")
FIELDS = [
    (section, key, field)
    for section, outer in Config.model_fields.items()
    for key, field in type(outer.default).model_fields.items()
    if (section, key) != ("merge", "shot")  # a list of sections: in files only
]
FIELD_IDS = [f"{section}.{key}" for section, key, _ in FIELDS]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """What a stage accepts as a workspace; its footage is never opened."""
    for side in ("src", "dst"):
        (tmp_path / f"data_{side}.mp4").write_bytes(b"video")
    return tmp_path


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Config, bool]]:
    """Stages that do nothing; returns the settings and --redo that each was given."""
    given: dict[str, tuple[Config, bool]] = {}

    def pretend(name: str, _: Workspace, config: Config, *, redo: bool) -> list[StageReport]:
        given[name] = config, redo
        names = ["extract-src", "extract-dst"] if name == "extract" else [name]
        return [StageReport(part, done=2, kept=1) for part in names]

    monkeypatch.setattr(chain, "_run", pretend)
    return given


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> list[StageReport]:
        raise error

    monkeypatch.setattr(chain, "_run", fail)


def test_help_loads_neither_torch_nor_pydantic() -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from faceswap_cli.cli import cli\n"
        "result = CliRunner().invoke(cli, ['--help'])\n"
        "assert result.exit_code == 0 and 'extract' in result.output\n"
        "print(*({'torch', 'pydantic', 'numpy', 'cv2', 'av'} & sys.modules.keys()))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == []


def test_stage_help_does_not_load_torch() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from faceswap_cli.cli import cli; "
        "CliRunner().invoke(cli, ['train', '--help']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def leaves(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the commands that do something, with the words that call them."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, *before, name)
        else:
            yield (*before, name), command


COMMANDS = dict(leaves(cli))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_example_of_every_command_is_valid(words: tuple[str, ...]) -> None:
    lines = [line.strip() for line in call(*words, "--help").output.splitlines()]
    examples = [line for line in lines if line.startswith("faceswap-cli ")]
    assert examples
    for example in examples:
        _, *given = shlex.split(example)
        called = next(known for known in COMMANDS if tuple(given[: len(known)]) == known)
        COMMANDS[called].make_context(" ".join(called), given[len(called) :])


@pytest.mark.parametrize(("section", "key", "field"), FIELDS, ids=FIELD_IDS)
def test_every_setting_is_a_flag_with_its_range(section: str, key: str, field: Any) -> None:
    plain = [words for words in COMMANDS if words[0] not in CHAIN and section in _sections(words)]
    assert plain
    flag = key.replace("_", "-")
    shown_in = [(words, flag) for words in plain]
    if section in ALL_SECTIONS:
        shown_in.append((("run",), f"{section}-{flag}"))
    for command, shown in shown_in:
        text = help_of(*command)
        assert re.search(f"--{shown}[ ,]", text)
        assert describe_range(field).replace("- ", "-") in text


@cache
def help_of(*words: str) -> str:
    """The help without its line breaks, some of which are behind a hyphen."""
    return " ".join(call(*words, "--help").output.split()).replace("- ", "-")


def _sections(words: tuple[str, ...]) -> list[str]:
    command = COMMANDS[words]
    return list(command.settings()) if isinstance(command, SettingsCommand) else []


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_two_options_of_a_command_share_a_flag(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    params = command.get_params(click.Context(command))
    flags = [flag for param in params for flag in (*param.opts, *param.secondary_opts)]
    assert len(flags) == len(set(flags))


def test_range_is_written_for_people() -> None:
    texts = {option.name: option.help for option in section_options("extract")}
    size = texts["extract__size_px"]
    assert size == "Side of a crop, pixels.  [64..2048, multiple of 16; default: 512]"


def test_folder_that_is_no_workspace_says_how_to_make_one(tmp_path: Path) -> None:
    result = call("train", tmp_path)
    assert result.exit_code == 3
    assert "Error: not a workspace: neither data_src nor data_dst is in it" in result.stderr
    assert f"fix: faceswap-cli init {tmp_path} --src" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("source", ["flag", "file"])
def test_value_out_of_range_has_one_message_for_flag_and_file(workspace: Path, source: str) -> None:
    if source == "flag":
        result = call("train", workspace, "--resolution", 1024)
    else:
        (workspace / "config.toml").write_text("[train]\nresolution = 1024\n")
        result = call("train", workspace)
    assert result.exit_code == 2
    assert "less than or equal to 640 (16..640, multiple of 16), got 1024" in result.stderr
    assert ("command line" if source == "flag" else "config.toml") in result.stderr


def test_misspelt_preset_names_the_nearest(workspace: Path) -> None:
    result = call("train", workspace, "-c", "quik")
    assert result.exit_code == 2
    assert "no config file and no preset is called 'quik'" in result.stderr
    assert "did you mean quick?" in result.stderr


def test_unknown_flag_is_a_usage_error(workspace: Path) -> None:
    result = call("train", workspace, "--iteration", 5)
    assert result.exit_code == 2
    assert "--iterations" in result.stderr


def test_flag_wins_over_workspace_over_preset(workspace: Path, seen: dict[str, Any]) -> None:
    preset = workspace / "preset.toml"
    preset.write_text("[train]\niterations = 1\nbatch_size = 2\nseed = 3\n")
    (workspace / "config.toml").write_text("[train]\niterations = 10\nbatch_size = 20\n")
    assert call("train", workspace, "-c", preset, "--iterations", 100).exit_code == 0
    train = seen["train"][0].train
    assert (train.iterations, train.batch_size, train.seed) == (100, 20, 3)
    assert train.resolution == Config().train.resolution


def test_bool_and_negative_flags_reach_the_stage(workspace: Path, seen: dict[str, Any]) -> None:
    assert call("train", workspace, "--src-flip", "--no-dst-flip").exit_code == 0
    assert call("merge", workspace, "--erode", "-5", "--redo").exit_code == 0
    train, (merge, redo) = seen["train"][0].train, seen["merge"]
    assert (train.src_flip, train.dst_flip, merge.merge.erode, redo) == (True, False, -5.0, True)


def test_run_takes_the_flags_of_every_stage(workspace: Path, seen: dict[str, Any]) -> None:
    flags = ["--train-iterations", 7, "--extract-size-px", 256, "--input-dst-span", "1-2"]
    result = call("run", workspace, *flags)
    assert result.exit_code == 0
    assert list(seen) == list(STAGES)
    config = seen["video"][0]
    assert (config.train.iterations, config.extract.size_px) == (7, 256)
    assert config.input.dst_span == "1-2"


def test_the_chain_refuses_to_pretrain(workspace: Path, seen: dict[str, Any]) -> None:
    result = call("run", workspace, "--train-pretrain", workspace)
    assert result.exit_code == 2
    assert "nothing to merge" in result.stderr
    assert not seen


def test_settings_are_printed_and_saved(workspace: Path, seen: dict[str, Any]) -> None:
    del seen
    result = call("merge", workspace, "--erode", 3)
    saved = (workspace / "stages" / "merge.toml").read_text()
    assert "[merge]" in saved
    assert "erode = 3.0" in saved
    assert "[input]" in saved
    assert saved in result.stderr
    assert call("merge", workspace, "--quiet").stderr == ""


def test_refused_run_leaves_the_settings_of_what_is_there(
    workspace: Path, seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    del seen
    call("merge", workspace, "--erode", 3)
    failing(monkeypatch, MediaError("no"))
    call("merge", workspace, "--erode", 4)
    assert "erode = 3.0" in (workspace / "stages" / "merge.toml").read_text()


def test_json_is_one_object_on_stdout(workspace: Path, seen: dict[str, Any]) -> None:
    del seen
    train = json.loads(call("train", workspace, "--json").stdout)
    assert train == {"stage": "train", "done": 2, "kept": 1, "failed": {}}
    extract = json.loads(call("extract", workspace, "--json").stdout)
    assert extract["stage"] == "extract"
    assert [side["stage"] for side in extract["sides"]] == ["extract-src", "extract-dst"]
    chained = json.loads(call("run", workspace, "--json").stdout)
    assert chained["stage"] == "run"
    assert len(chained["stages"]) == 5


def test_failed_item_is_reported_and_the_exit_code_says_so(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = StageReport("merge", done=1, failed={"000007": "damaged"})
    monkeypatch.setattr(chain, "_run", lambda *_, **__: [report])
    result = call("merge", workspace)
    assert result.exit_code == 4
    assert "FAILED 000007: damaged" in result.stdout
    result = call("merge", workspace, "--json")
    assert (result.exit_code, json.loads(result.stdout)["failed"]) == (4, {"000007": "damaged"})


def test_error_has_its_exit_code_and_no_traceback(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, DivergedError("the loss is nan", fix="a smaller --learning-rate"))
    result = call("train", workspace, "--json")
    assert (result.exit_code, result.stdout) == (6, "")
    assert "Error: the loss is nan\nfix: a smaller --learning-rate" in result.stderr


def test_bug_keeps_its_traceback(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError("ours"))
    result = call("train", workspace)
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


def test_interrupt_exits_130_and_says_how_to_go_on(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    result = call("train", workspace)
    assert result.exit_code == 130
    assert "Interrupted. Run the same command again to go on." in result.stderr
    assert (workspace / "stages" / "train.toml").exists()


def test_sigterm_is_as_ctrl_c(workspace: Path) -> None:
    code = (
        "import time\n"
        "from faceswap_cli import chain\n"
        "from faceswap_cli.cli import cli\n"
        "def wait(*_, **__):\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(60)\n"
        "chain._run = wait\n"
        f"cli(['train', {str(workspace)!r}, '--quiet'])\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert process.wait(timeout=30) == 130
        assert time.monotonic() - started < 30
        assert "Run the same command again" in process.stderr.read()


def test_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "data_src").mkdir()
    arguments = [sys.executable, "-c", "from faceswap_cli.cli import cli; cli()", "status"]
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(
        [*arguments, str(tmp_path)], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert run.returncode != 0
    assert run.stderr == ""


def test_read_only_workspace_is_explained(
    workspace: Path, seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    del seen

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")  # tests may run as root, who may write

    monkeypatch.setattr(Path, "write_bytes", refuse)
    result = call("train", workspace)
    assert result.exit_code == 3
    assert "cannot write train.toml: writing is not permitted" in result.stderr


def test_demo_preset_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_preset("demo").is_file()


def test_persons_are_given_one_by_one_and_colours_in_either_spelling() -> None:
    command = COMMANDS["merge",]
    given = ["anna", "--person", "0=model", "--person", "1=skip", "--color", "mkl"]
    context = command.make_context("merge", [*given, "--video-codec", "av1"])
    flags = given_flags(context)
    assert flags["merge"] == {"person": ("0=model", "1=skip"), "colour": "mkl"}
    assert flags["video"] == {"codec": "av1"}
