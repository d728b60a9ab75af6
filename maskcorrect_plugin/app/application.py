"""The page as an application that a server can run: its parts put together, and its limits."""

import logging
import signal
import socket
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI

from .answering import Desk
from .choices import write_scenes
from .form import FIELDS, read_form
from .guard import Guard
from .page import build_page
from .server import ServerOptions, is_loopback
from .shelf import ModelKey, ModelShelf

STYLE = Path(__file__).parent / "page.css"
FONTS = ["system-ui", "sans-serif"]
MAX_UPLOAD = 20 * 2**20
"""Bytes of a photo."""
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


class Application:
    """The page, with the model that it begins with loaded.

    A page that other computers can reach offers that model alone: a spec may name any function that this computer can
    import, and weights any file.

    Args:
        options: Of the server.
        folder: Where the scenes are written that the page offers.

    Attributes:
        desk: What answers.
        asgi: What a server runs.

    Raises:
        ArgumentError: the model cannot be loaded.
    """

    def __init__(self, options: ServerOptions, folder: Path) -> None:
        model = {"model": options.model, "weights": options.weights, "classes": str(options.classes or "")}
        start: dict[str, Any] = {**FIELDS, **model, "recipe": options.recipe}
        first = read_form(list(start.values())).model
        private = is_loopback(options.host)
        shelf = ModelShelf(None if private else first, device=options.device)
        self.desk = Desk(shelf, None if private else {options.recipe})
        with shelf.borrow(first):
            pass
        page = build_page(self.desk, write_scenes(folder), start, () if private else ModelKey._fields)
        server = gr.mount_gradio_app(
            FastAPI(openapi_url=None),
            page,
            path="/",
            server_name=options.host,
            footer_links=[],
            run_history=False,
            max_file_size=MAX_UPLOAD,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            theme=_theme(),
            css_paths=[STYLE],
        )
        self.asgi = Guard(server, LOOPBACK_NAMES if private else None, MAX_UPLOAD)

    def run(self, listening: socket.socket) -> None:
        """Serves until SIGINT or SIGTERM, then ends at once: an open page holds connections that never end."""
        server = uvicorn.Server(uvicorn.Config(self.asgi, log_level="error"))

        def end(signal_number: int, frame: FrameType | None) -> None:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # about the connections that are cut
            server.should_exit = server.force_exit = True

        server.handle_exit = end
        # Uvicorn raises the signal again at its end; as an interrupt, so that what has to be removed is removed.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listening])
        finally:
            self.desk.close()


def _theme() -> gr.Theme:
    """Gradio's own, with the computer's fonts, so that nothing is fetched, and with enough contrast."""
    theme = gr.themes.Default(primary_hue="blue", font=FONTS, font_mono=["ui-monospace", "monospace"])
    return theme.set(
        body_text_color_subdued="*neutral_500",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
    )
