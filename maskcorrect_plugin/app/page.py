"""The page: its fields and buttons, and what each of them sets off. What it computes and says stands elsewhere."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from maskcorrect_plugin.inference import OUTPUTS

from . import markup
from .answering import Desk
from .choices import MODELS, OWN, method_choices, option_choices, option_named, recipe_choices
from .form import CHANGES, FIELDS, TITLES

TITLE = "maskcorrect"
INTRODUCTION = (
    "# maskcorrect\nCorrect a network's class probabilities with its own explanations (Maeng and Baek, *CNN-based "
    "Class Probability Correction using Mask-image*). It does not always help: see what it does to your photos."
)

SAID = "mc-said"
SHOW_RESULT = f"""(...values) => {{
    const area = document.getElementById("{SAID}"), top = area.getBoundingClientRect().top;
    if (top < 0 || top > window.innerHeight / 2) area.scrollIntoView({{behavior: "smooth", block: "start"}});
    return values;
}}"""
"""Where the result is out of sight (below the form on a phone), brings it into view when a run begins."""

MOST_BROWSERS = 16
"""Answers that are being given at a time; more have to wait to be told that they wait."""


def build_page(
    desk: Desk,
    scenes: Sequence[tuple[str, str]],
    start: Mapping[str, Any] = FIELDS,
    locked: Collection[str] = (),
) -> gr.Blocks:
    """Lays the page out and connects it.

    Args:
        desk: Answers.
        scenes: Path and true class of the pictures to begin with.
        start: What the fields hold at first.
        locked: Fields that cannot be changed.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                sources = ["upload", "clipboard"]
                photo = gr.Image(
                    label="Photo", type="filepath", image_mode=None, sources=sources, height=260, buttons=[]
                )
                gallery = gr.Dataset(
                    label="Scenes of the demo",
                    components=[gr.Image(visible=False)],
                    samples=[[path] for path, _ in scenes],
                    type="index",
                    elem_classes="mc-scenes",
                )
                with gr.Row():
                    correct = gr.Button("Correct", variant="primary", min_width=80)
                    stop = gr.Button("Stop", min_width=80)
                fields = _fields(start, locked)
            with gr.Column(scale=3, min_width=320):
                said = gr.HTML(markup.WELCOME, apply_default_css=False, elem_id=SAID)
        _connect(desk, scenes, _Parts(photo, gallery, correct, stop, fields, said))
    return page


@dataclass(frozen=True)
class _Parts:
    """What of the page sets something off, or is changed by it."""

    photo: gr.Image
    gallery: gr.Dataset
    correct: gr.Button
    stop: gr.Button
    fields: Mapping[str, gr.Component]
    said: gr.HTML


def _fields(start: Mapping[str, Any], locked: Collection[str]) -> dict[str, gr.Component]:
    """The fields of the form by name."""
    fields: dict[str, gr.Component] = {}

    def add(name: str, kind: type[gr.Component], *arguments: Any, **options: Any) -> None:
        fields[name] = kind(
            *arguments, label=TITLES[name], value=start[name], interactive=name not in locked, **options
        )

    def add_option(name: str, **options: Any) -> None:
        """A field for an option of recipes or views, with its own help and choices."""
        known = option_named(name)
        shared: dict[str, Any] = {"info": _sentence(known.help), **options}
        if known.choices:
            add(name, gr.Dropdown, option_choices(name), **shared)
        else:
            add(name, gr.Textbox, placeholder=OWN[0], **shared)

    methods, recipes = method_choices(), recipe_choices()
    add("recipe", gr.Dropdown, recipes, allow_custom_value=True)
    add("method", gr.Dropdown, [OWN, *methods], allow_custom_value=True)
    add("second", gr.Dropdown, [("nothing", ""), *recipes, *methods], allow_custom_value=True)
    add("true_class", gr.Textbox, placeholder="if you know it")
    add_option("top_k")
    with gr.Accordion("Options of the recipe", open=False):
        gr.Markdown("An empty field leaves the option as the recipe has it.")
        for name in (*CHANGES, "target_layer"):
            if name not in fields:
                add_option(name)
    with gr.Accordion("Model" if "model" in locked else "Another model", open=False):
        specs = "torchvision:NAME, timm:NAME, hf:ORG/NAME, package.module:factory or demo"
        add("model", gr.Dropdown, list(MODELS), allow_custom_value=True, info=specs)
        add("weights", gr.Textbox, info="DEFAULT (the library's own), none (random), or the path of a file")
        add("classes", gr.Textbox, info="Path of a file, one name a line; empty for those of the weights")
        add("model_output", gr.Radio, list(OUTPUTS))
    return fields


def _sentence(help_text: str) -> str:
    """The help of an option as a sentence."""
    return f"{help_text[:1].upper()}{help_text[1:]}."


def _connect(desk: Desk, scenes: Sequence[tuple[str, str]], parts: _Parts) -> None:
    """What the buttons, the scenes, and a photo that comes or goes set off."""

    def run(browser: gr.Request, photo: Any, *values: Any) -> Iterator[str]:
        yield from desk.answer(str(browser.session_hash), photo, values)

    def stop(browser: gr.Request) -> None:
        desk.stop(str(browser.session_hash))

    def choose(index: int, model: str) -> tuple[str, str]:
        path, name = scenes[index]
        return path, name if model == FIELDS["model"] else ""  # other models have other classes

    label = parts.fields["true_class"]
    quietly: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    # Raw values (preprocess=False): what is wrong with them is said by the package's own checks, in its own words; that
    # the photo is an upload has been made sure of. Who has to wait for a model waits in `ModelShelf`, not in a queue.
    running: dict[str, Any] = {
        **quietly,
        "fn": run,
        "inputs": [parts.photo, *(parts.fields[name] for name in FIELDS)],
        "outputs": parts.said,
        "preprocess": False,
        "js": SHOW_RESULT,
        "concurrency_limit": MOST_BROWSERS,
        "trigger_mode": "multiple",
    }
    parts.correct.click(**running)
    scene = [parts.gallery, parts.fields["model"]]
    parts.gallery.click(choose, scene, [parts.photo, label], **quietly).then(**running)
    parts.stop.click(stop, None, None, queue=False, **quietly)
    gr.on([parts.photo.upload, parts.photo.clear], lambda: "", None, label, **quietly)
