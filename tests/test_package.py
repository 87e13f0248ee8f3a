"""What travels with the package besides its code."""

import hashlib
from pathlib import Path

import pytest

import faceswap_cli

PACKAGE = Path(faceswap_cli.__file__).parent
WEIGHTS = sorted((PACKAGE / "detect" / "weights").glob("*.safetensors"))
NOTICE = (PACKAGE.parent / "NOTICE").read_text("utf-8")


def test_there_are_weights_and_they_are_small() -> None:
    assert len(WEIGHTS) == 2
    assert sum(path.stat().st_size for path in WEIGHTS) < 3 * 2**20


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.name)
def test_notice_states_the_hash_of_the_weights(path: Path) -> None:
    assert path.name in NOTICE
    assert hashlib.sha256(path.read_bytes()).hexdigest() in NOTICE
