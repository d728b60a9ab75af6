"""Weights files: what is read, what is refused and why, and that nothing in a file is ever run."""

import os
import pickle
import warnings
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from maskcorrect_plugin.errors import WeightsError
from maskcorrect_plugin.models.weights import infer_num_classes, load_into, match_prefixes, read_state_dict


def network(classes=3):
    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), pool=nn.Flatten(), head=nn.Linear(16, classes))
    )


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


class Malicious:
    """Asks the unpickler to create a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "a.pth", "a.bin", "a.ckpt", "a.PT"])
def test_every_format_gives_back_the_tensors(tmp_path, name):
    state = network().state_dict()
    save = save_file if name.endswith(".safetensors") else torch.save
    save(dict(state), tmp_path / name)
    assert same(read_state_dict(tmp_path / name), state)
    assert same(read_state_dict(str(tmp_path / name)), state)


def test_formats_of_old_torch_are_read(tmp_path):
    state = network().state_dict()
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert same(read_state_dict(tmp_path / "old.pt"), state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {"model_state_dict": state, "loss": 0.5},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {name: nn.Parameter(tensor.float()) for name, tensor in state.items()},
    ],
)
def test_wrappers_are_understood_and_gradients_left_behind(tmp_path, wrap):
    state = network().state_dict()
    torch.save(wrap(state), tmp_path / "a.pt")
    read = read_state_dict(tmp_path / "a.pt")
    assert same({name: tensor.to(state[name].dtype) for name, tensor in read.items()}, state)
    assert not any(tensor.requires_grad for tensor in read.values())


def test_a_part_that_is_called_model_is_no_wrapper(tmp_path):
    torch.save({"model": torch.ones(2), "other": torch.zeros(1)}, tmp_path / "a.pt")
    assert read_state_dict(tmp_path / "a.pt").keys() == {"model", "other"}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.model."])
def test_prefixes_of_wrappers_are_taken_off(prefix):
    state = network().state_dict()
    wrapped = {prefix + name: tensor for name, tensor in state.items()}
    assert same(match_prefixes(wrapped, state), state)
    model = network()
    load_into(model, wrapped, "wrapped")
    assert same(model.state_dict(), state)


def test_prefixes_that_belong_to_the_network_stay():
    own = {"model.conv": torch.ones(1), "model.head": torch.ones(1)}
    assert match_prefixes(own, own) == own
    partly = {"module.conv": torch.ones(1), "criterion.weight": torch.ones(1)}
    assert match_prefixes(partly, ["conv"]) == partly


def test_a_pickle_with_code_is_refused_and_nothing_runs(tmp_path):
    marker = tmp_path / "it-ran"
    evil = {"conv.weight": torch.ones(1), "extra": Malicious(marker)}
    torch.save(evil, tmp_path / "zip.pt")
    torch.save(evil, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.bin").write_bytes(pickle.dumps(Malicious(marker), protocol=2))
    (tmp_path / "newer.bin").write_bytes(pickle.dumps(Malicious(marker), protocol=5))
    for name in ("zip.pt", "old.pth", "bare.bin"):
        with pytest.raises(WeightsError, match=r"nothing in it was run.*asks for '\w+\.mkdir'") as caught:
            read_state_dict(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(WeightsError, match=r"newer\.bin is damaged or not a file that torch\.save wrote"):
        read_state_dict(tmp_path / "newer.bin")
    assert not marker.exists()
    # The trap works: an unpickler that runs code does spring it.
    pickle.loads((tmp_path / "bare.bin").read_bytes())
    assert marker.exists()


def test_a_whole_network_is_refused_with_the_way_to_save_it(tmp_path):
    torch.save(network(), tmp_path / "network.pt")
    with pytest.raises(WeightsError, match=r"network\.pt is refused.*torch\.nn\..*torch\.save\(model\.state_dict\(\)"):
        read_state_dict(tmp_path / "network.pt")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([torch.ones(1)], "holds a list, not a state_dict"),
        (torch.ones(1), "holds a Tensor, not a state_dict"),
        ({"epoch": 3, "loss": 0.5}, "it holds only epoch, loss"),
        ({}, "it holds nothing"),
        ({"state_dict": {}}, "it holds nothing"),
        ({"weight": torch.ones(1), "epoch": 3}, "besides tensors by name it holds epoch"),
        ({0: torch.ones(1)}, "it holds only 0"),
        ({"weight": torch.ones(2, 2).to_sparse()}, "sparse.*weight"),
        ({"weight": torch.ones(2, dtype=torch.complex64)}, "complex.*weight"),
        ({"weight": torch.empty(2, device="meta")}, "meta.*weight"),
    ],
)
def test_what_is_not_a_state_dict_is_named(tmp_path, content, reason):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"a\.pt.*" + reason):
        read_state_dict(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
@pytest.mark.parametrize("part", [0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named(tmp_path, name, part):
    file = tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)(dict(network().state_dict()), file)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(WeightsError, match=f"{name} is damaged"):
        read_state_dict(file)


def test_files_that_are_no_weights_are_named(tmp_path):
    for name in ("a.pt", "a.safetensors"):
        (tmp_path / name).write_bytes(b"<html><body>404 not found</body></html>" * 9)
        with pytest.raises(WeightsError, match=f"{name} is damaged or not a"):
            read_state_dict(tmp_path / name)
    (tmp_path / "b.pt").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"b\.pt is empty"):
        read_state_dict(tmp_path / "b.pt")
    (tmp_path / "c.pt").mkdir()
    with pytest.raises(WeightsError, match=r"c\.pt is a folder"):
        read_state_dict(tmp_path / "c.pt")
    with pytest.raises(WeightsError, match=r"there is no weights file .*d\.pt"):
        read_state_dict(tmp_path / "d.pt")
    with pytest.raises(WeightsError, match=r"must end in \.safetensors, \.pt.*got .*e\.onnx"):
        read_state_dict(tmp_path / "e.onnx")
    with pytest.raises(WeightsError, match="cannot be opened"):
        read_state_dict(tmp_path / ("f" * 5000 + ".pt"))


def test_a_misfit_lists_every_kind_and_changes_nothing():
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = dict(network().state_dict())
    del state["conv.bias"]
    state["head.weight"] = torch.zeros(3, 9)
    state["norm.weight"] = torch.zeros(4, dtype=torch.int8)
    state["extra"] = torch.zeros(1)
    with pytest.raises(WeightsError) as caught:
        load_into(model, state, "mine.pt")
    message = str(caught.value)
    assert message.startswith("mine.pt does not fit Sequential: missing: conv.bias; unexpected: extra; ")
    assert "head.weight (3, 9) where (3, 16) belongs" in message
    assert "norm.weight torch.int8 where torch.float32 belongs" in message
    assert same(model.state_dict(), before)


def test_long_lists_are_shortened_to_five_and_a_count():
    with pytest.raises(WeightsError, match=r"unexpected: x0, x1, x2, x3, x4, \.\.\. \(12 in all\)"):
        load_into(network(), network().state_dict() | {f"x{i}": torch.ones(1) for i in range(12)}, "mine.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_refused_by_name(value):
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = network().state_dict()
    state["norm.running_var"][2] = value
    with pytest.raises(WeightsError, match=r"mine\.pt holds NaN or infinite values in norm\.running_var$"):
        load_into(model, state, "mine.pt")
    assert same(model.state_dict(), before)


def test_precision_is_the_models_and_counters_may_be_missing():
    state = {name: tensor for name, tensor in network().state_dict().items() if "num_batches" not in name}
    halves = {name: tensor.to(torch.bfloat16) for name, tensor in state.items()}
    model = network()
    load_into(model, halves, "mine.pt")
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
    assert all(torch.equal(model.state_dict()[name], tensor.float()) for name, tensor in halves.items())


def test_the_number_of_classes_is_read_from_the_head():
    with torch.device("meta"):
        skeleton = network(7)
    assert infer_num_classes(network(3).state_dict(), skeleton, 7) == 3
    assert infer_num_classes(network(7).state_dict(), skeleton, 7) == 7
    other_width = dict(network(3).state_dict()) | {"head.weight": torch.ones(3, 20)}
    assert infer_num_classes(other_width, skeleton, 7) is None
    disagreeing = dict(network(3).state_dict()) | {"head.bias": torch.ones(2)}
    assert infer_num_classes(disagreeing, skeleton, 7) is None
    not_the_head = dict(network(7).state_dict()) | {"conv.weight": torch.ones(5, 3, 3, 3)}
    assert infer_num_classes(not_the_head, skeleton, 7) is None


def test_torchscript_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # writing TorchScript is deprecated, files of it are not gone
        torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(WeightsError, match=r"script\.pt.*TorchScript"):
        read_state_dict(tmp_path / "script.pt")
