import runpy
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest

from faceswap_cli.config import Config, MergeConfig, VideoConfig
from faceswap_cli.errors import ConfigError
from faceswap_cli.settings import (
    find_preset,
    load_config,
    presets,
    section_toml,
    shipped,
)

CONFIGS = sorted(shipped("configs").glob("*.toml"))


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "swap.toml"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_loads(path: Path) -> None:
    load_config(path)


def test_presets_are_there() -> None:
    assert {"default", "demo", "quick"} <= set(presets())


def test_default_toml_is_the_default_and_holds_every_key() -> None:
    path = find_preset("default")
    assert load_config(path) == Config()
    written = {name: set(keys) for name, keys in tomllib.loads(path.read_text("utf-8")).items()}
    assert written == {
        name: set(type(field.default).model_fields) for name, field in Config.model_fields.items()
    }


def test_default_toml_is_as_the_script_writes_it() -> None:
    script = find_preset("default").parent.parent / "scripts" / "write_default_config.py"
    if not script.is_file():
        pytest.skip("installed without the scripts")
    written = runpy.run_path(str(script))["default_toml"]()
    assert find_preset("default").read_text("utf-8") == written, f"run {script.name}"


def test_workspace_template_changes_nothing_until_edited() -> None:
    template = shipped("workspace_template") / "config.toml"
    assert load_config(template) == Config()
    hints = template.read_text("utf-8").split("[input]")[1].replace("\n# ", "\n")
    load = tomllib.loads("[input]" + hints)
    Config.model_validate(load)  # the hints are settings that exist, in range


def test_later_source_wins_and_flags_win_over_all(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text("[train]\nseed = 1\nbatch_size = 2\n[merge]\nerode = 5\n")
    second.write_text("[train]\nseed = 10\n")
    config = load_config(first, second, flags={"train": {"iterations": 7}})
    assert (config.train.seed, config.train.batch_size, config.train.iterations) == (10, 2, 7)
    assert config.merge.erode == 5


def test_a_flag_wins_over_a_file_that_spells_color(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text('[merge]\ncolour = "lct"\n')
    second.write_text('[merge]\ncolor = "mkl"\n')
    assert load_config(first, second).merge.colour == "mkl"
    assert load_config(second, first).merge.colour == "lct"
    assert load_config(first, second, flags={"merge": {"colour": "sot"}}).merge.colour == "sot"


def test_missing_source_is_passed_over(tmp_path: Path) -> None:
    assert load_config(None, tmp_path / "config.toml") == Config()


def test_unknown_key_names_the_near_one(file: Path) -> None:
    file.write_text("[train]\nbatch_sise = 8\n")
    message = refused(file)
    assert "train.batch_sise: there is no such setting (did you mean batch_size?)" in message
    assert f"seen in: {file}" in message
    assert "fix: " in message


def test_unknown_section_names_the_near_one(file: Path) -> None:
    file.write_text("[trian]\nseed = 8\n")
    assert "trian: there is no such setting (did you mean train?)" in refused(file)


def test_every_wrong_value_is_named_at_once(file: Path) -> None:
    file.write_text('[train]\nresolution = 9600\nbatch_size = "many"\n[merge]\nface = "tallest"\n')
    message = refused(file)
    assert "3 settings cannot be used" in message
    assert "less than or equal to 640 (16..640, multiple of 16), got 9600" in message
    assert "train.batch_size" in message
    assert "merge.face" in message


def test_key_outside_of_a_section_is_explained(file: Path) -> None:
    file.write_text("iterations = 5\n")
    message = refused(file)
    assert "key 'iterations' stands outside of a section" in message
    assert "[train]" in message


@pytest.mark.parametrize("text", ["[train\n", "[train]\nseed = \n", "\x00"])
def test_broken_toml_names_the_file(file: Path, text: str) -> None:
    file.write_text(text)
    message = refused(file)
    assert "not valid TOML" in message
    assert str(file) in message


def test_misspelt_preset_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match="did you mean quick") as caught:
        find_preset("quikc")
    assert "default" in str(caught.value)


def test_sections_must_agree(file: Path) -> None:
    file.write_text('[extract]\nface_type = "half"\n[train]\nface_type = "full"\n')
    assert "train.face_type=full shows more than extract.face_type=half" in refused(file)


@pytest.mark.parametrize("rate", ["0", "25/0", "-3", "fast"])
def test_rate_that_is_none_is_refused(file: Path, rate: str) -> None:
    file.write_text(f'[input]\npicture_rate = "{rate}"\n')
    assert "input.picture_rate" in refused(file)


def test_rate_is_exact() -> None:
    config = load_config(flags={"input": {"picture_rate": "30000/1001"}})
    assert config.input.rate == Fraction(30000, 1001)


@pytest.mark.parametrize("name", list(Config.model_fields))
def test_printed_settings_read_back_the_same(name: str) -> None:
    section = getattr(Config(), name)
    read = tomllib.loads(section_toml(name, section))
    assert read == {name: section.model_dump(mode="json")}


def test_printed_shots_and_persons_read_back_the_same() -> None:
    shots = [{"range": "1-2,9", "colour": "mkl", "erode": 3.5}, {"range": "7", "skip": True}]
    section = MergeConfig.model_validate({"shot": shots, "person": ['0=a "b"', "1=skip"]})
    assert MergeConfig.model_validate(tomllib.loads(section_toml("merge", section))["merge"]) == (
        section
    )


@pytest.mark.parametrize("text", ["two\nlines", 'a "b" \\n', "\t\x07\x7f", "Zoë ✓"])
def test_printed_text_reads_back_the_same(text: str) -> None:
    read = tomllib.loads(section_toml("video", VideoConfig(label=text)))
    assert read["video"]["label"] == text
