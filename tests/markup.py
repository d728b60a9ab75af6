"""What a browser makes of a page's markup, as far as the tests ask: elements, their attributes, the texts in them."""

import json
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "img", "br", "path", "use", "rect"}


class Page(HTMLParser):
    """A parsed page.

    Attributes:
        elements: (name, attributes) in order.
        texts: (names of the elements around it, text) in order; scripts and styles included.
    """

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(text.replace("<wbr>", ""))  # only says where a long text may be broken
        self.close()

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self._open.append(name)

    def handle_startendtag(self, name, attributes):
        self.elements.append((name, dict(attributes)))

    def handle_endtag(self, name):
        while self._open and self._open.pop() != name:
            pass

    def handle_data(self, data):
        self.texts.append((tuple(self._open), data))

    def all(self, name):
        """The attributes of all elements of that name."""
        return [attributes for found, attributes in self.elements if found == name]

    def text(self, *within):
        """The text inside elements of these names, one inside the other; without any, all that is read."""
        chosen = (data for around, data in self.texts if all(name in around for name in within))
        if not within:
            chosen = (data for around, data in self.texts if not {"script", "style"} & set(around))
        return " ".join(" ".join(chosen).split())

    def data(self):
        """The gallery's data."""
        return json.loads(next(data for around, data in self.texts if around[-1:] == ("script",) and data[:1] == "{"))
