"""A library that is missing, or installed and broken, and what is said of it."""

import re
import sys
import types

import pytest
from conftest import images, make_tiny_net

from maskcorrect_plugin import create_attribution, list_attributions, registry

BACKENDS = {
    "pytorch_grad_cam": ("GradCAM", "grad_cam_method", 'pip install "maskcorrect-plugin[grad-cam]"'),
    "torchcam": ("GradCAM", "torchcam_method", 'pip install "maskcorrect-plugin[torchcam]"'),
    "captum": ("Saliency", "captum_method", "pip install captum"),
}


@pytest.fixture(params=BACKENDS)
def broken(request, monkeypatch):
    """The library is found, but importing it fails."""
    name = request.param
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    for module in (BACKENDS[name][1], "grad_cam_hooks"):
        monkeypatch.delitem(sys.modules, f"maskcorrect_adapters.{module}", raising=False)
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))  # nothing is in it
    return name


def test_a_broken_library_is_listed_and_says_how_to_install_it(broken, monkeypatch):
    method, _, command = BACKENDS[broken]
    monkeypatch.setattr(registry, "is_installed", lambda backend: True)
    assert f"{broken}:{method}" in list_attributions()
    message = rf"{broken} cannot be imported \(.*\). Install it with: {re.escape(command)}"
    with pytest.raises(ImportError, match=message):
        create_attribution(f"{broken}:{method}", make_tiny_net())


def test_a_broken_library_warns_by_name_and_harms_nobody_else(broken):
    def mine(model, inputs, targets):
        return inputs.detach().abs()

    net, inputs = make_tiny_net(), images()
    with pytest.warns(UserWarning, match=f"attribution backend {broken!r} is left out"):
        method = create_attribution(mine, net)
    assert method.attribute(inputs, 0).shape == (3, 1, 16, 20)
    assert create_attribution("CAM", net, "act").attribute(inputs, 0).shape == (3, 1, 16, 20)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_missing_library_is_listed_and_raises_with_the_command(name, monkeypatch):
    method, _, command = BACKENDS[name]
    monkeypatch.setattr(registry, "is_installed", lambda backend: backend.library != name)
    assert f"{name}:{method}" in list_attributions()
    message = f"{name}:{method} needs {name}, which is not installed. Install it with: {re.escape(command)}"
    with pytest.raises(ImportError, match=message):
        create_attribution(f"{name}:{method}", make_tiny_net())
