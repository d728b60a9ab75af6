"""Serving the page: where it listens, what it offers, and that nothing of it is left when it ends."""

import ipaddress
import os
import socket
import sys
import tempfile
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from maskcorrect_plugin.commands.terminal import Style, echo, warnings_to
from maskcorrect_plugin.errors import ArgumentError, missing_library

from .job import note


@dataclass(frozen=True)
class ServerOptions:
    """The arguments of ``maskcorrect app``.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes any that is free.
        model: What the form names at first, as for the two that follow.
        weights: See `load_model`.
        classes: A file of class names.
        device: Where models run; None is CUDA if there is one, else the CPU.
        recipe: What the form begins with: a recipe by name, with changes in brackets, or its file.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    model: str = "demo"
    weights: str = "DEFAULT"
    classes: Path | None = None
    device: str | None = None
    recipe: str = "paper"


def serve(options: ServerOptions) -> None:
    """Serves the page until it is interrupted.

    Raises:
        MissingLibraryError: gradio is not installed.
        ArgumentError: the address cannot be used, or the model cannot be loaded.
    """
    if find_spec("gradio") is None:
        raise missing_library("gradio", "app", "pages in the browser")
    with (
        listen(options.host, options.port) as listening,
        tempfile.TemporaryDirectory(prefix="maskcorrect-app-") as folder,
        warnings_to(_warn),
    ):
        warnings.filterwarnings("always", category=UserWarning)  # of every photo, not of the first one only
        # Gradio reads them when it is imported and when fields are made: nothing is reported to anybody, and photos go
        # where they are removed at the end.
        quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
        os.environ.update(quiet, GRADIO_TEMP_DIR=str(Path(folder) / "photos"))
        from .application import Application

        application = Application(options, Path(folder))
        if not is_loopback(options.host):
            _warn(f"other computers can reach this page; it offers them {options.model!r} and no other model")
        echo(f"maskcorrect app is at {page_address(listening)} (Ctrl+C ends it)")
        sys.stdout.flush()
        application.run(listening)


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach that address.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ArgumentError: no such address here, or the port is taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen()
        except BaseException:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArgumentError(
            f"host {host!r} and port {port} cannot be used: {reason}. --port takes another one, 0 any that is free"
        ) from error
    return listening


def page_address(listening: socket.socket) -> str:
    """What to type into a browser on this computer."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _warn(text: str) -> None:
    """Warnings of a photo's correction are said in the page, others in the terminal."""
    note(text, lambda other: echo(Style.of(sys.stderr)(f"warning: {other}", "yellow"), stderr=True))
