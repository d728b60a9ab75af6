"""`fit`: on a run or on records, what it refuses, what it says, and the file that it becomes."""

import json
import warnings

import numpy as np
import pytest
import torch
from conftest import Counter, make_tiny_net
from fitted_runs import VIEWS, Shifts, other_image, rich, run_of
from fitting_data import answers_of, drawn, frame_of, recipe_of, records_of
from lively import OPTIONS

from maskcorrect_plugin import ProbabilityCorrector, Recipe, RunFolder, fit
from maskcorrect_plugin.describing import describe_model
from maskcorrect_plugin.fitting.file import save_corrector
from maskcorrect_plugin.fitting.words import headline, notes, tables
from maskcorrect_plugin.recipe import CORRECTOR_FORMAT

pytestmark = pytest.mark.filterwarnings("ignore:.*labelled images are few for a fit")
UNGUIDED = Recipe(method=None, views=("hflip",))
RECIPES = {"rich": rich(), "paper": Recipe(method="CAM", **OPTIONS), "mirror": UNGUIDED, "other": other_image()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit") / "run"
    net, data, records = run_of(RECIPES, folder)
    return net, data, records, folder


@pytest.fixture(scope="module")
def found(run):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(run[3])


def inputs_of(data):
    return torch.stack([image for image, _ in data])


# --- what it gives ----------------------------------------------------------------------------------------------------


def test_a_run_is_fitted_with_everything_beside_it(found):
    names = [row.name for row in found.rows]
    assert names == ["before", "temperature alone", "unfitted", "fitted", "paper", "mirror, fitted", "other"]
    assert [view.name for view in found.views] == ["mask", "crop", "hflip"] and found.images == 120
    assert found.row("before").gain.mean == 0 and found.row("before").forwards == 1
    assert found.map_matters is not None and found.map_matters.count == 120
    assert len(found.worth) == 3 and len(found.steps) == 4
    assert [len(step.views) for step in found.steps] == [0, 1, 2, 3]


def test_rows_that_are_not_fitted_are_those_of_the_run(run, found):
    for row, method in (("unfitted", "rich"), ("paper", "paper"), ("other", "other")):
        records = run[2][method]
        right = np.array([classes[0] for classes in records["classes_after"]]) == records["label"]
        assert found.row(row).outcome.accuracy_after == pytest.approx(right.mean())
        assert found.row(row).brier == pytest.approx(records["brier_after"].mean(), abs=1e-4)
        expected = np.log(records["label_prob_after"].astype(float)).mean()
        assert found.row(row).likelihood == pytest.approx(expected, abs=1e-4)
        assert found.row(row).forwards == pytest.approx((records["forwards"] + records["saved"]).mean())


def test_the_folder_its_path_and_the_records_give_the_same(run, found):
    mapping = {name: (recipe, run[2][name]) for name, recipe in RECIPES.items()}
    for given in (RunFolder.open(run[3]), str(run[3]), mapping):
        other = fit(given, "rich")
        assert other.fitted == found.fitted and other.rows == found.rows and other.helps == found.helps


def test_another_recipe_and_the_sum_pool_can_be_fitted(run):
    found = fit(run[3], "mirror", pool="sum")
    assert [view.name for view in found.views] == ["hflip"] and found.fitted.pool == "sum"
    assert found.map_matters is None and found.recipe.method is None


def test_a_recipes_own_weights_are_those_of_the_unfitted_row():
    answers = drawn(150, 5, (1.0, 2.0))
    recipe = recipe_of(answers).replace(views=answers.views, view_weights=(0.25, 3.0), temperature=1.7)
    frame = frame_of(answers)
    frame["weights"] = [np.array([0.25, 3.0], np.float32)] * 150
    row = fit({"x": (recipe, frame)}).row("unfitted")
    logs = np.log(answers.first) + 0.25 * answers.logs[:, 0] + 3 * answers.logs[:, 1]
    probs = torch.tensor(logs / 1.7).softmax(-1).numpy()[np.arange(150), answers.labels]
    assert row.likelihood == pytest.approx(np.log(probs).mean(), abs=1e-5)


def test_the_map_matters_only_where_another_images_map_is_there(run):
    mapping = {name: (RECIPES[name], run[2][name]) for name in ("rich", "mirror")}
    found = fit(mapping)
    assert found.map_matters is None and not any("map" in note.split(":")[0] for note in notes(found))


def test_more_forwards_are_never_taken_than_are_allowed():
    answers = drawn(400, 5, (np.inf, 1.0, 1.2))
    whole = fit(records_of(answers))
    for most in (1, 2, 3, 3.5, 4):
        found = fit(records_of(answers), max_forwards=most)
        assert found.row("fitted").forwards <= most
        affordable = [step for step in whole.steps if step.forwards <= most]
        best = max(affordable, key=lambda step: step.gain.mean)
        assert set(found.views) == set(best.views)
        assert found.row("fitted").gain.mean == pytest.approx(best.gain.mean, abs=1e-5)
        words = " ".join(cell for table in tables(found) for row in table.rows for cell in row)
        assert "view 1" not in words and "center" in words  # the frontier names all views
    assert fit(records_of(answers), max_forwards=2).recipe.active_views[0][0].name == "whole"
    with pytest.raises(ValueError, match="max_forwards must be at least 1"):
        fit(records_of(answers), max_forwards=0)


def test_figures_as_a_table_and_in_words(found):
    frame = found.to_frame()
    assert list(frame["name"]) == [row.name for row in found.rows]
    assert frame.loc[3, "gain"] == found.row("fitted").gain.mean
    assert ("Use no correction" in headline(found)) != found.helps
    assert tables(found)[0].title == "Corrections of the same images"


# --- what it refuses --------------------------------------------------------------------------------------------------


def test_fewer_than_a_hundred_are_refused_and_fewer_than_500_warned_about():
    with pytest.raises(ValueError, match="at least 100 labelled images, got 99"):
        fit(records_of(drawn(99, 5, (1.0,))))
    with pytest.warns(UserWarning, match="100 labelled images are few.*from 500 on") as caught:
        fit(records_of(drawn(100, 5, (1.0,))))
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(records_of(drawn(500, 5, (1.0,))))


def test_labels_of_one_class_are_refused():
    answers = drawn(150, 5, (1.0,))
    alike = answers_of(answers.first, answers.sums, np.ones(150, int))
    with pytest.raises(ValueError, match="at least two classes"):
        fit(records_of(alike))


def test_runs_without_answers_of_views_are_refused(tmp_path):
    run_of({"mirror": UNGUIDED}, tmp_path / "top", count=8, distributions="top")
    with pytest.raises(ValueError, match=r"kept no answers of its views.*--distributions float32"):
        fit(tmp_path / "top")
    run_of({"mirror": UNGUIDED.replace(max_gap=0.5)}, tmp_path / "gap", count=8)
    with pytest.raises(ValueError, match="no recipe that corrected all images by views that were kept"):
        fit(tmp_path / "gap")
    with pytest.raises(ValueError, match="no recipe that corrected all images"):
        fit({})


def test_an_unfinished_run_is_refused(tmp_path):
    run_of({"mirror": UNGUIDED}, tmp_path / "run", count=40)
    next((tmp_path / "run").rglob("part-00001.parquet")).unlink()
    with pytest.raises(ValueError, match="is not finished; the command that began it resumes it"):
        fit(tmp_path / "run")
    with pytest.raises(ValueError, match="is no run of an evaluation"):
        fit(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("options", "message"), [({"method": "paler"}, "paper"), ({"pool": "mean"}, "pool must be one of 'sum', 'log'")]
)
def test_unknown_names_are_refused(run, options, message):
    with pytest.raises(ValueError, match=message):
        fit(run[3], **options)


def test_a_log_pool_run_by_candidate_cannot_be_fitted_in_the_sum_pool(run):
    net_records = run_of({"log": rich(pool="log")})[2]["log"]
    with pytest.raises(ValueError, match="pool must be 'log'"):
        fit({"log": (rich(pool="log"), net_records)}, pool="sum")


def test_recipes_of_other_images_are_refused():
    answers = drawn(150, 5, (1.0,))
    frame = frame_of(answers)
    other = frame.assign(id=[f"other-{name}" for name in frame["id"]])
    recipe = recipe_of(answers)
    with pytest.raises(ValueError, match=r"must have the same images; 150 are missing"):
        fit({"a": (recipe, frame), "b": (recipe, other)})


# --- not better than nothing ------------------------------------------------------------------------------------------


def test_where_nothing_helps_the_recipe_is_the_identity(run):
    net, data, _, _ = run
    answers = drawn(300, 4, (np.inf, np.inf), skill=1.0, seed=3)
    found = fit(records_of(answers))
    assert not found.helps and found.bound <= 0 and headline(found).startswith("Use no correction: on 300 images")
    assert found.recipe.view_weights == (0.0, 0.0) and found.recipe.temperature == 1
    corrector = ProbabilityCorrector(net, recipe=found.recipe)
    counter = Counter(net)
    result = corrector.correct(inputs_of(data[:8]))
    assert counter.inputs == 8 and torch.equal(result.corrected_prediction, result.prediction)
    torch.testing.assert_close(result.corrected_probs, result.probs, rtol=1e-6, atol=1e-7)


def test_what_helps_is_used(run):
    answers = drawn(600, 5, (1.0, 1.0))
    found = fit(records_of(answers))
    assert found.helps and found.bound > 0 and headline(found).startswith("Use hflip, whole (log pool): +")
    assert found.recipe.view_weights == found.fitted.views and found.recipe.temperature == found.fitted.temperature
    assert found.over_temperature.z > 3


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(run, found, tmp_path):
    """A corrector of the run's network, as the command writes it."""
    path = tmp_path / "corrector.json"
    model = {"spec": "mine", **describe_model(run[0])}
    weights = tuple(0.5 + index for index in range(len(found.views)))
    recipe = rich().replace(views=found.views, view_weights=weights, pool="log", temperature=1.5)
    save_corrector(path, found.__class__(**{**vars(found), "recipe": recipe}), model, {"count": 120})
    return path, recipe


def changed(path, **entries):
    document = {**json.loads(path.read_text()), **entries}
    path.write_text(json.dumps(document))
    return path


def test_the_file_is_a_recipe_wherever_one_goes(run, file):
    net, data = run[:2]
    path, recipe = file
    assert Recipe.load(path) == recipe and Recipe.of(str(path)).fitted_for["spec"] == "mine"
    expected = ProbabilityCorrector(net, recipe=recipe).correct(inputs_of(data)).corrected_probs
    for corrector in (ProbabilityCorrector(net, recipe=path), ProbabilityCorrector.from_file(net, path)):
        assert torch.equal(corrector.correct(inputs_of(data)).corrected_probs, expected)
        torch.testing.assert_close(corrector(inputs_of(data)).softmax(-1), expected)
    document = json.loads(path.read_text())
    assert list(document) == ["format", "recipe", "model", "data", "figures", "versions"]
    assert document["format"] == CORRECTOR_FORMAT and document["figures"]["images"] == 120
    assert [row["name"] for row in document["figures"]["rows"]][:2] == ["before", "temperature alone"]


def test_another_model_is_refused_by_what_differs(file):
    with pytest.raises(ValueError, match=r"fitted for 'mine', another model: weights differs"):
        ProbabilityCorrector.from_file(make_tiny_net(seed=9, num_classes=6), file[0])
    with pytest.raises(ValueError, match="another model: architecture, weights differ"):
        ProbabilityCorrector.from_file(make_tiny_net(num_classes=7), file[0])
    with pytest.raises(ValueError, match="another model: class, architecture, weights differ"):
        ProbabilityCorrector.from_file(torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3)), file[0])


def test_another_preprocessing_is_refused(run, file):
    from lively_factory import TRANSFORM

    from maskcorrect_plugin import Preprocessing

    own = Preprocessing.of(TRANSFORM)
    changed(file[0], model=describe_model(run[0], own))
    assert ProbabilityCorrector.from_file(run[0], file[0], preprocessing=own)
    from torchvision.transforms import v2

    other = Preprocessing.of(v2.Compose([*TRANSFORM.transforms[:-1], v2.Normalize([0.4] * 3, [0.2] * 3)]))
    with pytest.raises(ValueError, match="another model: preprocessing differs"):
        ProbabilityCorrector.from_file(run[0], file[0], preprocessing=other)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"format": "maskcorrect_plugin.corrector/2"}, "got 'maskcorrect_plugin.corrector/2'"),
        ({"format": None}, "must have the format"),
        ({"run": "import os"}, "got 'run' as well"),
        ({"recipe": {"top_q": 3}}, "top_q"),
        ({"recipe": [1]}, "mapping"),
    ],
)
def test_unknown_entries_and_versions_are_refused_by_name(run, file, entries, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ProbabilityCorrector.from_file(run[0], changed(file[0], **entries))


@pytest.mark.parametrize(
    "evil",
    [
        {"views": ["__import__('os').system('touch hacked')"]},
        {"views": ["os.system[command=touch hacked]"]},
        {"method": "__import__('os').system('touch hacked')"},
        {"method": "os:system", "views": ["mask"]},
        {"temperature": "__import__('os').system('touch hacked')"},
        {"target_layer": "__import__('os').system('touch hacked')", "views": ["mask"], "method": "CAM"},
    ],
)
def test_nothing_in_the_file_is_executed(run, file, evil, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError)):
        corrector = ProbabilityCorrector.from_file(run[0], changed(file[0], recipe=evil))
        corrector.correct(inputs_of(run[1][:2]))
    assert not (tmp_path / "hacked").exists()


def test_a_view_of_ones_own_can_be_fitted(run):
    net, data = run[:2]
    recipe = rich(views=(*VIEWS[1:], Shifts()), top_k=3)
    found = fit({"own": (recipe, run_of({"own": recipe})[2]["own"])})
    assert [view.name for view in found.views] == ["crop", "hflip", "shifts"]
    assert isinstance(found.views[2], Shifts) and "Shifts" in found.worth[2].view.label
    assert all(table.rows for table in tables(found)) and headline(found)
    made = recipe.replace(views=found.views, pool="log", view_weights=(0.5, 1.0, 2.0))
    assert ProbabilityCorrector(net, recipe=made).correct(inputs_of(data[:4])).corrected_probs.shape == (4, 6)
