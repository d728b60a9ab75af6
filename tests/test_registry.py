import importlib.metadata
import tomllib
import warnings

import pytest
from conftest import ROOT, make_tiny_net

from maskcorrect_plugin import (
    AttributionBackend,
    AttributionMethod,
    MethodInfo,
    ScoreCAM,
    create_attribution,
    list_attributions,
    list_backends,
    register_backend,
    registry,
)


class Uniform(AttributionMethod):
    def attribute(self, inputs, target):
        return inputs.new_ones(len(inputs), 1, *inputs.shape[-2:])


class OtherBackend(AttributionBackend):
    name = "other"

    def methods(self):
        return ("Uniform", "ScoreMap")

    def create(self, method, model, target_layer=None, **options):
        return Uniform(model)

    def adopt(self, obj, model):
        return Uniform(model) if obj == ["uniform,", "please"] else None


@pytest.fixture
def other_backend():
    register_backend(OtherBackend)
    yield
    registry.unregister_backend("other")


@pytest.fixture
def entry_point(monkeypatch):
    def install(name, value):
        point = importlib.metadata.EntryPoint(name=name, value=value, group=registry.GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda group: [point])

    yield install
    registry._loaded.pop("broken", None)
    registry._broken.discard("broken")


def test_native_names_need_no_prefix_and_may_have_one():
    net = make_tiny_net()
    assert type(create_attribution("ScoreCAM", net)) is type(create_attribution("native:ScoreCAM", net))
    assert {"ScoreCAM", "CAM"} <= set(list_attributions()) and list_backends()[0] == "native"
    assert list_attributions("*score*")[0] == "ScoreCAM"


def test_the_built_in_table_equals_the_entry_points_of_the_distribution():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][registry.GROUP] == registry.BUILTIN_BACKENDS


def test_every_listed_method_has_information_and_an_own_name():
    described = registry.describe_methods()
    assert len(described) == len(list_attributions())
    for name, info in described.items():
        assert registry.split_name(name)[1] == info.name and info.summary


@pytest.mark.usefixtures("other_backend")
def test_a_registered_backend_is_used_by_name_and_by_object():
    net = make_tiny_net()
    assert list_attributions("*score*")[-1] == "other:ScoreMap"
    assert isinstance(create_attribution("other:Uniform", net), Uniform)
    assert isinstance(create_attribution(["uniform,", "please"], net), Uniform)
    with pytest.raises(ValueError, match="'other' is taken"):
        register_backend(OtherBackend())


def test_an_entry_point_of_another_package_is_used(entry_point):
    entry_point("thirdparty", "test_registry:OtherBackend")
    assert "thirdparty:Uniform" in list_attributions()
    assert create_attribution("thirdparty:Uniform", make_tiny_net()).attribute is not None
    registry._loaded.pop("thirdparty")


@pytest.mark.parametrize("value", ["no_such_module:Backend", "test_registry:Missing", "test_registry:Uniform"])
def test_a_broken_entry_point_warns_by_name_once_and_harms_nobody(entry_point, value):
    entry_point("broken", value)
    with pytest.warns(UserWarning, match="attribution backend 'broken' is broken and left out"):
        names = list_attributions()
    assert "ScoreCAM" in names and not any(name.startswith("broken") for name in names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list_attributions() == names
        create_attribution("CAM", make_tiny_net())


def test_an_object_of_ours_is_adopted_with_its_settings():
    net = make_tiny_net()
    method = create_attribution(ScoreCAM(net, net.act, preset="torchcam"), net)
    assert method.settings == {"method": "ScoreCAM", "target_layer": "act", "preset": "torchcam", "max_masks": None}
    with pytest.raises(ValueError, match="bound to the model itself"):
        create_attribution(ScoreCAM(net.forward, net.act), net)


def test_a_method_object_is_given_back_as_it_is_and_takes_no_options():
    net = make_tiny_net()
    mine = Uniform(net)
    assert create_attribution(mine, net) is mine
    with pytest.raises(TypeError, match="has its own settings; remove target_layer, preset"):
        create_attribution(mine, net, "act", preset="official")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("scorecam", r"unknown attribution method 'scorecam'; did you mean 'ScoreCAM'.*backends installed: native"),
        ("nativ:CAM", "unknown attribution method 'nativ:CAM'"),
        ("native:Nothing-like-it-at-all", "known: ScoreCAM, CAM"),
        (
            object(),
            r"method must be a name, a function fn\(model, inputs, targets\), an AttributionMethod or an attribution "
            "object of native.*got builtins.object",
        ),
        (Uniform, r"got the class test_registry.Uniform; make an object of it, bound to the model"),
        (lambda model, inputs: inputs, r"got the function <lambda>\(model, inputs\)"),
    ],
)
def test_unknown_methods_are_refused_with_the_nearest_names(method, message):
    with pytest.raises((ValueError, TypeError), match=message):
        create_attribution(method, make_tiny_net())


@pytest.mark.parametrize("name", ["GradCAM", "captum:GradCAM", "grad-cam:gradcam"])
def test_a_method_of_other_libraries_is_named_with_each_of_them(name):
    message = r"did you mean 'pytorch_grad_cam:GradCAM' or 'torchcam:GradCAM'\?"
    with pytest.raises(ValueError, match=message):
        create_attribution(name, make_tiny_net())


def test_a_backend_that_creates_something_else_is_told_so():
    class Careless(OtherBackend):
        name = "careless"

        def create(self, *args, **kwargs):
            return None

    register_backend(Careless)
    try:
        with pytest.raises(TypeError, match="backend 'careless' must create an AttributionMethod, got None"):
            create_attribution("careless:Uniform", make_tiny_net())
    finally:
        registry.unregister_backend("careless")


def test_a_missing_library_is_listed_and_raises_with_the_command_that_installs_it():
    class Missing(OtherBackend):
        name = "missing"
        library = "a_library_that_nobody_has"
        install = 'pip install "maskcorrect-plugin[missing]"'

    register_backend(Missing)
    try:
        assert "missing:Uniform" in list_attributions()
        with pytest.raises(ImportError, match=r'pip install "maskcorrect-plugin\[missing\]"'):
            create_attribution("missing:Uniform", make_tiny_net())
    finally:
        registry.unregister_backend("missing")


@pytest.mark.parametrize("name", ["", "with space", None])
def test_a_backend_needs_a_name(name):
    wrong = type("Wrong", (OtherBackend,), {"name": name})
    with pytest.raises(ValueError, match=r"backend.name must be an identifier"):
        register_backend(wrong)


def test_only_backends_are_registered():
    with pytest.raises(TypeError, match="backend must be an AttributionBackend"):
        register_backend(MethodInfo)
