"""What stands between the page and whoever asks for it: only this page may use it, and it may use nothing else."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""Content security policy: whatever a library may put into the page, the browser asks no other computer."""
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
FORM_BYTES = 100_000
"""What a request may have besides the photo."""


class Guard:
    """ASGI middleware that refuses what other web sites make a browser ask for, and bodies that are too large.

    A request must name the server by one of `hosts` (a site that lets its own name point to this computer does not),
    must not come from another origin, and must say how long it is within bounds.

    Args:
        app: What is guarded.
        hosts: Names and addresses by which the server may be called; None allows all.
        max_bytes: Of an upload.
    """

    def __init__(self, app: App, hosts: frozenset[str] | None, max_bytes: int) -> None:
        self.app = app
        self.hosts = hosts
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self.refusal({key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]})
        if refusal is not None:
            await _refuse(send, *refusal)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def refusal(self, headers: dict[str, str]) -> tuple[int, str] | None:
        """HTTP status and reason, or None if a request with these headers (names in lower case) may pass."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.hosts is not None and urlsplit(f"//{host}").hostname not in self.hosts:
            return 403, f"this page is not served under the name {host!r}"
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"requests from {origin!r} are refused"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.max_bytes + FORM_BYTES:
            return 413, f"a file may have {self.max_bytes:,} bytes at most"
        return None


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = reason.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
