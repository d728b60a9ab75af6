"""Options written once, and their text form, which is read back as it was."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskcorrect_plugin.options import (
    check_names,
    check_options,
    default_of,
    format_spec,
    number,
    option,
    options_of,
    parse_spec,
    split_top_level,
    whole,
)
from maskcorrect_plugin.recipe_options import Option


@dataclass(frozen=True)
class Lens:
    power: float = number(Option("power", 2.0, "how strong", "1 to below 10"), 1, 10)
    kind: str = option(Option("kind", "thin", "which one", choices=("thin", "thick")))
    rings: int = whole(Option("rings", 3, "how many", "1 or more"), 1)
    note: str = "none of the options"

    def __post_init__(self):
        check_options(self)


def test_options_know_their_default_their_help_and_what_they_take():
    found = options_of(Lens)
    assert list(found) == ["power", "kind", "rings"] == list(options_of(Lens(power=3)))
    assert (found["power"].default, found["power"].help, found["power"].allowed) == (2.0, "how strong", "1 to below 10")
    assert found["kind"].choices == ("thin", "thick") and found["rings"].allowed == "1 or more"
    assert default_of(Lens, "rings") == 3


def test_checked_values_are_kept_as_the_checks_give_them():
    lens = Lens(power=1)
    assert isinstance(lens.power, float) and lens == Lens(power=1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"power": 10}, r"power must lie in \[1, 10\), got 10"),
        ({"power": "much"}, "power must be a number, got 'much'"),
        ({"kind": "thik"}, "kind must be one of 'thin', 'thick'; got 'thik'; did you mean"),
        ({"rings": 0}, "rings must be at least 1, got 0"),
        ({"rings": True}, "rings must be an integer"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(values, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Lens(**values)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(
        TypeError, match=r"Lens has no option 'ring'; did you mean 'rings'.*; it takes power, kind, rings"
    ):
        check_names("Lens", {"power": 1, "ring": 2}, options_of(Lens))


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("CAM", "CAM", {}),
        (" CAM [ relu = false ] ", "CAM", {"relu": False}),
        ("x[]", "x", {}),
        ("x[a=1,b=1.5,c=null,d=zero]", "x", {"a": 1, "b": 1.5, "c": None, "d": "zero"}),
        ("x[a=[1,2],b={\"c\":[3,4]}]", "x", {"a": [1, 2], "b": {"c": [3, 4]}}),
        ("zoom[method=CAM[relu=false,layer=act],top_k=3]", "zoom", {"method": "CAM[relu=false,layer=act]", "top_k": 3}),
        ("x[a=\"b,c]\",d=1]", "x", {"a": "b,c]", "d": 1}),
        ("x[views=hflip+whole]", "x", {"views": "hflip+whole"}),
    ],
)  # fmt: skip
def test_texts_are_read_by_hand(text, name, options):
    assert parse_spec(text) == (name, options)


@pytest.mark.parametrize("text", ["", "[a=1]", "x[a=1", "x a=1]", "x[a]", "x[a=1,a=2]", "x[1a=2]", "x[a=1]y", None, 5])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="lens"):
        parse_spec(text, "lens")


words = st.text(st.sampled_from('ab1.-+:"\\ [],={}'), max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
keys = st.text(st.sampled_from("abc_"), min_size=1, max_size=3)
specs = st.tuples(st.sampled_from(["CAM", "captum:Saliency", "other_image"]), st.dictionaries(keys, plain, max_size=4))


@settings(max_examples=300, deadline=None)
@given(spec=specs)
def test_what_is_written_is_read_back(spec):
    assert parse_spec(format_spec(*spec)) == spec


@settings(max_examples=100, deadline=None)
@given(inner=specs, outer=specs)
def test_a_text_may_stand_in_the_brackets_of_another(inner, outer):
    name, options = outer
    options = {**options, "of": format_spec(*inner)}
    assert parse_spec(parse_spec(format_spec(name, options))[1]["of"]) == inner


def test_brackets_keep_what_is_in_them_together():
    assert split_top_level("a + b[c+d] + {e+f} + \"g+h\" + ", "+") == ["a", "b[c+d]", "{e+f}", '"g+h"']  # fmt: skip
