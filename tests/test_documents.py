"""What the documents show must run."""

import re

import pytest

from conftest import ROOT
from maskcorrect_plugin import registry
from maskcorrect_plugin.testing import check_backend


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / path).read_text(), flags=re.DOTALL)


def test_the_backend_of_the_readme_is_complete_and_passes_the_checks():
    namespace = {}
    exec(compile(blocks("adapters/README.md", "python")[0], "adapters/README.md", "exec"), namespace)
    backend = namespace["CenterBackend"]()
    try:
        registry.register_backend(backend)
        check_backend(backend)
    finally:
        registry.unregister_backend("center")


@pytest.mark.parametrize("path", ["README.md", "docs/getting-started.md", "docs/method.md", "docs/architecture.md"])
def test_python_blocks_compile_and_links_lead_somewhere(path):
    for block in blocks(path, "python"):
        compile(block, path, "exec")
    folder = (ROOT / path).parent
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / path).read_text()):
        assert link.startswith("https://") or (folder / link).exists(), f"{path} links to {link}"
