"""The house rules: imports run one way, nothing heavy is imported before it is needed, public names stay."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT
from records import random_records
from report_runs import CAM, write_run

import maskcorrect_plugin

PACKAGE = ROOT / "maskcorrect_plugin"
ADAPTERS = ROOT / "adapters" / "maskcorrect_adapters"

LAYERS = [
    {"cli", "cli_evaluation", "__main__", "testing"},
    {"app"},
    {"demo"},
    {"commands"},
    {"report"},
    {"comparison"},
    {"fitting"},
    {"visualization"},
    {"evaluation"},
    {"models", "datasets", "images", "corrector", "correction", "together", "normalization"},
    {"registry", "results", "second_pass"},
    {"recipe", "recipe_words"},
    {"attribution", "feature_maps"},
    {"views", "layers"},
    {"inference"},
    {"functional", "pictures"},
    {"options", "describing"},
    {"checks", "versions", "html_tables", "rgb"},
    {"errors", "printable", "recipe_options"},
]
"""Top to bottom: a module imports from its own layer or from one below."""

LIBRARIES_OF_BACKENDS = {"captum", "pytorch_grad_cam", "torchcam", "maskcorrect_adapters"}
LIBRARIES_OF_EXTRAS = {"timm", "transformers", "datasets", "pytorch_grad_cam", "torchcam"}


def rank(module):
    return next((level for level, names in enumerate(LAYERS) if module in names), None)


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        yield relative.parts[0].removesuffix(".py"), path


def imports(path, *, top_level_only=False):
    """Names that a file imports, absolute: 'maskcorrect_plugin.checks', 'torch'."""
    tree = ast.parse(path.read_text())
    package = ("maskcorrect_plugin", *path.relative_to(PACKAGE).parts[:-1]) if PACKAGE in path.parents else ()
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield prefix
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def test_every_module_has_a_layer():
    unknown = {name for name, _ in modules() if rank(name) is None} - {"__init__"}
    assert not unknown


@pytest.mark.parametrize(("name", "path"), [pytest.param(n, p, id=str(p.relative_to(ROOT))) for n, p in modules()])
def test_imports_run_one_way(name, path):
    if name == "__init__":
        return
    for imported in imports(path):
        parts = imported.split(".")
        if parts[0] == "maskcorrect_plugin" and len(parts) > 1 and (below := rank(parts[1])) is not None:
            assert below >= rank(name), f"{path.name} imports {imported}, which is above it"


@pytest.mark.parametrize(("name", "path"), [pytest.param(n, p, id=str(p.relative_to(ROOT))) for n, p in modules()])
def test_the_core_knows_backends_only_as_strings(name, path):
    if name == "__init__":
        return
    assert not {imported.split(".")[0] for imported in imports(path)} & LIBRARIES_OF_BACKENDS


def test_adapters_do_not_reach_into_the_command_line():
    forbidden = {"cli", "demo", "models", "visualization", "correction", "corrector", "commands"}
    for path in ADAPTERS.glob("*.py"):
        for imported in imports(path):
            parts = imported.split(".")
            assert parts[0] != "maskcorrect_plugin" or len(parts) == 1 or parts[1] not in forbidden, (path, imported)


def imported_after(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("statement", "denied"),
    [
        ("import maskcorrect_plugin", {"torch", "captum", "torchvision", "matplotlib", "PIL"} | LIBRARIES_OF_EXTRAS),
        ("import maskcorrect_plugin.cli", {"torch", "torchvision", "captum", "matplotlib"} | LIBRARIES_OF_EXTRAS),
        ("import maskcorrect_plugin.recipe_options", {"torch", "numpy", "PIL"}),
        ("import maskcorrect_plugin.corrector", {"torchvision", "captum", "matplotlib"} | LIBRARIES_OF_EXTRAS),
        ("import maskcorrect_plugin as m; m.list_attributions()", {"captum", "torchvision"} | LIBRARIES_OF_EXTRAS),
        ("import maskcorrect_plugin.models", {"captum", "matplotlib"} | LIBRARIES_OF_EXTRAS),
        (
            "import maskcorrect_plugin.datasets",
            {"torchvision", "captum", "matplotlib", "pandas", "pyarrow"} | LIBRARIES_OF_EXTRAS,
        ),
        ("import maskcorrect_plugin as m; m.ScoreCAM", {"matplotlib_inline"} | LIBRARIES_OF_EXTRAS),
        (
            "import maskcorrect_plugin.evaluation.protocol_text, maskcorrect_plugin.evaluation.subclasses",
            {"torchvision", "captum", "matplotlib", "pandas", "pyarrow", "torchmetrics", "statsmodels", "scipy"},
        ),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(statement, denied):
    assert not imported_after(statement) & denied


def test_a_report_needs_no_model(tmp_path):
    """Not while it is imported, nor while a page is made."""
    run = write_run(tmp_path / "run", {"CAM": (CAM, random_records(20, 7))}, [f"class {index}" for index in range(7)])
    page = tmp_path / "report.html"
    code = f"from maskcorrect_plugin.report import write_report; write_report([{str(run)!r}], {str(page)!r})"
    denied = {"torchvision", "captum", "torchmetrics", "gradio"} | LIBRARIES_OF_EXTRAS
    assert not imported_after(code) & denied
    assert page.is_file()


def test_public_names():
    """Fails when a public name disappears; a new one is added here on purpose."""
    assert maskcorrect_plugin.__all__ == [
        "AttributionBackend",
        "AttributionMethod",
        "CorrectionResult",
        "CropView",
        "Fit",
        "ImageDataset",
        "LoadedModel",
        "MaskView",
        "MethodInfo",
        "Observation",
        "Picture",
        "Preprocessing",
        "ProbabilityCorrector",
        "Recipe",
        "RunFolder",
        "ScoreCAM",
        "View",
        "ZoomView",
        "__version__",
        "compare",
        "correct_together",
        "create_attribution",
        "create_view",
        "evaluate",
        "find_target_layer",
        "fit",
        "list_attributions",
        "list_backends",
        "list_views",
        "load_dataset",
        "load_model",
        "make_correctors",
        "register_backend",
    ]
    for name in maskcorrect_plugin.__all__:
        assert getattr(maskcorrect_plugin, name) is not None
        assert name in dir(maskcorrect_plugin)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = maskcorrect_plugin.nothing


def test_the_version_stands_once_in_two_places():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == maskcorrect_plugin.__version__
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_files_are_short_enough_to_read():
    lengths = {
        path: len(path.read_text().splitlines()) for folder in (PACKAGE, ADAPTERS) for path in folder.rglob("*.py")
    }
    assert max(lengths.values()) <= 400, max(lengths, key=lengths.get)
    median = sorted(lengths.values())[len(lengths) // 2]
    assert median <= 200


def test_both_packages_are_typed():
    assert (PACKAGE / "py.typed").is_file() and (ADAPTERS / "py.typed").is_file()
    assert not (Path(ADAPTERS).parent / "__init__.py").exists()  # a source root, not a package
