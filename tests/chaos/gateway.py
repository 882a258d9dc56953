"""A gateway to a server on loopback, which can be shut for a while: connections are refused."""

import contextlib
import socket
import threading


class Gateway:
    """Forwards connections to a port; a context manager. Its own `port` stays the same."""

    def __init__(self, to):
        self._to = to
        self._listener = None
        self._connections = set()
        self.refused = 0
        """Times that it was shut."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_):
        self.shut()

    def open(self):
        """Take connections."""
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=True)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self):
        """Take no connections, and cut those that there are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # A thread that waits in accept would keep it open.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.refused += 1

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    near.close()
                    continue
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source, target):
        self._connections.add(source)
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        self._connections.discard(source)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()
