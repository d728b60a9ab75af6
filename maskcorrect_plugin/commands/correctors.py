"""From the methods of a command to correctors and controls."""

from collections.abc import Mapping, Sequence

from maskcorrect_plugin.checks import check_choice
from maskcorrect_plugin.commands.corrector_options import SCORE_CAM, CorrectorOptions
from maskcorrect_plugin.commands.method_spec import MethodSpec
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.datasets import ImageDataset
from maskcorrect_plugin.evaluation.controls import CONTROLS, DatasetPartners, create_control, is_control
from maskcorrect_plugin.models import LoadedModel


def check_methods(options: CorrectorOptions, specs: Sequence[MethodSpec]) -> None:
    """Everything about the methods that needs no model.

    Raises:
        MaskCorrectError: what is wrong.
    """
    for spec in specs:
        if is_control(spec.name):
            check_choice("method", spec.name, CONTROLS)
    options.check((spec.name, spec.options) for spec in specs if not is_control(spec.name))


def make_correctors(
    options: CorrectorOptions,
    specs: Sequence[MethodSpec],
    loaded: LoadedModel,
    dataset: ImageDataset,
    seed: int = 0,
) -> Mapping[str, Corrector]:
    """A corrector or control for each method; controls take their maps from the first that is no control.

    Args:
        options: How to correct.
        specs: The methods.
        loaded: The model.
        dataset: Where `control:other_image` takes its other images from.
        seed: Of controls that draw at random.
    """
    arguments = options.corrector_arguments(loaded)
    inner = next((spec for spec in specs if not is_control(spec.name)), MethodSpec(SCORE_CAM, SCORE_CAM, {}))
    partners = DatasetPartners(dataset, loaded.transform)
    correctors: dict[str, Corrector] = {}
    for spec in specs:
        if is_control(spec.name):
            own = {"method": inner.name, **options.method_options(inner.name, inner.options)}
            if "method" in spec.options:
                own = options.method_options(str(spec.options["method"]))
            chosen = {**arguments, "control_seed": seed, **own, **spec.options}
            correctors[spec.text] = create_control(spec.name, loaded.model, dataset=partners, **chosen)
        else:
            method_options = options.method_options(spec.name, spec.options)
            correctors[spec.text] = ProbabilityCorrector(loaded.model, spec.name, **{**arguments, **method_options})
    return correctors
