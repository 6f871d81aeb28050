"""A kernel that says what a cell asks for, in the odd ways that kernels have; nothing is executed.

A cell is a JSON list of what to send: `[channel, kind, content]`, with a content that may be
anything, or `{"raw": TEXT}` for the bytes of it in Latin-1. Without a reply of its own among
them the cell is answered with a good one.
"""

from __future__ import annotations

import json
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

LANGUAGE = {"name": "odd", "mimetype": "text/plain", "file_extension": ".odd"}


class Odd(Kernel):
    """Says what it is told to."""

    implementation, implementation_version, banner = "odd", "1", "odd"
    language_info = LANGUAGE

    async def execute_request(self, socket: Any, ident: Any, parent: dict[str, Any]) -> None:  # noqa: ANN401
        """Send what the cell asks for instead of executing it."""
        answered = False
        for channel, kind, content, *more in json.loads(parent["content"]["code"]):
            to = socket if channel == "shell" else self.iopub_socket
            answered = answered or channel == "shell"
            self._say(to, kind, content, parent, ident if channel == "shell" else None, *more)
        if not answered:
            content = {"status": "ok", "execution_count": 1, "payload": [], "user_expressions": {}}
            self._say(socket, "execute_reply", content, parent, ident)

    def _say(  # noqa: PLR0913, PLR0917
        self,
        socket: Any,  # noqa: ANN401
        kind: str,
        content: Any,  # noqa: ANN401
        parent: dict[str, Any],
        ident: Any,  # noqa: ANN401
        parts: dict[str, Any] | None = None,
    ) -> None:
        """Send a message; `parts` replaces what it is made of."""
        message = self.session.msg(kind, content={}, parent=parent)
        message["content"] = content
        raw = content.get("raw") if isinstance(content, dict) else None
        frames = [
            json.dumps((parts or {}).get(name, message[name]), default=str).encode()
            for name in ("header", "parent_header", "metadata")
        ]
        frames.append(raw.encode("latin-1") if raw else json.dumps(content).encode())
        frames = [*(ident or [b"odd"]), b"<IDS|MSG>", self.session.sign(frames), *frames]
        if (parts or {}).get("signature"):
            frames[-5] = parts["signature"].encode()  # type: ignore[index]
        (socket.send_multipart if ident else self._publish)(frames)

    def _publish(self, frames: list[bytes]) -> None:
        self.iopub_socket.send_multipart(frames)


if __name__ == "__main__":
    IPKernelApp.launch_instance(kernel_class=Odd)
