"""Methods with options on the command line."""

import pytest

from maskcorrect_plugin.commands.method_spec import MethodSpec, check_specs


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("CAM", "CAM", {}),
        ("captum:Saliency", "captum:Saliency", {}),
        ("ScoreCAM[preset=grad_cam]", "ScoreCAM", {"preset": "grad_cam"}),
        (" X[ a = 1 , b=0.5,c=true,d=null, e=text with blanks ]", "X", None),
        ("X[]", "X", {}),
    ],
)
def test_a_name_and_its_options(text, name, options):
    spec = MethodSpec.parse(text)
    assert (spec.name, spec.text) == (name, text.strip())
    expected = {"a": 1, "b": 0.5, "c": True, "d": None, "e": "text with blanks"} if options is None else options
    assert spec.options == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "method must be NAME or"),
        ("X[a=1", "method must be NAME or"),
        ("X[a]", "key=value with commas between, got 'a'"),
        ("X[1a=2]", "key=value with commas between, got '1a=2'"),
        ("X[a=1,a=2]", "must differ, got 'a' twice"),
    ],
)
def test_other_forms_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        MethodSpec.parse(text)


def test_a_method_twice_is_refused_but_not_with_other_options():
    assert len(check_specs(["ScoreCAM", "ScoreCAM[preset=torchcam]"])) == 2
    with pytest.raises(ValueError, match="each method once, got 'CAM' twice"):
        check_specs(["CAM", "CAM"])
