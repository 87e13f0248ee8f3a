import ast
from functools import cache
from pathlib import Path

import pytest

import faceswap_cli

PACKAGE = Path(faceswap_cli.__file__).parent

COLOURS = {"colour", "colour_transport"}
CONFIGS = {"config", "config_evaluate", "config_faces", "config_merge", "config_section"}
CONFIGS |= {"config_train", "settings"}
# A module imports from its own layer or from one below it, never from above.
LAYERS = [
    {"errors", "types"},
    CONFIGS | {"workspace", "files", "mask_expression"},
    {"faces", "media", "geometry", "imaging", "masks", "puppet", "device", "progress", "readahead"}
    | {"ranks"}
    | COLOURS,
    {"models", "training", "merging", "detect", "interop", "curating"}
    | {"segmenting", "extracting", "rendering", "evaluating"},
    {"stages"},
    {"chain"},
    {"cli", "options", "invocation", "commands"},
]
PIXELS = {"geometry", "imaging", "masks", "puppet", "faces", "media", "detect", "merging"}
PIXELS |= {"curating", "segmenting", "extracting", "rendering", "evaluating"}
OWNERS = {
    "av": {"media"},
    "c2pa": {"media"},
    "isal": {"media"},
    "cryptography": {"media"},
    "click": {"cli", "options", "invocation", "commands"},
    "cv2": PIXELS,
    "lightning_fabric": {"ranks"},
    "pydantic": CONFIGS | {"faces"},
    "tomllib": {"settings", "stages"},
    "torch": {"device", "detect", "models", "training", "merging", "ranks", "stages", "interop"}
    | {"segmenting", "extracting", "rendering", "evaluating"}
    | COLOURS,
    "tqdm": {"progress"},
}
# Numbers in, numbers out: no path, no settings.
PURE = {"models", "merging", "geometry", "masks", "puppet", "training.damage"} | COLOURS
PURE |= {"training.losses", "training.augment"}
PURE |= {"training.structure", "training.style", "training.adversarial"}
FOR_TYPES_ONLY = "TYPE_CHECKING"
MAX_LINES = 300

MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem[0] != "_"
)


def name_of(path: Path) -> str:
    """Return training.losses of training/losses.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def unit(path: Path) -> str:
    return name_of(path).split(".")[0]


@cache
def imported(path: Path) -> set[str]:
    """Return what a module imports when it runs, whole names; at any depth of its functions."""
    names: set[str] = set()
    tree = ast.parse(path.read_text("utf-8"))
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and FOR_TYPES_ONLY in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def ours(path: Path) -> set[str]:
    found = {name.removeprefix("faceswap_cli.") for name in imported(path)}
    return {name for name in found if f"faceswap_cli.{name}" in imported(path)} - {"__version__"}


def is_pure(path: Path) -> bool:
    return bool({unit(path), name_of(path)} & PURE)


def test_every_module_has_a_layer() -> None:
    assert {unit(path) for path in MODULES} <= set().union(*LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    level = next(i for i, layer in enumerate(LAYERS) if unit(path) in layer)
    allowed = set().union(*LAYERS[: level + 1])
    assert {name.split(".")[0] for name in ours(path)} <= allowed


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_library_has_its_owners(path: Path) -> None:
    for library in {name.split(".")[0] for name in imported(path)} & OWNERS.keys():
        assert unit(path) in OWNERS[library], library


@pytest.mark.parametrize("path", [path for path in MODULES if is_pure(path)], ids=name_of)
def test_pure_code_sees_no_path_and_no_settings(path: Path) -> None:
    libraries = {name.split(".")[0] for name in imported(path)}
    assert "pathlib" not in libraries
    assert not (CONFIGS | {"workspace", "files"}) & {name.split(".")[0] for name in ours(path)}


@pytest.mark.parametrize("path", [p for p in MODULES if unit(p) == "stages"], ids=name_of)
def test_stages_meet_only_through_files(path: Path) -> None:
    assert "stages" not in {name.split(".")[0] for name in ours(path)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_are_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short_enough_to_read(path: Path) -> None:
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]
    long = {node.name: length for node in functions if (length := _body_lines(node)) > 40}
    assert not long


def _body_lines(function: ast.FunctionDef) -> int:
    """Count the lines of the body: a docstring is no burden."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0
