"""A limit on all of an exchange: limits on single reads let a slow other side take as long as it likes."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LEAST_S = 0.001


class Deadline:
    """When everything must be over; a watched connection is cut then."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._watched: list[socket.socket] = []
        self._lock = threading.Lock()
        self.is_over = False
        """Whether it came, and connections were cut."""

    def left_s(self) -> float:
        """Return how much time is left, never 0: that would mean no limit to a socket."""
        return max(_LEAST_S, self._until - time.monotonic())

    def watch(self, connection: socket.socket) -> None:
        """Cut this connection when the time is over, whatever layers are put on it later."""
        copy = connection.dup()
        with self._lock:
            self._watched.append(copy)
            if self.is_over:
                _cut(copy)

    def is_abandoned(self) -> bool:
        """Return whether the other side has closed a watched connection, as far as is known here by now."""
        with self._lock:
            return any(_is_closed(one) for one in self._watched)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Cut what is watched when the time comes before this is left."""
        timer = threading.Timer(self.left_s(), self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            with self._lock:
                for one in self._watched:
                    one.close()
                self._watched.clear()

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            for one in self._watched:
                _cut(one)


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _is_closed(connection: socket.socket) -> bool:
    """Say whether there is nothing to read any more, ever; asks without waiting."""
    looking = select.poll()
    looking.register(connection, select.POLLIN)
    if not looking.poll(0):
        return False
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
