"""Descriptions of objects: equal exactly when the content is, the same in every process, marked if they say less."""

import functools
import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from conftest import ROOT, make_tiny_net
from torch import nn

from maskcorrect_plugin.describing import describe, digest_of, is_described, stable_text


@dataclass
class Setting:
    strength: float = 1.0


class Plain:
    def __init__(self, values):
        self.values = values

    def __call__(self, values):
        return values * self.values

    def method(self):
        return self.values


class Slotted:
    __slots__ = ("value",)


def adds(number):
    return lambda values: values + number


def powers(values, exponent=2, *, sign=1):
    return sign * values**exponent


DIFFERENT = [
    None,
    True,
    0.5,
    "0.5",
    (1, 2),
    {"a": (1, 2)},
    torch.zeros(2),
    torch.ones(2),
    torch.zeros(2, 1),
    torch.zeros(2, dtype=torch.float64),
    np.arange(3),
    np.array(["a", "b"]),
    {"c", "d"},
    Setting(1),
    Setting(2),
    Plain(torch.zeros(2)),
    Plain(torch.ones(2)),
    Plain(1).method,
    Plain(2).method,
    adds(1),
    adds(2),
    adds(torch.ones(1)),
    powers,
    functools.partial(powers, exponent=3),
    functools.partial(powers, exponent=4),
    functools.partial(powers, 3),
    nn.AvgPool2d(2),
    nn.AvgPool2d(3),
    make_tiny_net(0),
    make_tiny_net(1),
    nn.Linear,
    len,
    float("inf"),
]


def test_different_content_is_described_differently():
    digests = [digest_of(describe(value)) for value in DIFFERENT]
    assert len(set(digests)) == len(DIFFERENT)
    assert all(is_described(describe(value)) for value in DIFFERENT)


def test_descriptions_are_plain_values():
    for value in DIFFERENT:
        assert json.loads(json.dumps(describe(value))) == describe(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 2), [1, 2]),
        (torch.ones(2, 2), torch.ones(2, 2).T),
        (torch.arange(3), np.arange(3)),
        (np.float64(0.5), 0.5),
        (adds(3), adds(3)),
        (adds(torch.ones(2)), adds(torch.ones(2))),
        (Plain([torch.ones(2)]), Plain([torch.ones(2)])),
        (functools.partial(powers, 3), functools.partial(powers, 3)),
        (make_tiny_net(2), make_tiny_net(2)),
        ({"b", "a"}, {"a", "b"}),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
    ],
    ids=repr,
)
def test_equal_content_is_described_equally(one, other):
    assert digest_of(describe(one)) == digest_of(describe(other))


def test_what_cannot_be_seen_is_marked_wherever_it_stands():
    hidden = Slotted()
    for value in (hidden, [hidden], Plain(hidden), adds(hidden), functools.partial(powers, hidden), object()):
        assert not is_described(describe(value)), value


def test_objects_too_deep_are_marked():
    deep = 1
    for _ in range(10):
        deep = [deep]
    assert not is_described(describe(deep))


IN_ANOTHER_PROCESS = """
import sys
sys.path[:0] = ["tests", "."]
from test_describing import described_here
print(described_here())
"""


def has_vowels(text):
    return any(letter in {"a", "e", "i", "o", "u"} for letter in text)


def described_here():
    return digest_of(describe([has_vowels, powers, adds(3), Plain({"b", "a"}), Plain, len, torch.ones(2)]))


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_describes_the_same(seed):
    """Sets of texts have another order there."""
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONHASHSEED": seed},
    )
    assert done.stdout.strip() == described_here()


def test_texts_have_no_addresses():
    assert stable_text(object()) == stable_text(object()) == "<object object>"
