"""A connection from each rank to its driver: it carries progress lines, and a rank ends when it breaks.

The system closes a connection however a process dies, SIGKILL included, so a rank needs no polling to learn of it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_ORPHANED = 75
"""Exit code of a rank whose driver is gone."""


class Lifeline:
    """The driver's end: `with Lifeline(host, on_report) as lifeline: …` holds it for as long as the block runs."""

    def __init__(self, host: str, on_report: Callable[[str], None]) -> None:
        is_local = host in ("127.0.0.1", "localhost")
        self._server = socket.create_server(("127.0.0.1" if is_local else "", 0))
        self._connections: list[socket.socket] = []
        self._on_report = on_report
        self.address = (host, int(self._server.getsockname()[1]))

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="lifeline", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing alone would leave the thread waiting for a connection.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # the block has ended
                return
            self._connections.append(connection)
            threading.Thread(target=self._pass_on, args=(connection,), name="lifeline of a rank", daemon=True).start()

    def _pass_on(self, connection: socket.socket) -> None:
        try:
            with connection.makefile(encoding="utf-8") as lines:
                for line in lines:
                    self._on_report(line.rstrip("\n"))
        except OSError:  # the rank is gone, and Horovod says so
            return


def hold_lifeline(address: tuple[str, int]) -> Callable[[str], None]:
    """Connect this rank to its driver and end it the moment the driver is gone; returns what reports a line."""
    connection = socket.create_connection(address, timeout=30)
    connection.settimeout(None)
    # A machine that vanished closes nothing: have the system ask now and then.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def watch() -> None:
        with contextlib.suppress(OSError):
            connection.recv(1)
        sys.stderr.write("the driver of this rank is gone; the rank ends\n")
        os._exit(_ORPHANED)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()

    def report(line: str) -> None:
        connection.sendall(" ".join(line.splitlines()).encode() + b"\n")

    return report
