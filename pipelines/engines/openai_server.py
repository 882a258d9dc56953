"""A server that speaks OpenAI's API, through the official client: the only module that names it.

Sends JSON and returns JSON; says of what goes wrong whether it may pass, whether the request is to
blame, or whether the user has to act. Keys come from the environment, and never leave this module
but in the header of a request.
"""

import asyncio
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from pipelines.engines.retry import TroubleError
from pipelines.errors import UserError
from pipelines.sweeps.engine_sections import OpenAIEngine, plain_address

try:
    import openai
except ImportError as missing:
    raise UserError(
        f"engine openai: {missing.name or missing} is not installed; pip install 'passlaw[openai]'"
    ) from None

HOSTED = "https://api.openai.com/v1"
_NO_KEY = "none"
"""The client wants a key, a server of one's own often none."""
_BUSY = (408, 409, 425, 429, 502, 503)
"""Statuses that say nothing of the request, only that the server cannot answer now."""
_LONGEST_REASON = 300


class RefusedError(Exception):
    """The server will not do what this request asks, however often it is asked."""

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.field = field
        """The field of the request that the server objects to, where it says so."""


class FaultError(TroubleError):
    """The server broke down over a request: its own fault, or the request's."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What a server is."""

    kind: str | None
    """As in vllm or sglang; None where it does not tell."""
    version: str | None

    @property
    def honours_seeds(self) -> bool:
        """Whether choice i of a request with a seed has the seed + i, and can be drawn again."""
        return self.kind == "vllm"

    @property
    def raw_logprobs(self) -> bool:
        """Whether log-probabilities are those of the model, before temperature and the like."""
        return self.kind == "vllm"

    def __str__(self) -> str:
        """Return the kind with its version."""
        return " ".join(part for part in (self.kind or "unknown", self.version) if part)


class Server:
    """One connection pool, in the event loop that is running."""

    def __init__(self, model: OpenAIEngine) -> None:
        self._where = f"model {model.name}"
        self._model = model
        self._called = model.model or model.name
        self._address = _address(model)
        self._key = _key(model, hosted=self.hosted)
        self._client = openai.AsyncOpenAI(
            api_key=self._key or _NO_KEY,
            base_url=self._address,
            timeout=model.request_seconds,
            max_retries=0,
        )

    @property
    def hosted(self) -> bool:
        """Whether it is OpenAI's own."""
        host = urlsplit(self._address).hostname or ""
        return host == "openai.com" or host.endswith(".openai.com")

    async def post(self, path: str, fields: Mapping[str, Any]) -> Any:
        """Send a request for the model and return the JSON of the answer.

        Args:
            path: below the address, or below the server's root where it starts with two slashes.
            fields: of the request.

        Raises:
            TroubleError: it may go well later.
            RefusedError: not with these fields.
            UserError: the key, the model or the address is wrong, or the account is empty.
        """
        return await self._sent("post", path, {"model": self._called, **fields})

    async def about(self) -> About:
        """Return what the server is; raises as `post` does."""
        try:
            listed = await self._sent("get", "/models")
            models = listed.get("data", []) if isinstance(listed, dict) else []
            kind = next((each.get("owned_by") for each in models if isinstance(each, dict)), None)
            if kind != "vllm":
                return About(kind=kind, version=None)
            version = await self._sent("get", "//version")
        except RefusedError:
            return About(kind=None, version=None)  # not every server lists its models
        return About(kind=kind, version=version.get("version"))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _sent(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        if path.startswith("//"):
            path = self._address.removesuffix("/v1") + path[1:]
        try:
            # A server that trickles is never silent for long: the whole answer has a limit too.
            async with asyncio.timeout(self._model.request_seconds):
                if verb == "get":
                    content = await self._client.get(path, cast_to=str)
                else:
                    content = await self._client.post(path, body=body, cast_to=str)
        except (openai.APITimeoutError, TimeoutError) as error:
            seconds = self._model.request_seconds
            raise TroubleError(
                f"no answer within request_seconds: {seconds:g}", gone=_unconnected(error)
            ) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            reason = self._clean(f"{type(cause).__name__}: {cause}")
            raise TroubleError(
                f"the connection failed ({reason})", gone=_unconnected(error)
            ) from None
        except openai.APIStatusError as error:
            raise self._failure(error, path) from None
        try:
            return json.loads(content)
        except ValueError:
            raise TroubleError("the answer is no JSON") from None

    def _failure(self, error: openai.APIStatusError, path: str) -> Exception:
        """Return what a status means."""
        status, said = error.status_code, error.body
        told: Mapping[str, Any] = said if isinstance(said, dict) else {}
        message = told.get("message") or told.get("detail") or error.response.text or "no reason"
        reason = f"{status}: {self._clean(str(message))}"
        if status in (401, 403):
            return UserError(f"{self._where}: {self._refused_key()} ({reason})")
        if status == 402 or told.get("code") == "insufficient_quota":
            return UserError(
                f"{self._where}: the account at {self._address} is out of credit ({reason}); "
                "top it up, and run the same command again"
            )
        if status == 404 and path in ("/completions", "/chat/completions"):
            return UserError(
                f"{self._where}: {self._address} has no model {self._called!r}, or no {path}: set "
                f"model to what the server calls it, and base_url up to its /v1 ({reason})"
            )
        if status in _BUSY:
            return TroubleError(reason, gone=True, wait=_asked_to_wait(error.response.headers))
        if status >= 500:
            wait = _asked_to_wait(error.response.headers)
            return (
                FaultError(reason, wait=wait) if status == 500 else TroubleError(reason, wait=wait)
            )
        return RefusedError(reason, _field(told, str(message)))

    def _refused_key(self) -> str:
        variable = self._model.key_variable
        if self._key is None:
            return (
                f"{self._address} wants a key; set it in the environment variable {variable}, "
                "or name another one as key_variable"
            )
        return (
            f"{self._address} refuses the key in the environment variable {variable}; set another "
            "one, here and on every node of a cluster"
        )

    def _clean(self, text: str) -> str:
        """Return what a server said in one line, without the key, which some servers repeat."""
        if self._key is not None:
            text = text.replace(self._key, "[key]")
        return " ".join(text.split())[:_LONGEST_REASON]


def _address(model: OpenAIEngine) -> str:
    """Return where the server is, without a slash at the end."""
    address = model.base_url or os.environ.get("OPENAI_BASE_URL") or HOSTED
    problem = plain_address(address)
    if problem is not None:
        where = "base_url" if model.base_url else "OPENAI_BASE_URL"
        raise UserError(f"model {model.name}: {where}: {problem}")
    return address.rstrip("/")


def _key(model: OpenAIEngine, *, hosted: bool) -> str | None:
    """Return the key; None where there is none."""
    key = os.environ.get(model.key_variable, "").strip()
    if not key and hosted:
        raise UserError(
            f"model {model.name}: OpenAI's server wants a key: set the environment variable "
            f"{model.key_variable}, here and on every node of a cluster; or give the base_url of "
            "another server"
        )
    if not key.isascii() or not key.isprintable():
        raise UserError(
            f"model {model.name}: the environment variable {model.key_variable} holds characters "
            "that no key has, such as a line break"
        )
    return key or None


def _unconnected(error: BaseException) -> bool:
    """Whether a connection was never made, by the name of what the client's own library raised."""
    return type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout")


def _asked_to_wait(headers: Mapping[str, str]) -> float:
    """Return the seconds of a Retry-After header, in either of its forms; 0 without one."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _field(told: Mapping[str, Any], message: str) -> str | None:
    """Return which field a refusal is about: by its name, or the first word that looks like one."""
    named = told.get("param")
    if isinstance(named, str) and named:
        return named
    found = re.search(r"\b(top_k|top_p|top_logprobs|logprobs|min_p|repetition_penalty)\b", message)
    return found.group() if found else None
