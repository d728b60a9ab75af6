"""Conformance checks for authors of attribution backends, in the style of scikit-learn's estimator checks.

The contract is stated in `maskcorrect_plugin.attribution`; each ``check_*`` here is one sentence of it. They run on a
tiny network, one second or so for a method. All at once::

    check_backend(MyBackend())

or each as a test of its own::

    @pytest.mark.parametrize(("name", "check"), iter_checks(MyBackend()))
    def test_contract(name, check):
        check()

A failing check raises an AssertionError that names backend, method, check and what was found.
"""

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from maskcorrect_plugin.attribution import AttributionBackend
from maskcorrect_plugin.checks import check_choice
from maskcorrect_plugin.errors import ArgumentTypeError

from .arguments import check_finite_inputs, check_input_kind, check_target_count, check_target_range
from .case import Case, Check, tiny_images, tiny_network
from .effects import (
    check_eval_mode,
    check_frozen_parameters,
    check_grad_mode,
    check_hooks,
    check_inputs_unchanged,
    check_modules,
    check_parameter_gradients,
    check_random_state,
    check_requires_grad,
    check_tensors,
    check_training_flags,
)
from .failures import check_after_backward_failure, check_after_failure
from .maps import (
    check_batch,
    check_candidates,
    check_class_aware,
    check_coarse,
    check_correction,
    check_create,
    check_detached,
    check_device,
    check_dtype,
    check_half_precision,
    check_int_target,
    check_names,
    check_no_information,
    check_observation,
    check_observation_select,
    check_range,
    check_repeatable,
    check_settings,
    check_shape,
    check_stream,
)

__all__ = ["CHECKS", "Case", "Check", "check_backend", "iter_checks", "tiny_images", "tiny_network"]

CHECKS: tuple[Check, ...] = (
    check_names,
    check_create,
    check_settings,
    check_shape,
    check_range,
    check_no_information,
    check_dtype,
    check_half_precision,
    check_device,
    check_detached,
    check_repeatable,
    check_int_target,
    check_candidates,
    check_stream,
    check_coarse,
    check_observation,
    check_observation_select,
    check_batch,
    check_class_aware,
    check_correction,
    check_training_flags,
    check_requires_grad,
    check_parameter_gradients,
    check_hooks,
    check_modules,
    check_tensors,
    check_random_state,
    check_grad_mode,
    check_eval_mode,
    check_frozen_parameters,
    check_inputs_unchanged,
    check_after_failure,
    check_after_backward_failure,
    check_target_range,
    check_target_count,
    check_finite_inputs,
    check_input_kind,
)
"""All checks, simplest first. Each takes a `Case`."""


def iter_checks(
    backend: AttributionBackend,
    methods: Collection[str] | None = None,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    device: torch.device | str = "cpu",
) -> list[tuple[str, Callable[[], None]]]:
    """Every check of every method, for ``pytest.mark.parametrize`` (a list, since pytest wants no iterator).

    Args:
        backend: An instance of the backend.
        methods: Names of the methods to check; None checks all of them.
        options: For a method's name, what `create` gets besides it; ``target_layer`` is allowed.
        device: Where network and images are.

    Returns:
        Pairs ``("backend:method-check_name", callable without arguments)``.

    Raises:
        TypeError: `backend` is not an instance of `AttributionBackend`.
        ValueError: a method that the backend does not have, in `methods` or `options`.
    """
    if not isinstance(backend, AttributionBackend):
        raise ArgumentTypeError(f"backend must be an instance of AttributionBackend, got {backend!r}")
    names = tuple(backend.methods())
    for name in (*(methods or ()), *(options or {})):
        check_choice("methods" if name in (methods or ()) else "options", name, names)
    chosen = dict.fromkeys(names if methods is None else methods)
    cases = [Case(backend, method, dict((options or {}).get(method, {})), device) for method in chosen]
    return [(f"{case.label}-{check.__name__}", functools.partial(check, case)) for case in cases for check in CHECKS]


def check_backend(
    backend: AttributionBackend,
    methods: Collection[str] | None = None,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    device: torch.device | str = "cpu",
) -> None:
    """Runs all checks; raises one AssertionError that lists every check that failed.

    Args:
        backend: As in `iter_checks`.
        methods: As in `iter_checks`.
        options: As in `iter_checks`.
        device: As in `iter_checks`.

    Example:
        >>> from maskcorrect_adapters.native import NativeBackend
        >>> check_backend(NativeBackend(), ["CAM"])
    """
    failures = []
    for _, run in iter_checks(backend, methods, options=options, device=device):
        try:
            run()
        except AssertionError as failure:
            failures.append(failure)
    if failures:
        listed = "\n".join(str(failure) for failure in failures)
        raise AssertionError(f"{len(failures)} failed:\n{listed}") from failures[0]
