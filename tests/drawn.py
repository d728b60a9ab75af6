"""What every figure has to satisfy, whatever it shows."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text


def visible_texts(figure):
    """All texts that are drawn; ticks beyond the ends of their axis are not."""
    beyond = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            beyond |= {tick.label1 for tick in ticks if not (axes.axison and low <= tick.get_loc() <= high)}
    return [item for item in figure.findobj(Text) if item.get_text() and item.get_visible() and item not in beyond]


def texts(figure):
    """What they say."""
    return [item.get_text() for item in visible_texts(figure)]


def check_layout(figure):
    """No text lies on another text or on a picture, and nothing is cut off at the figure's edge."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [(item.get_text(), item.get_window_extent(renderer).padded(-1)) for item in visible_texts(figure)]
    boxes += [("a picture", axes.get_window_extent(renderer).padded(-1)) for axes in figure.axes if axes.images]
    for index, (text, box) in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width, text
        assert 0 <= box.y0 < box.y1 <= figure.bbox.height, text
        clashes = [other for other, place in boxes[:index] if box.overlaps(place)]
        assert not clashes, (text, clashes)
