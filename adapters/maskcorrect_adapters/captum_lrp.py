"""What Captum's LRP has to be told of a network before it propagates relevance through it.

Captum knows rules for convolutions, linear layers, batch normalisation and pooling, and lets relevance pass unchanged
through ReLU, Tanh and Dropout, by their exact types. Here every element-wise module of ``torch.nn`` is treated as its
ReLU is, which is what zennit, too, does with all activations: each output of such a module depends on the one input at
its place, so there is nothing to distribute. Modules that mix values (softmax, layer normalisation, GLU) stay refused.

Only modules are seen. What a forward does by functions (residual additions, pooling, products) is differentiated and
not propagated, so relevance is not conserved there. For additions Captum has its ``Addition_Module``, which a network
must be written with.
"""

from captum.attr._core.lrp import SUPPORTED_LAYERS_WITH_RULES, SUPPORTED_NON_LINEAR_LAYERS
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import nn

from maskcorrect_plugin.errors import ArgumentTypeError

ELEMENTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.Threshold),
    *(nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Softplus, nn.Softsign, nn.Softshrink, nn.Hardshrink),
    *(nn.Tanh, nn.Tanhshrink, nn.Sigmoid, nn.Hardsigmoid, nn.LogSigmoid),
    *(nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Identity),
)
"""Modules whose output at a place is a function of the input at that place, in eval mode; with their subclasses."""


def prepare_for_lrp(model: nn.Module) -> None:
    """Makes modules passable for which Captum has no rule; must be called inside `state.preserved`, which undoes it.

    Nothing is changed in Captum. An element-wise module is replaced by a ReLU (of that exact type, as Captum wants it)
    that calls it: it computes what it did, its own hooks run, and where it stands at several places it still does.
    `nn.Flatten` gets the epsilon rule, which hands relevance on unchanged where nothing is added up. A rule that the
    user has set on a module counts.

    Raises:
        ArgumentTypeError: a module that is neither known to Captum nor element-wise, and has no rule of its own.
    """
    stand_ins: dict[nn.Module, nn.Module] = {}
    for parent_name, parent in list(model.named_modules()):
        for name, module in parent._modules.items():  # a module may stand here under two names
            if module is None or _is_known(module) or any(True for _ in module.children()):
                continue
            if isinstance(module, nn.Flatten):
                vars(module)["rule"] = EpsilonRule()
            elif isinstance(module, ELEMENTWISE) or (isinstance(module, nn.Sequential) and len(module) == 0):
                if module not in stand_ins:
                    stand_ins[module] = _stand_in(module)
                parent._modules[name] = stand_ins[module]
            else:
                raise ArgumentTypeError(_no_rule(f"{parent_name}.{name}".lstrip("."), module))


def _is_known(module: nn.Module) -> bool:
    kinds = (*SUPPORTED_LAYERS_WITH_RULES, *SUPPORTED_NON_LINEAR_LAYERS)
    return hasattr(module, "rule") or type(module) in kinds


def _stand_in(module: nn.Module) -> nn.Module:
    relu = nn.ReLU().train(module.training)
    vars(relu)["forward"] = module  # as a plain attribute: a submodule would be looked into
    return relu


def _no_rule(name: str, module: nn.Module) -> str:
    known = ", ".join(kind.__name__ for kind in SUPPORTED_LAYERS_WITH_RULES)
    return (
        f"captum:LRP has no rule for the module {name!r}, a {type(module).__name__}; it knows {known}, Flatten and "
        f"element-wise modules. If it suits the module, set model.get_submodule({name!r}).rule = "
        "captum.attr._utils.lrp_rules.EpsilonRule(); otherwise use another method"
    )
