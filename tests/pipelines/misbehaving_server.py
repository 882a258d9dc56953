"""A server that speaks OpenAI's API, and misbehaves on purpose.

Its model writes one of the digits, drawn from the prompt and the seed of each choice, so that a
sample is the same however often, and with what others, it is asked for. Every request takes the
next fault of `script`, if there is one; at random a share of them fails.
"""

import hashlib
import json
import random
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATUSES = {"408", "429", "500", "502", "503", "504"}
"""Faults that are a status and nothing else; "429 after 7" also says Retry-After: 7."""


def digit(prompt: str, seed: int) -> str:
    """What the model writes: one digit, each as likely as the others."""
    name = f"{prompt}\0{seed}".encode()
    return str(int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") % 10)


@dataclass
class Misbehaviour:
    """How the server is, beside its script."""

    kind: str = "vllm"
    """What /v1/models says of it."""
    model: str = "m"
    key: str | None = None
    """Refuses every other."""
    logprobs: bool = True
    ignore_n: bool = False
    """Gives one choice, whatever is asked."""
    refuse: str | None = None
    """A field that it does not take."""
    clone: bool = False
    """All choices of a request are copies of the first."""
    echo: bool = False
    """Forgets the seed: every request of a prompt has the same choices."""
    poison: str | None = None
    """A prompt over which it breaks down."""
    share: float = 0.0
    """Of requests that fail, at random."""
    change: dict = field(default_factory=dict)
    """Replaces fields of every choice."""


class MisbehavingServer:
    """Starts with `with`, on a free port, which it keeps."""

    def __init__(self, **how) -> None:
        self.how = Misbehaviour(**how)
        self.script: list[str] = []
        self.seen: list[dict] = []
        """The body of every request for samples, with its path and its key."""
        self.faults = 0
        self.ending = threading.Event()
        self._random = random.Random(5)
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.stop()

    def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = _Threads(("127.0.0.1", self._port), handler)
        self._port = self._server.server_port
        poll = {"poll_interval": 0.01}
        threading.Thread(target=self._server.serve_forever, kwargs=poll, daemon=True).start()

    def stop(self) -> None:
        """Drop every connection, and refuse new ones."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.drop()
            self._server = None

    def fault(self) -> str | None:
        """Return what is to go wrong with the request that just came."""
        with self._lock:
            fault = self.script.pop(0) if self.script else None
            if fault is None and self._random.random() < self.how.share:
                fault = self._random.choice(("429", "500", "503", "cut", "malformed", "drop"))
            self.faults += fault is not None
            return fault


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._connections = []

    def get_request(self):
        """Accept a connection, and remember it."""
        accepted = super().get_request()
        self._connections.append(accepted[0])
        return accepted

    def drop(self):
        """Close every connection that is still open."""
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: MisbehavingServer

    def log_message(self, *_):
        """Keep quiet."""

    def do_GET(self):
        how = self.owner.how
        if not self._allowed():
            return
        if self.path == "/version":
            self._send(200, {"version": "1.2.3"})
        elif self.path == "/v1/models":
            self._send(200, {"data": [{"id": how.model, "owned_by": how.kind}]})
        else:
            self._send(404, {"detail": "Not Found"})

    def do_POST(self):
        how = self.owner.how
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        seen = {"path": self.path, "authorization": self.headers["Authorization"]}
        self.owner.seen.append(body | seen)
        if not self._allowed():
            return
        if self.path not in ("/v1/completions", "/v1/chat/completions"):
            self._send(404, {"detail": "Not Found"})
        elif body["model"] != how.model:
            self._send(404, _error("The model does not exist.", "model"))
        elif how.refuse is not None and _takes(body, how.refuse):
            self._send(400, _error(f"{how.refuse} is not supported", how.refuse))
        elif _prompt(body) == how.poison:
            self._send(500, _error("it broke"))
        elif _prompt(body) == "too long":
            self._send(400, _error("maximum context length is 64 tokens", "max_tokens"))
        else:
            self._misbehave(self.owner.fault(), self._answer(body), body["n"])

    def _allowed(self) -> bool:
        key = self.owner.how.key
        if key is None or self.headers["Authorization"] == f"Bearer {key}":
            return True
        # As some servers do, it repeats the key that it got.
        self._send(401, _error(f"Incorrect API key provided: {self.headers['Authorization']}"))
        return False

    def _answer(self, body):
        how, prompt = self.owner.how, _prompt(body)
        n = 1 if how.ignore_n else body["n"]
        seed = 0 if how.echo else body.get("seed", 0)
        texts = [digit(prompt, seed + (0 if how.clone else at)) for at in range(n)]
        chat = self.path == "/v1/chat/completions"
        return {
            "choices": [
                _choice(at, text, chat, how.logprobs and "logprobs" in body) | how.change
                for at, text in enumerate(texts)
            ],
            "usage": {"prompt_tokens": len(prompt), "completion_tokens": 2 * n},
        }

    def _misbehave(self, fault, answer, n):
        choices = answer["choices"]
        status = (fault or "").split(" ")[0]
        if fault == "drop":
            self.close_connection = True
            return
        if status in STATUSES:
            after = (fault or "").partition("after ")[2]
            self._send(int(status), _error("try again"), {"Retry-After": after} if after else {})
            return
        if fault == "fewer":
            answer["choices"] = choices[: n // 2]
            answer["usage"]["completion_tokens"] = 2 * (n // 2)
        elif fault == "more":
            answer["choices"] = [*choices, choices[0] | {"index": n}]
        elif fault == "duplicate":
            answer["choices"] = [choice | {"index": 0} for choice in choices]
        elif fault == "empty":
            answer["choices"] = []
        elif fault == "no choices":
            del answer["choices"]
        elif fault == "no usage":
            del answer["usage"]
        content = json.dumps(answer).encode()
        if fault == "malformed":
            content = content[: len(content) // 2]
        elif fault == "html":
            content = b"<html>Welcome</html>"
        elif fault == "slow":
            self.owner.ending.wait(60)
        self._write(200, content, {}, of=content[: len(content) // 2] if fault == "cut" else None)
        if fault == "cut":
            self.close_connection = True

    def _send(self, status, answer, headers=()):
        self._write(status, json.dumps(answer).encode(), dict(headers))

    def _write(self, status, content, headers, of=None):
        """Send an answer, or only the part `of` it."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if of is None else of)


def _takes(body, field) -> bool:
    return body["n"] > 1 if field == "n" else field in body


def _prompt(body) -> str:
    if "prompt" in body:
        return body["prompt"]
    return "".join(message["content"] for message in body["messages"])


def _error(message, param=None):
    return {"error": {"message": message, "param": param, "code": None}}


def _choice(at, text, chat, logprobs):
    """One digit and the end: two tokens."""
    values = [-2.302585, 0.0]
    recorded = {"token_logprobs": values}
    tokens = [
        {"token": token, "logprob": value} for token, value in zip((text, ""), values, strict=True)
    ]
    of_chat = {"message": {"role": "assistant", "content": text}}
    return {
        "index": at,
        "finish_reason": "stop",
        "logprobs": None if not logprobs else {"content": tokens} if chat else recorded,
        **(of_chat if chat else {"text": text}),
    }
