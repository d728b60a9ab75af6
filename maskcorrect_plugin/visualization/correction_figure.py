"""The figure of one corrected image: input, what the network used, what it was shown again, before and after."""

from typing import Any

from matplotlib.figure import Figure

from maskcorrect_plugin.functional import GAP_RANK
from maskcorrect_plugin.recipe_words import is_usual, views_in_short

from .correction_case import Candidate, Case, number
from .palette import (
    COLORS,
    EDGE,
    LARGE,
    LINE,
    MUTED,
    NORMAL,
    PAGE_WIDTH,
    SMALL,
    add_axes,
    add_text,
    draw_key,
    draw_note,
    new_figure,
    text_width,
    wrap,
)
from .pictures import FLAT, draw_map_scale, fitted_size, overlay, show_picture
from .view_strip import WIDEST, Strip, draw_boxes, frame_panel

WIDTHS = {0: 5.2, 1: 5.2, 3: 5.8}
"""Inches, by the number of candidates, where the page's width is too much."""
ONE_ROW, PER_ROW = 6, 5
"""Up to so many candidates stand side by side; more of them take two rows of so many."""
INPUT = 1.75
"""Inches: width of the input."""
NARROW_STRIP = 2
"""Panels of views that follow no candidate, beyond which the figure takes the page's width."""
PITCH, BAR = (0.29, 0.42), 0.115
"""Inches from class to class among the bars, at least and at most, and the thickness of one bar."""
GAP, SIDE = 0.08, 0.2
"""Inches between panels, and for the words beside a row of panels."""
SCALE = 0.1
"""The longest bar that the scale has room for is at least this probability."""
CHIP = 0.85
"""Inches at the right of the heading for the word that says how it ended."""


class Layout:
    """Where everything stands, in inches from the upper left corner, so that nothing can overlap.

    On top the input and the bars, below them the candidates, below these the `Strip` of everything else. With one or
    two candidates and one view of them, map and picture stand side by side; else the pictures stand below the map.

    Attributes:
        width: Of the figure.
        cell: Width of a column of panels.
        panel: Width and height of a picture in such a column.
        picture: Left, top, width, height of the input.
        bars: Left and top of the bars with their names; they reach to the right edge. Their key is above.
        pitch: From class to class among the bars.
        names: Of the candidates, broken into lines.
        captions: Of the candidates, below the picture of each view, broken into lines.
        true: The name of the true class, broken into lines; empty where it is not known.
        maps: Left and top of each candidate's map.
        step: From the upper left corner of a map to that of the first picture: right, down.
        next: From there to that of the next picture, down.
        strip: What follows the merged map, or none.
        title: The heading, broken into lines.
        footer: Top of the line below everything.
    """

    def __init__(self, case: Case, title: str | None) -> None:
        count = len(case.candidates)
        rows = max((len(candidate.shown) for candidate in case.candidates), default=0)
        pictured = any(shown.picture is not None for candidate in case.candidates for shown in candidate.shown)
        aspect = case.picture.shape[0] / case.picture.shape[1]
        self.width = PAGE_WIDTH if _wide(case) else WIDTHS.get(count, PAGE_WIDTH)
        self.title = wrap(title or _default_title(case), self.width - 2 * EDGE - CHIP, LARGE, 2, "bold")
        side_by_side = pictured and count <= 2 and rows == 1
        per_row = max(count, 1) if count <= ONE_ROW else PER_ROW
        lines = -(-count // per_row)
        each = 2 if side_by_side else 1
        self.cell = (self.width - 2 * EDGE - SIDE + GAP) / (per_row * each) - GAP
        if count == 1 and not side_by_side:
            self.cell = min(self.cell, WIDEST)
        self.panel = fitted_size(self.cell, aspect)

        self.names = [wrap(case.names[candidate.index], self.cell, NORMAL) for candidate in case.candidates]
        self.captions = [_captions(case, candidate, self.cell, pictured) for candidate in case.candidates]
        tallest = max((_lines(text) for texts in self.captions for text in texts), default=0) * NORMAL * LINE + 0.06
        self.step = (self.cell + GAP, 0.0) if side_by_side else (0.0, self.panel[1] + GAP)
        self.next = self.panel[1] + tallest + GAP / 2
        under = tallest if side_by_side or not pictured else GAP + (rows - 1) * self.next + self.panel[1] + tallest
        caption = (max(map(_lines, self.names), default=0) + 1) * NORMAL * LINE + 0.06
        below = caption + self.panel[1] + under
        heading = EDGE + _lines(self.title) * LARGE * LINE + NORMAL * LINE + 0.12
        input_size = fitted_size(INPUT, aspect)
        self.picture = (EDGE + (INPUT - input_size[0]) / 2, heading, *input_size)
        self.true = wrap(f"true class: {case.names[case.label]}", INPUT, NORMAL) if case.label is not None else ""
        classes = len(case.bar_classes())
        self.pitch = min(max(input_size[1] / classes, PITCH[0]), PITCH[1])
        self.bars = (EDGE + INPUT + 0.2, heading)
        told = _lines(self.true) * NORMAL * LINE + 0.05 if self.true else 0
        start = heading + max(input_size[1] + told, classes * self.pitch) + 0.14
        self.maps = [
            (EDGE + SIDE + k % per_row * each * (self.cell + GAP), start + k // per_row * below + caption)
            for k in range(count)
        ]
        self.strip = Strip(case, self.width, start + lines * below)
        self.footer = self.strip.bottom


def _lines(text: str) -> int:
    return text.count("\n") + 1


def _wide(case: Case) -> bool:
    """Whether what is beside the candidates needs the page's width."""
    return len(case.pictured) + (case.merged is not None) + (case.original is not None) > NARROW_STRIP


def correction_figure(case: Case, title: str | None) -> Figure:
    """Draws a `Case`. The caller holds `palette.styled`."""
    layout = Layout(case, title)
    figure = new_figure(layout.width, layout.footer + 2 * SMALL * LINE)
    _draw_heading(figure, case, layout)
    _draw_input(figure, case, layout)
    _draw_bars(figure, case, layout)
    for k, candidate in enumerate(case.candidates):
        _draw_candidate(figure, case, layout, k, candidate)
    _draw_strip(figure, case, layout.strip)
    _draw_footer(figure, case, layout)
    return figure


def _default_title(case: Case) -> str:
    before, after = case.names[case.answer], case.names[case.new_answer]
    if not case.corrected:
        return f"Passed unchanged: {before}"
    return f"Answer kept: {before}" if case.answer == case.new_answer else f"Answer changed: {before} → {after}"


def _draw_heading(figure: Figure, case: Case, layout: Layout) -> None:
    """The heading, and at the right which of the four outcomes it is."""
    add_text(figure, EDGE, EDGE, layout.title, LARGE, weight="bold")
    if case.outcome:
        word = case.outcome.replace("_", " ")
        word = word if case.corrected else word.removeprefix("both ")
        right, top = layout.width - EDGE, EDGE + (LARGE - NORMAL) / 72
        add_text(figure, right, top, word, NORMAL, weight="bold", ha="right")
        left = right - text_width(word, NORMAL, "bold") - 0.04
        add_text(figure, left, top, "■", NORMAL, color=COLORS[case.outcome], ha="right")


def _draw_input(figure: Figure, case: Case, layout: Layout) -> None:
    axes = show_picture(figure, layout.picture, case.picture)
    axes.set_title("input", size=NORMAL, pad=3)
    axes.set_xlabel(layout.true, size=NORMAL, labelpad=3, parse_math=False)


def _captions(case: Case, candidate: Candidate, width: float, pictured: bool) -> list[str]:
    """What the network said to the pictures of a candidate, one text for each; without pictures all in one."""
    texts = []
    for shown, said in zip(candidate.shown, candidate.said, strict=True):
        text = f"asked again: {number(said)}"
        if not pictured and len(candidate.shown) > 1:
            text = wrap(f"{shown.label}: {number(said)}", width, NORMAL)
        if shown.answer != candidate.index:
            prob = f" {number(shown.prob)}"
            name = wrap(f"→ {case.names[shown.answer]}", width - text_width(prob, NORMAL), NORMAL, 1)
            text += f"\n{name}{prob}"
        texts.append(text)
    return texts if pictured else ["\n".join(texts)]


def _draw_candidate(figure: Figure, case: Case, layout: Layout, k: int, candidate: Candidate) -> None:
    left, top = layout.maps[k]
    left += (layout.cell - layout.panel[0]) / 2
    picture = case.picture if candidate.flat else overlay(case.picture, candidate.values)
    axes = show_picture(figure, (left, top, *layout.panel), picture)
    true = "  (true class)" if candidate.index == case.label else ""
    axes.set_title(f"{layout.names[k]}\n{number(candidate.prob)}{true}", size=NORMAL, pad=3, parse_math=False)
    first_in_row = layout.maps[k][0] == min(place[0] for place in layout.maps)
    if first_in_row:
        axes.set_ylabel("map", size=NORMAL, labelpad=3)
    if candidate.flat:
        draw_note(axes, FLAT)
    right, down = layout.step
    boxes = case.boxes()
    for shown, text in zip(candidate.shown, layout.captions[k], strict=False):
        if shown.picture is not None:
            axes = show_picture(figure, (left + right, top + down, *layout.panel), shown.picture)
            frame_panel(axes, boxes, shown)
            if right:
                axes.set_title(shown.label, size=NORMAL, pad=3, parse_math=False)
            elif first_in_row:
                axes.set_ylabel(shown.label, size=NORMAL, labelpad=3, parse_math=False)
            down += layout.next
        axes.set_xlabel(text, size=NORMAL, labelpad=3, parse_math=False)


def _draw_strip(figure: Figure, case: Case, strip: Strip) -> None:
    """The original with the boxes cut out of it, the merged map, and what the other views showed."""
    for tile in strip.tiles:
        axes = show_picture(figure, tile.place, tile.picture)
        axes.set_title(tile.title, size=NORMAL, pad=3, parse_math=False)
        axes.set_xlabel(tile.caption, size=NORMAL, labelpad=3, parse_math=False)
        if tile.shown is not None:
            frame_panel(axes, case.boxes(), tile.shown)
            if tile.shown.flat:
                draw_note(axes, FLAT)
        elif tile.is_original:
            draw_boxes(axes, case)
    if strip.text:
        add_text(figure, EDGE, strip.text_top, strip.text, NORMAL)


def _draw_bars(figure: Figure, case: Case, layout: Layout) -> None:
    """One pair of bars a class, before and after, with their numbers and the answers marked."""
    classes = case.bar_classes()
    left, top = layout.bars
    room = layout.width - EDGE - left
    names = [_bar_name(case, index, 0.42 * room) for index in classes]
    labels = max(text_width(line, NORMAL) for name in names for line in name.split("\n")) + 0.08
    pitch, width, height = layout.pitch, room - labels, len(classes) * layout.pitch
    axes = add_axes(figure, left + labels, top, width, height)
    bars = []
    for row, index in enumerate(classes):
        middle = (row + 0.5) * pitch
        if not case.corrected:
            bars.append((middle, case.before[index], "before", "answer" if index == case.answer else ""))
            continue
        old, new = case.answer, case.new_answer
        bars.append((middle - BAR / 2, case.before[index], "before", "old answer" if index == old != new else ""))
        mark = ("answer" if old == new else "new answer") if index == new else ""
        bars.append((middle + BAR / 2, case.after[index], "after", mark))
    longest = SCALE
    for middle, prob, kind, mark in bars:
        axes.barh(middle, prob, BAR, color=COLORS[kind])
        text = f"{number(prob)}  {mark}".rstrip()
        place: dict[str, Any] = {"xy": (prob, middle), "xytext": (3, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(text, size=SMALL, weight="bold" if mark else "normal", **place)
        longest = max(longest, prob * width / (width - text_width(text, SMALL, "bold") - 0.08))
    axes.set(xlim=(0, longest), ylim=(height, 0), xticks=[])
    axes.set_yticks([(row + 0.5) * pitch for row in range(len(classes))], names, size=NORMAL, parse_math=False)
    axes.tick_params(length=0, pad=3)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    items = [("before", "before"), ("after", "after correction")] if case.corrected else [("before", "before = after")]
    draw_key(axes, (0, 0), items, rise=6)


def _bar_name(case: Case, index: int, width: float) -> str:
    """A class name in at most two lines; of the true class, what says so is never cut off."""
    name = case.names[index]
    if index != case.label:
        return wrap(name, width, NORMAL)
    whole = f"{name} (true class)"
    return whole if text_width(whole, NORMAL) <= width else wrap(name, width, NORMAL, 1) + "\n(true class)"


def _draw_footer(figure: Figure, case: Case, layout: Layout) -> None:
    """What the result depends on, candidates left out, and the colours of the maps."""
    if not case.corrected:
        add_text(figure, EDGE, layout.footer, wrap(describe(case), layout.width - 2 * EDGE, NORMAL, 2))
        return
    maps = bool(case.candidates) or case.merged is not None
    room = layout.width - (1.4 if maps else 2 * EDGE)
    add_text(figure, EDGE, layout.footer, wrap(describe(case), room, SMALL, 2), SMALL, color=MUTED)
    if maps:
        draw_map_scale(figure, layout.width - EDGE, layout.footer)


def describe(case: Case) -> str:
    """The recipe in words; options beyond the paper only where they are used."""
    settings = case.settings
    gap = f"gap p1 − p{min(GAP_RANK, len(case.before))} = {number(case.gap)}"
    if not case.corrected:
        return f"{gap} is not below max_gap = {settings.get('max_gap')}: nothing was shown again."
    method = settings.get("method")
    preset = dict(settings.get("method_options") or {}).get("preset")
    layer = settings.get("target_layer")
    origin = " ".join(
        [*([str(method)] if method else []), *([f"({preset})"] if preset else []), *([f"at {layer}"] if layer else [])]
    )
    parts = [origin, f"K = {settings['top_k']}" if method and "top_k" in settings else "", views_in_short(settings)]
    extras = ("pool", "candidate_weights", "vote", "max_gap", "temperature")
    parts += [f"{name} {settings[name]}" for name in extras if not is_usual(settings, name)]
    parts.append(gap)
    if case.hidden:
        what = "candidates" if not case.others else "pictures"
        parts.append(f"+ {case.hidden} more {what} not shown")
    return " · ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts if part)
