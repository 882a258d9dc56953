"""Training of the ladder: from a rung's numbers to a folder that transformers loads.

Knows torch and the recipe; shows nothing (it reports progress to whoever called) and judges
nothing (`exact` does).
"""

import json
import math
import multiprocessing
import platform
import queue
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pipelines.ladder.arithmetic import (
    END,
    PADDING,
    TASKS,
    VOCABULARY,
    held_out_batch,
    training_batch,
)
from pipelines.ladder.exact import no_bars_of_transformers, pass_probabilities
from pipelines.ladder.recipe import (
    BETAS,
    CONTEXT,
    GRADIENT_NORM,
    HEAD_SIZE,
    RECORD,
    WARM_UP,
    Rung,
)

REPORTS = 40
"""Progress reports of one training."""
HELD_OUT_PER_TASK = 32
"""Held-out problems of each task behind a report's accuracy: enough to watch, cheap to take."""


@dataclass(frozen=True)
class Progress:
    """How far the training of one rung is."""

    rung: str
    step: int
    steps: int
    loss: float
    held_out_accuracy: float
    """Mean exact pass probability over some held-out problems of every task."""


Report = Callable[[Progress], None]


def train_rung(rung: Rung, out: Path, *, progress: Report, force: bool = False) -> Path:
    """Train one rung and write its checkpoint to `out`/NAME, whole or not at all.

    The weights depend on the rung alone: on one machine they are bitwise the same each time.

    Args:
        rung: What to train.
        out: The folder of checkpoints; made where missing.
        progress: Called now and then.
        force: Train again even though the checkpoint is there.

    Returns:
        The checkpoint's folder.
    """
    folder = out / rung.name
    if folder.exists() and not force:
        return folder
    started = time.perf_counter()
    with _one_thread():
        model = _trained(rung, progress)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{rung.name}-") as scratch:
        fresh = Path(scratch) / rung.name
        with no_bars_of_transformers():
            model.save_pretrained(fresh)
        (fresh / "model.safetensors").chmod(0o644)  # it is written for its owner alone
        _write_tokenizer(fresh)
        record = _record(rung, seconds=time.perf_counter() - started)
        (fresh / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(Path(scratch) / "replaced")
        fresh.rename(folder)
    return folder


def train_ladder(
    rungs: Sequence[Rung],
    out: Path,
    *,
    jobs: int = 2,
    progress: Report,
    force: bool = False,
) -> tuple[Path, ...]:
    """Train rungs in `jobs` processes of one thread each, the costliest first.

    Args:
        rungs: What to train.
        out: The folder of checkpoints.
        jobs: Trainings at one time.
        progress: Called in this process, for whichever rung has moved.
        force: Train again what is there.

    Returns:
        The checkpoints' folders, in the order of `rungs`.

    Raises:
        Exception: What the first training to fail raised; those under way were let finish, those
            that waited were dropped.
    """
    if jobs < 1:
        raise ValueError(f"jobs {jobs} is below 1")
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        reports: queue.Queue[Progress] = manager.Queue()
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            futures = {
                one.name: pool.submit(_train_in_worker, one, out, reports, force)
                for one in sorted(rungs, key=lambda one: -one.parameters * one.examples)
            }
            try:
                _relay(set(futures.values()), reports, progress)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return tuple(futures[one.name].result() for one in rungs)


def _relay(pending: set[Future[Path]], reports: "queue.Queue[Progress]", progress: Report) -> None:
    """Pass reports on until every training is done or one has failed."""
    while pending:
        done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        while not reports.empty():
            progress(reports.get())
        for future in done:
            future.result()


def _train_in_worker(rung: Rung, out: Path, reports: "queue.Queue[Progress]", force: bool) -> Path:
    return train_rung(rung, out, progress=reports.put, force=force)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread: sums are taken in one order, and two trainings share a machine evenly."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _trained(rung: Rung, progress: Report) -> LlamaForCausalLM:
    model = _fresh_model(rung)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rung.learning_rate, betas=BETAS, weight_decay=0.0, fused=True
    )
    random = np.random.default_rng(rung.seed)
    width = max(TASKS[name].longest for name in TASKS)
    held_out = [
        torch.from_numpy(part) for part in held_out_batch(tuple(TASKS), HELD_OUT_PER_TASK, width)
    ]
    every = max(1, rung.steps // REPORTS)
    for step in range(rung.steps):
        tokens, answer = map(
            torch.from_numpy, training_batch(tuple(TASKS), rung.batch, width, random)
        )
        for group in optimizer.param_groups:
            group["lr"] = rung.learning_rate * _schedule(step, rung.steps)
        hidden = model.model(input_ids=tokens[:, :-1], use_cache=False).last_hidden_state
        learned = answer[:, 1:]
        loss = cross_entropy(model.lm_head(hidden[learned]), tokens[:, 1:][learned])
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % every == 0 or step + 1 == rung.steps:
            accuracy = float(pass_probabilities(model, *held_out).mean())
            progress(Progress(rung.name, step + 1, rung.steps, loss.item(), accuracy))
    return model


def _fresh_model(rung: Rung) -> LlamaForCausalLM:
    """A model whose weights are scaled by their inputs, and less where they add to the stream.

    The stock spread of 0.02 suits widths in the thousands; ours would start all but dead.
    """
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=rung.hidden_size,
        intermediate_size=rung.intermediate_size,
        num_hidden_layers=rung.layers,
        num_attention_heads=rung.heads,
        num_key_value_heads=rung.heads,
        head_dim=HEAD_SIZE,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=PADDING,
        bos_token_id=None,
        eos_token_id=END,
    )
    model = LlamaForCausalLM(config)
    random = torch.Generator().manual_seed(rung.seed)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.ndim == 2:
                spread = weights.shape[1] ** -0.5
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    spread /= math.sqrt(2 * rung.layers)
                weights.normal_(0.0, spread, generator=random)
    return model


def _schedule(step: int, steps: int) -> float:
    """Share of the highest learning rate: up a line, then down a cosine."""
    rise = WARM_UP * steps
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def _write_tokenizer(folder: Path) -> None:
    """One token for each character, so that a text has one tokenisation only.

    Without a beginning and without an unknown token: a foreign character is an error.
    """
    tokenizer = Tokenizer(models.WordLevel(dict(VOCABULARY)))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    # The name that transformers 4 knows too, for engines that still run on it.
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    del config["backend"]
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _record(rung: Rung, seconds: float) -> dict[str, Any]:
    return {
        "rung": rung.name,
        "seed": rung.seed,
        "parameters": rung.parameters,
        "examples": rung.examples,
        "steps": rung.steps,
        "batch": rung.batch,
        "learning_rate": rung.learning_rate,
        "mixture": list(TASKS),
        "seconds": round(seconds, 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "numpy": np.__version__,
    }
