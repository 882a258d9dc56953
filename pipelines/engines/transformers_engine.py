"""The embedded engine: any Hugging Face causal language model, on CPU, CUDA or MPS.

All samples of a call grow one tree of tokens: those that agree so far share a node, a node costs
one row of one forward pass, and so n samples of a prompt share its prefill and every prefix that
they have in common. Knows models and tokens; not where a sweep, a store or a seed comes from.

Axes: N nodes of one depth, R rows of the cache, S samples, V vocabulary, D tokens drawn so far.
"""

import contextlib
import copy
import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.engines.protocol import Engine, Request
from pipelines.engines.sampling import Leaves, hash_seeds, uniforms
from pipelines.engines.tokens import ANCHOR, TokenReader, brief
from pipelines.errors import UserError
from pipelines.sweeps.config import Decoding

try:
    import torch
    import transformers
    from torch import Tensor
except ImportError as missing:
    raise UserError(
        f"engine transformers: {missing.name or missing} is not installed; "
        "pip install 'passlaw[transformers]'"
    ) from None

_GROUP = 16
"""Samples in one tree, in batches: so many batches of cache at most, however the tree splits."""
_PREFILL = 16
"""Prompt tokens in one forward pass, padding included, for each row of the batch."""
_CELLS = 2**24
"""Most scores in float64 at a time."""
_LIVE, _STOP, _LENGTH, _ERROR = range(4)
_REASONS = {_STOP: "stop", _LENGTH: "length", _ERROR: "error"}


@dataclass(kw_only=True)
class _Call:
    """What stays the same while a tree grows."""

    decoding: Decoding
    prompts: dict[int, list[int]]
    """Tokens of each request's prompt."""
    keys: NDArray[np.uint64]
    """One for each sample of the call."""
    leaves: Leaves


@dataclass(kw_only=True)
class _Branch:
    """Nodes of one depth whose past lies in one cache, and the samples that stand on them."""

    cache: Any
    """Keys and values of all tokens but `inputs`; Any, for models bring caches of their own."""
    width: int
    """R."""
    rows: Tensor
    """[N] the row of the cache that holds each node's past."""
    move: bool
    """The cache has to be brought into the order of the nodes first."""
    shared: bool
    """Other branches continue the same cache."""
    mask: Tensor | None
    """[R, length of the cache] 0 on the left padding; None: nothing is padded."""
    inputs: Tensor
    """[N, tokens] what the model reads next: the prompt, then the last token drawn."""
    owner: Tensor
    """[N] the request."""
    history: Tensor
    """[N, D] tokens drawn."""
    logprob: Tensor
    """[N] their sum."""
    certainty: Tensor
    """[N] their sum."""
    least: Tensor
    """[N] log-probability of the least likely token drawn."""
    confidence: Tensor | None
    """[N, D] confidence of each token drawn; None: not recorded."""
    samples: Tensor
    """[S] places in the table."""
    node: Tensor
    """[S] the node of each sample."""


class _BatchReader(TokenReader):
    """Decodes texts together, several times as fast, where the tokenizer allows it.

    Not for a tokenizer that other threads use: this goes past what guards it.
    """

    def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each list of tokens, special tokens included."""
        tokenizer = self._tokenizer
        if isinstance(tokenizer, transformers.PreTrainedTokenizerFast) and not (
            tokenizer.clean_up_tokenization_spaces
        ):
            texts: list[str] = tokenizer.backend_tokenizer.decode_batch(
                tokens, skip_special_tokens=False
            )
            return texts
        return super().decode(tokens)


class TransformersModel(Engine):
    """A causal language model and its tokenizer, behind the two verbs of `Engine`.

    A sample is a function of its seed, the prompt and the decoding, whatever it is batched with,
    up to rounding inside the model.
    """

    def __init__(
        self,
        model: transformers.PreTrainedModel,
        tokenizer: transformers.PreTrainedTokenizerBase,
        *,
        batch: int = 4_096,
        token_confidence: int | None = None,
    ) -> None:
        self._model = model
        model.train(False)
        self._batch = batch
        self._top = token_confidence
        self._device = model.device
        # MPS has no float64: what is drawn from the model's scores is drawn on the CPU.
        self._exact = torch.device("cpu") if self._device.type == "mps" else self._device
        text = model.config.get_text_config()
        self._vocabulary: int = text.vocab_size
        ends = _end_tokens(model, tokenizer)
        self._ends = torch.tensor(ends, device=self._exact).long()
        self._accepts = set(inspect.signature(model.forward).parameters)
        self._reader = _BatchReader(
            tokenizer,
            name=str(model.name_or_path),
            context=getattr(text, "max_position_embeddings", None),
            vocabulary=self._vocabulary,
            ends=ends,
        )
        self._pads = self._ignores_padding()

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batch: int = 4_096,
        token_confidence: int | None = None,
    ) -> Self:
        """Load a folder, or a model of the Hugging Face hub by its name.

        Args:
            path: the folder or name.
            device: cpu, cuda, mps, or auto for the best there is.
            dtype: float32, float16, bfloat16, or auto for that of the checkpoint.
            batch: most rows in one forward pass.
            token_confidence: how many of the likeliest tokens DeepConf's confidences average over;
                None records none.

        Raises:
            UserError: the device is not there, or the folder holds no causal language model that
                can be read whole, or no tokenizer.
        """
        name = str(path)
        target = _device(device)
        folder = Path(name).expanduser()
        if folder.is_dir():
            name = str(folder)
        elif name.count("/") > 1 or name.startswith((".", "/", "~")):
            raise UserError(f"{name}: no such model folder; give a folder or a name on the hub")
        with _quiet():
            model = _load_model(name, dtype)
            tokenizer = _load_tokenizer(name)
        try:
            model.to(target)  # type: ignore[arg-type]  # the wrapper hides the method's first argument
        except RuntimeError as error:
            raise UserError(
                f"{name}: does not fit on {target} ({brief(error)}); use another device or dtype"
            ) from None
        subject = cls(model, tokenizer, batch=batch, token_confidence=token_confidence)
        problem = subject._probe()
        if problem:
            raise UserError(f"{name}: {problem}; take another causal language model")
        return subject

    @property
    def parameters(self) -> int:
        """How many numbers were trained; tied ones count once."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    def unique_tokens(self) -> bool:
        """Whether every text has exactly one tokenisation.

        Then `likelihood` is the probability of a completion's text, not of one of its spellings.
        """
        return self._reader.unique

    def facts(self) -> dict[str, Any]:
        """Return the library's version, and that every sample has a seed of its own."""
        return {"engine": f"transformers {transformers.__version__}", "seeding": "sample"}

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request], decoding: Decoding) -> pa.Table:
        """Draw every sample of every request; see `Engine.generate`."""
        sizes = [len(request.sample_ids) for request in requests]
        first = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        seeds = [np.asarray(request.seeds, dtype=np.int64) for request in requests]
        call = _Call(
            decoding=decoding,
            prompts={},
            keys=hash_seeds(np.concatenate([np.empty(0, dtype=np.int64), *seeds])),
            leaves=Leaves(int(first[-1])),
        )
        prompt_tokens = []
        for at, request in enumerate(requests):
            tokens, error = self._reader.request(request, decoding.max_tokens)
            prompt_tokens.append(len(tokens))
            if error:
                call.leaves.fail(error, np.arange(first[at], first[at + 1]))
            else:
                call.prompts[at] = tokens
        # Prompts of similar length lie together: little padding.
        order = sorted(call.prompts, key=lambda at: len(call.prompts[at]))
        samples = [np.arange(first[at], first[at + 1]) for at in order]
        owner = np.repeat(np.array(order, dtype=np.int64), [len(each) for each in samples])
        sample = np.concatenate([np.empty(0, dtype=np.int64), *samples])
        group = _GROUP * self._batch
        for start in range(0, len(sample), group):
            part = slice(start, start + group)
            self._grow(call, self._roots(call, sample[part], owner[part]))
        return call.leaves.table(requests, prompt_tokens)

    @torch.inference_mode()
    def likelihood(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        decoding: Decoding | None = None,
    ) -> NDArray[np.float64]:
        """Return log p(completion, then end | prompt) for each pair; see `Engine.likelihood`.

        -inf where the decoding cannot give the completion, also for want of `max_tokens`; NaN
        where the model cannot read the pair. The end is an end token; that a completion may also
        end at a stop string is not counted.
        """
        result, pairs = self._reader.pairs(prompts, completions, decoding)
        order = sorted(pairs, key=lambda at: len(pairs[at][0]) + len(pairs[at][1]))
        while order:
            chunk = [order.pop()]
            length, first = sum(map(len, pairs[chunk[0]])), len(pairs[chunk[0]][0])
            while order and len(chunk) < self._batch:
                first = min(first, len(pairs[order[-1]][0]))
                if (len(chunk) + 1) * (length - first + 1) * self._vocabulary > _CELLS:
                    break
                chunk.append(order.pop())
            result[chunk] = self._score([pairs[at] for at in chunk], decoding)
        return result

    # ---------------------------------------------------------------- the tree

    def _roots(
        self, call: _Call, sample: NDArray[np.int64], owner: NDArray[np.int64]
    ) -> list[_Branch]:
        """Return the branches whose nodes are the prompts; `owner` comes in runs, by length."""
        roots = []
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        bounds = np.append(starts, len(owner))
        lengths = [len(call.prompts[at]) for at in owner[starts].tolist()]
        tokens = _PREFILL * self._batch
        at = 0
        while at < len(starts):
            end = at + 1
            while (
                end < min(len(starts), at + self._batch)
                and (end - at + 1) * lengths[end] <= tokens
                and (self._pads or lengths[end] == lengths[at])
            ):
                end += 1
            length = lengths[end - 1]
            owners = owner[starts[at:end]]
            prompts = [call.prompts[int(each)] for each in owners]
            nodes = len(prompts)
            inputs = torch.zeros(nodes, length, dtype=torch.long)
            mask = torch.zeros(nodes, length, dtype=torch.long)
            for row, prompt in enumerate(prompts):
                inputs[row, length - len(prompt) :] = torch.tensor(prompt)
                mask[row, length - len(prompt) :] = 1
            inside = slice(bounds[at], bounds[end])
            node = np.repeat(np.arange(nodes), np.diff(bounds[at : end + 1]))
            padded = lengths[at] < length
            sums = torch.zeros(nodes, dtype=torch.float64, device=self._exact)
            roots.append(
                _Branch(
                    cache=self._new_cache(),
                    width=nodes,
                    rows=torch.arange(nodes, device=self._exact),
                    move=False,
                    shared=False,
                    mask=mask.to(self._device) if padded else None,
                    inputs=inputs.to(self._exact),
                    owner=torch.from_numpy(owners).to(self._exact),
                    history=torch.zeros(nodes, 0, dtype=torch.long, device=self._exact),
                    logprob=sums,
                    certainty=sums,
                    least=sums,
                    confidence=None if self._top is None else sums.new_zeros(nodes, 0),
                    samples=torch.from_numpy(sample[inside]).to(self._exact),
                    node=torch.from_numpy(node).to(self._exact),
                )
            )
            at = end
        return roots

    def _grow(self, call: _Call, branches: list[_Branch]) -> None:
        """Grow the tree, depth first, until every sample has reached a leaf."""
        while branches:
            branch = branches.pop()
            scores = self._forward(branch)
            # No name for the children here: it would keep a cache alive that is done with.
            branches += self._split(self._finish(call, self._draw(call, branch, scores)))

    def _forward(self, branch: _Branch) -> Tensor:
        """Read the inputs of a branch: return the [N, V] scores of what follows."""
        rows = branch.rows.to(self._device)
        inputs = branch.inputs.to(self._device)
        if branch.move:
            branch.cache = _select(branch.cache, rows, shared=branch.shared)
            branch.mask = None if branch.mask is None else branch.mask.index_select(0, rows)
            branch.width = len(rows)
            branch.rows = torch.arange(branch.width, device=self._exact)
        scattered = branch.width > len(rows)
        if scattered:
            inputs = inputs.new_zeros(branch.width, 1).index_copy(0, rows, inputs)
        if branch.mask is not None and branch.history.shape[1]:
            branch.mask = torch.nn.functional.pad(branch.mask, (0, 1), value=1)
        scores = self._read(inputs, branch.cache, branch.mask)
        return (scores.index_select(0, rows) if scattered else scores).to(self._exact)

    def _new_cache(self) -> transformers.DynamicCache:
        return transformers.DynamicCache(config=self._model.config)

    def _read(self, inputs: Tensor, cache: Any, mask: Tensor | None = None) -> Tensor:
        """Read [R, tokens] behind what the cache holds: return the [R, V] scores at their end.

        The mask, [R, length of the cache with the tokens], is 0 on the left padding.
        """
        memory = "cache_params" if "cache_params" in self._accepts else "past_key_values"
        options: dict[str, Any] = {memory: cache}
        if "logits_to_keep" in self._accepts:
            options["logits_to_keep"] = 1
        if mask is not None:
            options["attention_mask"] = mask
            if "position_ids" in self._accepts:
                positions = mask.cumsum(1).sub_(1).clamp_(min=0)
                options["position_ids"] = positions[:, -inputs.shape[1] :]
        scores: Tensor = self._model(input_ids=inputs, use_cache=True, **options).logits[:, -1]
        return scores

    def _draw(self, call: _Call, branch: _Branch, scores: Tensor) -> _Branch:
        """Draw one token for every sample: return the branch of the distinct histories."""
        decoding, depth = call.decoding, branch.history.shape[1]
        uniform = None
        if decoding.temperature:
            keys = call.keys[branch.samples.cpu().numpy()]
            uniform = torch.from_numpy(uniforms(keys, depth)).to(self._exact)
        nodes, vocabulary = scores.shape
        step = max(1, _CELLS // vocabulary)
        child = torch.empty_like(branch.node)
        parts: list[tuple[Tensor, ...]] = []
        count = 0
        for start in range(0, nodes, step):
            logp = scores[start : start + step].double().log_softmax(-1)
            node, draw = branch.node, uniform
            if step < nodes:
                inside = ((node >= start) & (node < start + step)).nonzero().squeeze(1)
                node = node[inside] - start
                draw = None if draw is None else draw[inside]
            token = _pick(_warp(logp, decoding), node, draw)
            pairs, place = _distinct(node * vocabulary + token, logp.numel())
            if step < nodes:
                child[inside] = place + count
            else:
                child = place
            parent = pairs.div(vocabulary, rounding_mode="floor")
            certainty = -math.log(vocabulary) - logp.mean(-1)
            token = pairs - parent * vocabulary
            told = [certainty[parent]]
            if self._top is not None:
                top = logp.topk(min(self._top, vocabulary), sorted=False).values
                told.append(-top.mean(-1)[parent])
            parts.append((parent + start, token, logp[parent, token], *told))
            count += len(pairs)
        parent, token, logprob, certainty, *confidence = (
            torch.cat(part) for part in zip(*parts, strict=True)
        )
        return replace(
            branch,
            rows=branch.rows[parent],
            inputs=token.unsqueeze(1),
            owner=branch.owner[parent],
            history=torch.cat([branch.history[parent], token.unsqueeze(1)], 1),
            logprob=branch.logprob[parent] + logprob,
            certainty=branch.certainty[parent] + certainty,
            least=torch.minimum(branch.least[parent], logprob),
            confidence=None
            if branch.confidence is None
            else torch.cat([branch.confidence[parent], confidence[0].unsqueeze(1)], 1),
            node=child,
        )

    def _finish(self, call: _Call, branch: _Branch) -> _Branch:
        """Turn the nodes that end here into leaves: return the branch of the others."""
        depth = branch.history.shape[1]
        reason = torch.full_like(branch.owner, _LIVE)
        if depth == call.decoding.max_tokens:
            reason[:] = _LENGTH
        reason[torch.isin(branch.inputs[:, 0], self._ends)] = _STOP
        reason[branch.logprob.isnan()] = _ERROR
        cut = self._find_stops(call, branch, reason) if call.decoding.stop else {}
        if cut:
            reason[torch.tensor(list(cut), device=self._exact)] = _STOP
        done = reason != _LIVE
        leaves = done.nonzero().squeeze(1)
        if not len(leaves):
            return branch

        code = reason[leaves].cpu().numpy()
        texts = self._texts(
            [call.prompts[at] for at in branch.owner[leaves].tolist()],
            branch.history[leaves].tolist(),
        )
        if cut:
            texts = [cut.get(at, text) for at, text in zip(leaves.tolist(), texts, strict=True)]
        ended = done[branch.node]
        place = done.cumsum(0).sub_(1)[branch.node[ended]].cpu().numpy()
        samples = branch.samples[ended].cpu().numpy()
        broken = code[place] == _ERROR
        if broken.any():
            call.leaves.fail(
                "the model's scores are not numbers (NaN); try dtype float32", samples[broken]
            )
            samples, place = samples[~broken], place[~broken]
        call.leaves.add(
            texts,
            [_REASONS[each] for each in code.tolist()],
            tokens=depth,
            recorded=_recorded(branch, leaves),
            samples=samples,
            leaf=place,
        )
        return _keep(branch, ~done)

    def _split(self, branch: _Branch) -> list[_Branch]:
        """Cut a branch into branches of at most a batch, which then share its cache."""
        nodes = len(branch.owner)
        if not nodes:
            return []
        pieces = -(-nodes // self._batch)
        if pieces == 1:
            # Moving the cache is worth it when nodes share a row, or many rows are of no use.
            branching = bool((branch.rows[1:] == branch.rows[:-1]).any())
            return [replace(branch, move=branching or 4 * nodes < 3 * branch.width, shared=False)]
        size = -(-nodes // pieces)
        order = branch.node.argsort()
        bounds = torch.searchsorted(
            branch.node[order], torch.arange(0, nodes, size, device=self._exact)
        ).tolist()
        split = []
        for piece, start in enumerate(range(0, nodes, size)):
            part = slice(start, start + size)
            inside = order[bounds[piece] : [*bounds, None][piece + 1]]
            split.append(
                replace(
                    branch,
                    rows=branch.rows[part],
                    move=True,
                    shared=True,
                    inputs=branch.inputs[part],
                    owner=branch.owner[part],
                    history=branch.history[part],
                    logprob=branch.logprob[part],
                    certainty=branch.certainty[part],
                    least=branch.least[part],
                    confidence=None if branch.confidence is None else branch.confidence[part],
                    samples=branch.samples[inside],
                    node=branch.node[inside] - start,
                )
            )
        return split

    # ---------------------------------------------------------------- text

    def _texts(self, prompts: list[list[int]], histories: list[list[int]]) -> list[str]:
        """Return the text that each history adds to its prompt, without an end token."""
        return self._reader.texts(prompts, [self._reader.without_end(each) for each in histories])

    def _find_stops(self, call: _Call, branch: _Branch, reason: Tensor) -> dict[int, str]:
        """Return node -> completion for the nodes that have just completed a stop string."""
        stops = call.decoding.stop
        open_nodes = ((reason == _LIVE) | (reason == _LENGTH)).nonzero().squeeze(1).tolist()
        # A token may be a single byte, and the last ones may be half a character.
        window = max(len(stop.encode()) for stop in stops) + ANCHOR
        tails = branch.history[:, -window:].tolist()
        owners = branch.owner.tolist()
        early = branch.history.shape[1] < window
        prompts = [call.prompts[owners[at]] for at in open_nodes]
        recent = [
            prompt[-ANCHOR:] + tails[at] if early else tails[at]
            for at, prompt in zip(open_nodes, prompts, strict=True)
        ]
        said = self._reader.decode(recent)
        suspects = [
            (at, prompt)
            for at, prompt, text in zip(open_nodes, prompts, said, strict=True)
            if any(stop in text for stop in stops)
        ]
        if not suspects:
            return {}
        texts = self._texts(
            [prompt for _, prompt in suspects],
            [branch.history[at].tolist() for at, _ in suspects],
        )
        cut = {}
        for (at, _), text in zip(suspects, texts, strict=True):
            found = [text.find(stop) for stop in stops if stop in text]
            if found:
                cut[at] = text[: min(found)]
        return cut

    # ---------------------------------------------------------------- what the model can do

    @torch.inference_mode()
    def _probe(self) -> str | None:
        """Return why a tree cannot be grown with this model, found out on two tokens."""
        tokens = torch.tensor([[0, 1], [0, 2]], device=self._device)
        whole = self._model(input_ids=tokens, use_cache=False).logits.float()
        scale = whole.std()
        if (whole[0, 0] - whole[1, 0]).abs().max() > 0.1 * scale:
            return "its scores depend on later tokens, as an encoder's do"
        cache = self._new_cache()
        self._read(tokens[:, :1], cache)
        stepwise = self._read(tokens[:, 1:], cache).float()
        # Generous: with half precision the two ways round differently.
        if (whole[:, 1] - stepwise).abs().max() > 0.5 * scale:
            return "it does not remember tokens by the cache of transformers"
        return None

    @torch.inference_mode()
    def _ignores_padding(self) -> bool:
        """Whether left padding leaves the scores as they are; state-space models may see it."""
        tokens = torch.tensor([[2, 1, 2, 2]], device=self._device)
        padding = torch.zeros(1, 3, dtype=torch.long, device=self._device)
        padded = torch.cat([padding, tokens], 1)
        mask = torch.cat([padding, torch.ones_like(tokens)], 1)
        plain_cache, padded_cache = self._new_cache(), self._new_cache()
        for start, end in ((0, 2), (2, 3), (3, 4)):
            plain = self._read(tokens[:, start:end], plain_cache).float()
            first = start + 3 if start else 0
            found = self._read(padded[:, first : end + 3], padded_cache, mask[:, : end + 3])
            if (plain - found.float()).abs().max() > 0.05 * plain.std():
                return False
        return True

    # ---------------------------------------------------------------- teacher forcing

    def _score(
        self, pairs: list[tuple[list[int], list[int]]], decoding: Decoding | None
    ) -> NDArray[np.float64]:
        """Return log p(tokens, then end | prompt) for pairs of similar length."""
        length = max(len(prompt) + len(tokens) for prompt, tokens in pairs)
        first = min(len(prompt) for prompt, _ in pairs) - 1
        # Padded on the right, which nothing to its left can see.
        inputs = torch.zeros(len(pairs), length, dtype=torch.long)
        counted = torch.zeros(len(pairs), length, dtype=torch.bool)
        end = torch.empty(len(pairs), dtype=torch.long)
        for row, (prompt, tokens) in enumerate(pairs):
            end[row] = len(prompt) + len(tokens) - 1
            inputs[row, : end[row] + 1] = torch.tensor(prompt + tokens)
            counted[row, len(prompt) : end[row] + 1] = True
        inputs, counted, end = (
            each.to(self._device).to(self._exact) for each in (inputs, counted, end)
        )
        options = {"logits_to_keep": length - first} if "logits_to_keep" in self._accepts else {}
        output = self._model(input_ids=inputs.to(self._device), use_cache=False, **options)
        logits = output.logits[:, first - length :].to(self._exact)
        logp = logits.double().log_softmax(-1)
        if decoding is not None:
            logp = _warp(logp, decoding)
        drawn = logp[:, :-1].gather(-1, inputs[:, first + 1 :].unsqueeze(-1)).squeeze(-1)
        # A completion would have ended at its first end token.
        drawn = drawn.masked_fill(torch.isin(inputs[:, first + 1 :], self._ends), -math.inf)
        inner = drawn.masked_fill(~counted[:, first + 1 :], 0.0).sum(1)
        last = logp[torch.arange(len(pairs), device=self._exact), end - first]
        total: NDArray[np.float64] = (inner + last[:, self._ends].logsumexp(1)).cpu().numpy()
        return total


# -------------------------------------------------------------------- scores


def _warp(logp: Tensor, decoding: Decoding) -> Tensor:
    """Return the log-probabilities that the decoding draws from: [..., V] as `logp`."""
    if decoding.temperature == 0:
        best = logp.argmax(-1, keepdim=True)
        kept = torch.full_like(logp, -math.inf).scatter(-1, best, 0.0)
        return kept.masked_fill(logp.isnan(), math.nan)
    plain = logp
    if decoding.temperature != 1:
        logp = (logp / decoding.temperature).log_softmax(-1)
    if decoding.top_k is not None and decoding.top_k < logp.shape[-1]:
        floor = logp.topk(decoding.top_k).values[..., -1:]
        logp = logp.masked_fill(logp < floor, -math.inf)
    if decoding.top_p < 1:
        mass, order = logp.softmax(-1).sort(stable=True, dim=-1, descending=True)
        beyond = mass.cumsum(-1) - mass >= decoding.top_p
        logp = logp.masked_fill(beyond.scatter(-1, order, beyond), -math.inf)
    return logp if logp is plain else logp.log_softmax(-1)


def _pick(logp: Tensor, node: Tensor, uniform: Tensor | None) -> Tensor:
    """Return a token for each sample: [S], by inverting its node's distribution function.

    A node whose scores are NaN gives token 0. None for `uniform` takes the likeliest.
    """
    if uniform is None:
        return logp.argmax(-1)[node]
    nodes, vocabulary = logp.shape
    cdf = logp.exp().cumsum(-1)
    cdf = (cdf / cdf[:, -1:]).nan_to_num(nan=1.0)
    # Rounding must neither reach the next node nor a token of probability 0 behind the last.
    last = (cdf < 1).sum(-1)
    line = (cdf + torch.arange(nodes, device=cdf.device).unsqueeze(1)).flatten()
    found = torch.searchsorted(line, uniform + node, right=True) - node * vocabulary
    return found.minimum(last[node])


def _distinct(values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the distinct values, ascending, and the place of each value among them.

    Marks a table where values below `size` leave it small, which is faster than sorting.
    """
    if size > 8 * len(values):
        found, place = torch.unique(values, return_inverse=True)
        return found, place
    seen = torch.zeros(size, dtype=torch.bool, device=values.device)
    seen[values] = True
    return seen.nonzero().squeeze(1), seen.cumsum(0).sub_(1)[values]


def _keep(branch: _Branch, kept: Tensor) -> _Branch:
    """Return the branch of the nodes `kept`, and the samples on them."""
    stays = kept[branch.node]
    return replace(
        branch,
        rows=branch.rows[kept],
        inputs=branch.inputs[kept],
        owner=branch.owner[kept],
        history=branch.history[kept],
        logprob=branch.logprob[kept],
        certainty=branch.certainty[kept],
        least=branch.least[kept],
        confidence=None if branch.confidence is None else branch.confidence[kept],
        samples=branch.samples[stays],
        node=kept.cumsum(0).sub_(1)[branch.node[stays]],
    )


def _recorded(branch: _Branch, leaves: Tensor) -> dict[str, NDArray[np.float64]]:
    """Return what is known of how sure the model was of the tokens of leaves, each [L]."""
    recorded = {
        "sum_logprob": branch.logprob[leaves].cpu().numpy(),
        "self_certainty": branch.certainty[leaves].cpu().numpy() / branch.history.shape[1],
        "min_logprob": branch.least[leaves].cpu().numpy(),
    }
    if branch.confidence is not None:
        from operators.selection.deep_confidence import trace_confidence

        traces = trace_confidence(pl.Series(branch.confidence[leaves].cpu().numpy()).arr.to_list())
        recorded |= {
            "mean_confidence": traces["mean"].to_numpy(),
            "tail_confidence": traces["tail"].to_numpy(),
            "bottom_confidence": traces["bottom_windows"].to_numpy(),
            "lowest_confidence": traces["lowest_window"].to_numpy(),
        }
    return recorded


def _select(cache: Any, rows: Tensor, *, shared: bool) -> Any:
    """Bring `rows` of a cache into order; a shared one is left as it is, and copied."""
    if shared:
        cache = copy.copy(cache)
        cache.layers = [copy.copy(layer) for layer in cache.layers]
        for layer in cache.layers:
            for name, value in vars(layer).items():
                if isinstance(value, (list, dict)):  # layers replace tensors inside these
                    setattr(layer, name, value.copy())
    cache.reorder_cache(rows)
    return cache


# -------------------------------------------------------------------- loading


def _device(name: str) -> torch.device:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((each for each, available in there.items() if available), "cpu")
    if not there.get(name.partition(":")[0], True):
        raise UserError(f"device: {name} is not available on this machine; use cpu or auto")
    return torch.device(name)


def _load_model(name: str, dtype: str) -> transformers.PreTrainedModel:
    try:
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            name, dtype=dtype, output_loading_info=True
        )
    except Exception as error:  # each file format has errors of its own
        raise UserError(
            f"{name}: no causal language model could be loaded ({brief(error)}); the folder must "
            "hold config.json and whole weights, as save_pretrained writes them"
        ) from None
    model: transformers.PreTrainedModel
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise UserError(
            f"{name}: {len(missing)} weights are missing, the first is {missing[0]}; "
            "take a complete checkpoint of a causal language model"
        )
    return model


def _load_tokenizer(name: str) -> transformers.PreTrainedTokenizerBase:
    try:
        tokenizer: transformers.PreTrainedTokenizerBase = (
            transformers.AutoTokenizer.from_pretrained(name)
        )
    except Exception as error:  # as above
        raise UserError(
            f"{name}: no tokenizer could be loaded ({brief(error)}); "
            "save the model's tokenizer in the same folder"
        ) from None
    return tokenizer


def _end_tokens(
    model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerBase
) -> list[int]:
    """Return the end tokens: of the generation config, else the config, else the tokenizer."""
    for source in (model.generation_config, model.config.get_text_config(), tokenizer):
        ends = getattr(source, "eos_token_id", None)
        if ends is not None:
            return [ends] if isinstance(ends, int) else list(ends)
    return []


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's progress bars and load reports off the terminal."""
    log: Any = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
