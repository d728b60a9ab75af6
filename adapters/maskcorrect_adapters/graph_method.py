"""One forward for all classes: the part of the network behind the target layers is kept as a graph.

Gradients of any class with respect to the layers' outputs are then one short backward pass each. The forward that finds
the candidates is enough; nothing before the first target layer is differentiated, and no parameter gets a gradient.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from maskcorrect_plugin.attribution import Observation
from maskcorrect_plugin.checks import check_classes
from maskcorrect_plugin.describing import describe
from maskcorrect_plugin.errors import LayerError
from maskcorrect_plugin.functional import at_least_float32
from maskcorrect_plugin.inference import evaluation_mode
from maskcorrect_plugin.layers import check_feature_maps, get_layer, layer_name

from .library_method import LibraryMethod
from .reshape import Reshape, find_layer, make_reshape
from .state import check_gradients_possible


class GraphObservation(Observation):
    """Outputs of the target layers in one forward, and the class scores, joined by the graph between them.

    Args:
        names: Names of the target layers.
        reshape: Makes feature maps (N,C,h,w) of what the layers give; None if they give feature maps.
        differentiable: Keep the graph.

    Attributes:
        rows: Which images of the batch were chosen; None for all of them.
    """

    def __init__(self, names: Sequence[str], reshape: Callable[[Tensor], Tensor] | None, differentiable: bool) -> None:
        self.names = names
        self.reshape = reshape
        self.differentiable = differentiable
        self._outputs: list[Tensor | None] = [None] * len(names)
        self._scores: Tensor | None = None
        self.rows: Tensor | None = None

    def record(self, index: int, _module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
        """Forward hook on a target layer: what comes after it works on a copy, so nothing overwrites what is kept."""
        if not isinstance(output, Tensor) or not output.is_floating_point():
            raise LayerError(
                f"target_layer {self.names[index]!r} must output one floating-point tensor, but it gives "
                f"{type(output).__name__}"
            )
        if not self.differentiable:
            self._outputs[index] = output.detach().clone()
            return None
        check_gradients_possible("this method")
        torch.set_grad_enabled(True)  # from here on; `observe` sets it back
        # An output with a graph came from another layer or method that watches this forward: cut off, that gets zeros.
        kept = at_least_float32(output if output.requires_grad else output.detach())
        kept = kept if kept.requires_grad else kept.clone().requires_grad_()
        self._outputs[index] = kept
        return kept.to(output.dtype) if kept.dtype != output.dtype else kept.clone()

    def record_scores(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        """Forward hook on the model."""
        scores = getattr(output, "logits", output)
        self._scores = at_least_float32(scores) if isinstance(scores, Tensor) else None

    def select(self, rows: Tensor) -> "GraphObservation":
        """The same for some of the images only; they share the graph."""
        chosen = GraphObservation(self.names, self.reshape, self.differentiable)
        chosen._outputs, chosen._scores = self._outputs, self._scores
        chosen.rows = rows if self.rows is None else self.rows[rows]
        return chosen

    @property
    def scores(self) -> Tensor:
        """Class scores (n,M) of the chosen images, with the graph."""
        if self._scores is None or self._scores.ndim != 2:
            raise LayerError(
                "observation holds no class scores (N,M): the model's own forward must run inside observe()"
            )
        with torch.enable_grad():  # choosing rows is a step of the graph, too
            return self._scores if self.rows is None else self._scores[self.rows]

    def outputs(self) -> list[Tensor]:
        """What the layers gave for the whole batch, in at least float32, as nodes of the graph."""
        for name, output in zip(self.names, self._outputs, strict=True):
            if output is None:
                raise LayerError(f"target_layer {name!r} did not run in the model's forward; choose a layer that does")
        return [at_least_float32(output) for output in self._outputs if output is not None]

    def activations(self) -> list[Tensor]:
        """Feature maps (n,C,h,w) of each layer for the chosen images, detached."""
        return [self._maps(index, output.detach()) for index, output in enumerate(self.outputs())]

    def gradients(self, loss: Tensor) -> list[Tensor]:
        """Gradients of a loss with respect to each layer's output for the chosen images, as feature maps."""
        outputs = self.outputs()
        gradients = torch.autograd.grad(loss, outputs, retain_graph=True, allow_unused=True)
        return [
            self._maps(index, torch.zeros_like(output) if gradient is None else gradient)
            for index, (output, gradient) in enumerate(zip(outputs, gradients, strict=True))
        ]

    def _maps(self, index: int, values: Tensor) -> Tensor:
        values = values if self.rows is None else values[self.rows]
        return check_feature_maps(self.names[index], values if self.reshape is None else self.reshape(values))


class GraphMethod(LibraryMethod):
    """A method that reads one or several layers in one forward, and gradients with respect to them if it wants.

    Args:
        model: The classifier.
        name: As in `LibraryMethod`.
        options: As in `LibraryMethod`.
        target_layers: Modules or their names; None finds one at the first call.
        reshape_transform: ``"auto"``, ``"vit"``, ``"swin"``, a callable, or None: see `reshape`.
        differentiable: Whether gradients are wanted.
        **how: As in `LibraryMethod`.
    """

    def __init__(
        self,
        model: nn.Module,
        name: str,
        options: Mapping[str, Any],
        target_layers: Sequence[str | nn.Module] | None,
        *,
        reshape_transform: str | Callable[[Tensor], Tensor] | None = "auto",
        differentiable: bool = True,
        **how: Any,
    ) -> None:
        super().__init__(model, name, options, **how)
        self._layers = None if target_layers is None else [get_layer(model, layer) for layer in target_layers]
        self._given_reshape = reshape_transform
        self.reshape_transform = make_reshape(reshape_transform, model)
        self.differentiable = differentiable

    @property
    def settings(self) -> dict[str, Any]:
        """Name, options and the target layer, or several; how tokens are reshaped where that was given."""
        names = [layer_name(self.model, layer) for layer in self._layers or ()]
        found: dict[str, Any] = {"target_layers": names} if len(names) > 1 else {}
        if self._given_reshape != "auto":
            found["reshape_transform"] = describe(self._given_reshape)
        return {**super().settings, **found, "target_layer": names[0] if len(names) == 1 else None}

    def layers(self, inputs: Tensor) -> list[nn.Module]:
        """The target layers, found from the size of these inputs if they were not given."""
        if self._layers is None:
            self._layers = [get_layer(self.model, find_layer(self.model, inputs))]
        return self._layers

    @contextlib.contextmanager
    def observe(self, inputs: Tensor) -> Iterator[GraphObservation]:
        """Keeps the target layers' outputs and, for gradient methods, the graph behind them."""
        layers = self.layers(inputs)
        names = [layer_name(self.model, layer) for layer in layers]
        reshape = self.reshape_transform
        if isinstance(reshape, Reshape):
            reshape = reshape.sized(inputs)
        observation = GraphObservation(names, reshape, self.differentiable)
        enabled = torch.is_grad_enabled()
        handles = [
            layer.register_forward_hook(functools.partial(observation.record, index))
            for index, layer in enumerate(layers)
        ]
        handles.append(self.model.register_forward_hook(observation.record_scores))
        try:
            yield observation
        finally:
            torch.set_grad_enabled(enabled)
            for handle in handles:
                handle.remove()

    def run_observed(self, inputs: Tensor) -> Observation:
        """Runs the forward that nobody else ran."""
        with evaluation_mode(self.model), self.observe(inputs) as observation:
            self.engine.scores(inputs)
        return observation

    def target_loss(self, observation: GraphObservation, classes: Tensor) -> Tensor:
        """Sum of each image's score of its class."""
        scores = observation.scores
        check_classes("target", classes, scores.shape[1])
        return scores.gather(1, classes.unsqueeze(1)).sum()
