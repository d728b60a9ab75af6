"""Where models come from: one module per source, each imported only when a spec asks for it."""

SOURCES: dict[str, tuple[str, str]] = {
    "torchvision": ("maskcorrect_plugin.models.sources.torchvision_", "TorchvisionSource"),
    "timm": ("maskcorrect_plugin.models.sources.timm_", "TimmSource"),
    "hf": ("maskcorrect_plugin.models.sources.huggingface", "HuggingFaceSource"),
}
"""Prefix of a spec -> module and class. Everything else with a colon is ``"package.module:factory"``."""
FACTORY = ("maskcorrect_plugin.models.sources.factory", "FactorySource")
DEMO = ("maskcorrect_plugin.models.sources.demo", "DemoSource")
FORMS = "'torchvision:NAME', 'timm:NAME', 'hf:ORG/NAME', 'hf:./FOLDER', 'package.module:factory' or 'demo'"
"""The specs, for messages."""
