"""What was done, in words and as tables: model, images, method, settings, versions."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maskcorrect_plugin.recipe_words import (
    follows_candidates,
    is_guided,
    is_usual,
    read_view,
    view_label,
    view_sentence,
    weighted_views,
)
from maskcorrect_plugin.views import MaskView

from .families import Family, Tried
from .formats import count, plain_minus, share
from .tables import Cell, Column, Table

FINGERPRINT = 12
"""Characters of a fingerprint that are displayed."""


def lead(family: Family) -> str:
    """What was done, in two sentences."""
    headline, summary = family.headline, family.headline.row.summary
    views = [spec for spec, _ in weighted_views(headline.settings)]
    if not headline.explains:
        second = f"it was asked again about something else ({headline.control})"
    elif views and all(read_view(spec)[0] == MaskView.name for spec in views):
        second = f"it was asked again with what it had not used hidden, as mapped by {_mapper(headline)}"
    else:
        second = f"it was asked again about what it had used, as mapped by {_mapper(headline)}"
    question = " How often was it right before, and how often after?" if summary.overall.outcome.total else ""
    return (
        f"A network was asked about {count(summary.images)} images. Then {second}, and what it said was added to its "
        f"first answer.{question}"
    )


def steps(family: Family) -> list[str]:
    """The headline method as a recipe, each step a sentence or two."""
    settings, identity = family.headline.settings, family.manifest.identity
    model, table = identity["model"], family.headline.row.summary.overall.outcome
    right = f" {share(table.accuracy_before)} of its answers were right." if table.total else ""
    first = (
        f"The network {family.headline.row.model}, which knows {count(model['num_classes'])} classes, was asked "
        f"about {count(identity['data']['count'])} images of {family.headline.row.data}.{right}"
    )
    return [first, *_second_look(family.headline, settings), "Nothing was trained: it is the same network throughout."]


def _mapper(tried: Tried) -> str:
    """What made the maps."""
    return str(tried.settings.get("method"))


def _second_look(tried: Tried, settings: Mapping[str, Any]) -> Iterator[str]:
    """What was asked again, how it was added, and of which images."""
    views = weighted_views(settings)
    guided = any(is_guided(spec) for spec, _ in views)
    if not tried.explains:
        yield f"It was asked again about something else: {tried.control}."
        yield "This is a control; it explains nothing."
    if guided:
        layer = f" at its layer {settings['target_layer']}" if settings.get("target_layer") else ""
        made = "a map of what the network used" if tried.explains else "a map"
        yield (
            f"Its {settings.get('top_k')} most probable classes are the candidates. For each of them {_mapper(tried)} "
            f"made {made}{layer}."
        )
    for spec, _ in views:
        yield view_sentence(spec)
    yield f"It was asked again about each of these pictures. {_pooled(settings, views)}"
    if settings.get("max_gap") is not None:
        yield (
            f"Only images whose first answer lies less than {settings['max_gap']:g} above the fifth were corrected; "
            "the others passed unchanged."
        )


def _pooled(settings: Mapping[str, Any], views: Sequence[tuple[str, float]]) -> str:
    """How what it said was put together."""
    by_candidate = [spec for spec, _ in views if follows_candidates(spec)]
    weighted = ""
    if by_candidate:
        some = "" if len(by_candidate) == len(views) else " for pictures of a candidate"
        weighted = f", weighted{some} by {_weights(settings)},"
    by_view = ""
    if any(weight != 1 for _, weight in views):
        by_view = f" The views weigh {', '.join(f'{view_label(spec)} {weight:.3g}' for spec, weight in views)}."
    temperature = "" if is_usual(settings, "temperature") else f" Temperature {settings['temperature']:g}."
    if settings.get("pool") == "log":
        done = f"The logarithm of what it said{weighted} was added to that of its first answer"
    else:
        done = f"What it said{weighted} was added to its first answer{_vote(settings)}"
    return f"{done}, and the sum made a distribution again.{by_view}{temperature}"


def _weights(settings: Mapping[str, Any]) -> str:
    uniform = settings.get("candidate_weights") == "uniform"
    return "1/K" if uniform else "the probability of the candidate"


def _vote(settings: Mapping[str, Any]) -> str:
    return ", for the candidate's own class only" if settings.get("vote") == "diagonal" else ""


def facts(family: Family) -> list[tuple[str, str]]:
    """Model, images, methods and versions, by name."""
    manifest = family.manifest
    model, data = manifest.identity["model"], manifest.identity["data"]
    weights = model["weights"] or "none (random)"
    about = manifest.about
    return [
        (
            "Model",
            f"{model['spec']}, {count(model['num_classes'])} classes, fingerprint {_short(model['fingerprint'])}",
        ),
        ("Weights", weights),
        ("Input", model["preprocessing"]["transform"]),
        ("Images", _images(family.headline.row.data, data)),
        ("Methods", ", ".join(tried.name for tried in family.methods)),
        ("Difficult images", f"gap {plain_minus(family.headline.row.summary.definition)}"),
        ("Run", ", ".join(dict.fromkeys(str(tried.row.run) for tried in family.methods))),
        ("Begun", str(about.get("created", "unknown"))),
        ("Versions", ", ".join(f"{name} {version}" for name, version in manifest.identity["versions"].items())),
        *([("Command", f"maskcorrect {shlex.join(about['arguments'])}")] if about.get("arguments") else []),
    ]


def _images(source: str, data: Mapping[str, Any]) -> str:
    parts = [f"{count(data['count'])} of {source} ({data['kind']})"]
    if data.get("split"):
        parts.append(f"split {data['split']}")
    if data.get("drawn_from"):
        drawn = data["drawn_from"]
        parts.append(f"drawn at random from {count(drawn['count'])} (seed {drawn['seed']})")
    parts.append(f"{count(data['labelled'])} with a label, of {count(data['classes'])} classes")
    parts.append(f"fingerprint {_short(data['fingerprint'])}")
    return ", ".join(parts)


def _short(fingerprint: Any) -> str:
    return str(fingerprint)[:FINGERPRINT]


def settings_table(methods: Sequence[Tried]) -> Table:
    """Every setting of every method."""
    names = dict.fromkeys(name for tried in methods for name in tried.settings)
    columns = [Column("setting", numeric=False), *(Column(tried.name, numeric=False) for tried in methods)]
    rows = [[Cell(name), *(Cell(_setting(tried.settings, name)) for tried in methods)] for name in names]
    return Table("Settings of each method", columns, rows, sortable=False)


def _setting(settings: Mapping[str, Any], name: str) -> str:
    if name not in settings:
        return ""
    value = settings[name]
    return {None: "none", True: "yes", False: "no"}.get(value, str(value)) if _plain(value) else str(value)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)
