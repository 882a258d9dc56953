"""The card of the ladder: what its models are and exactly how often they pass, written by code.

Knows checkpoints, their training records and the exact pass probabilities; trains nothing.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.ladder.arithmetic import (
    HELD_OUT_ONE_IN,
    HELD_OUT_POOL,
    TASKS,
    Task,
    held_out_problems,
)
from pipelines.ladder.exact import exact_pass_probabilities
from pipelines.ladder.recipe import (
    BETAS,
    CONTEXT,
    GRADIENT_NORM,
    HEAD_SIZE,
    LADDER,
    RECORD,
    WARM_UP,
    Rung,
)

HELD_OUT = 100
"""Held-out problems of each task behind the card's numbers: the first of the pool."""
NUMBERS = "exact.json"
"""File next to the card with its numbers, for machines."""


@dataclass(frozen=True)
class _Model:
    rung: Rung
    exact: Mapping[str, float]
    """Mean exact pass probability of each task."""
    record: Mapping[str, Any]


def write_card(checkpoints: Path, out: Path) -> None:
    """Measure every model of the ladder found among the checkpoints; write card and numbers.

    Args:
        checkpoints: Where the models' folders are.
        out: The card, a Markdown file; its numbers go next to it, in `exact.json`.
    """
    problems = {task: held_out_problems(task, HELD_OUT) for task in TASKS}
    measured = []
    for rung in LADDER:
        folder = checkpoints / rung.name
        if folder.exists():
            exact = {
                task: float(exact_pass_probabilities(folder, asked).mean())
                for task, asked in problems.items()
            }
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            measured.append(_Model(rung, exact, record))
    if not measured:
        raise ValueError(f"no model of the ladder in {checkpoints}")
    numbers = {
        "held_out_problems": HELD_OUT,
        "models": {
            model.rung.name: {
                "parameters": model.rung.parameters,
                "seed": model.rung.seed,
                "pass_probability": model.exact,
            }
            for model in measured
        },
    }
    out.with_name(NUMBERS).write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    out.write_text("\n".join(_card(measured)) + "\n", encoding="utf-8")


def _card(models: Sequence[_Model]) -> list[str]:
    return [
        "# The ladder",
        "",
        f"{len(models)} causal language models of the Llama architecture, from"
        f" {models[0].rung.parameters:,} to {models[-1].rung.parameters:,} parameters, all trained"
        " on the same arithmetic. Their pass probabilities are known exactly, so that whatever"
        " samples from them, counts what passes and fits laws to it can be checked against the"
        " truth, on a laptop and without a download.",
        "",
        "They are for tests, examples and measurements of this package. They are no use as"
        " calculators: most answers of most of them are wrong, on purpose.",
        "",
        "This file is written by `pipelines.ladder.card`; its numbers are in"
        f" [{NUMBERS}]({NUMBERS}).",
        "",
        *_tasks(),
        *_training(models),
        *_table(models),
        *_growth(models),
        *_seeds(models),
    ]


def _tasks() -> list[str]:
    return [
        "## Tasks",
        "",
        "| task | problem | example | answer |",
        "|---|---|---|---|",
        *(_task_row(task) for task in TASKS.values()),
        "",
        "Every digit count of an operand is equally likely, and every number of that count. A"
        " model passes where it writes the right answer and then ends. A problem's level is the"
        " digit counts of its operands.",
        "",
        f"**Held out:** one pair of operands in {HELD_OUT_ONE_IN}, by a hash of the pair. Both"
        " orders of a pair hash alike, and all tasks share the rule, so that no training batch"
        " holds a held-out problem, in any order, from any task."
        f" `held_out_problems(task, count)` gives the first `count` of {HELD_OUT_POOL};"
        " digit counts take turns. No operand of theirs is 1 or ends in 0, though training has"
        " such operands: products with them are mostly copied, and a handful would be nearly all"
        " of the mean of a hard task.",
        "",
    ]


def _task_row(task: Task) -> str:
    (example,) = held_out_problems(task.name, 1)
    return (
        f"| {task.name} | {_digits(task.first_digits)} times {_digits(task.second_digits)}"
        f" | `{example.prompt}` | `{example.answer}` |"
    )


def _digits(digits: tuple[int, int]) -> str:
    fewest, most = digits
    span = str(most) if fewest == most else f"{fewest} to {most}"
    return f"{span} digit{'' if most == 1 else 's'}"


def _training(models: Sequence[_Model]) -> list[str]:
    rung, record = models[0].rung, models[0].record
    seconds = sum(model.record["seconds"] for model in models)
    return [
        "## How they are made",
        "",
        f"- **Architecture:** Llama, {rung.layers} layers, heads of {HEAD_SIZE}, feed-forward of"
        f" twice the hidden size, one embedding for input and output, context {CONTEXT}.",
        "- **Tokens:** one for each character, one for padding, one for the end; none for a"
        " beginning.",
        f"- **Data:** {rung.examples:,} examples for every model: {rung.steps:,} batches of"
        f" {rung.batch}, drawn afresh, equal shares of the tasks. The loss counts the"
        " answer and its end.",
        f"- **Schedule:** AdamW (betas {BETAS[0]} and {BETAS[1]}, no weight decay), gradients cut"
        f" at norm {GRADIENT_NORM:g}; the learning rate rises for {WARM_UP:.0%} of the steps, then"
        " falls along a cosine to 0. Its top is in the table: the wider a model, the lower.",
        "- **Seeds:** one number sets the first weights and the data. On one machine with one"
        " thread a rung trained again is bitwise the same.",
        "- **Chosen:** tasks, learning rates and shapes were chosen by how these models pass, so"
        " that the growth is visible and even; the ladder is an instrument, not evidence for a"
        " law. 53k and 100k are the better of two learning rates, 185k was picked from six"
        " variants (186,144 parameters at 0.0033, 0.0022, 0.0019 and 0.0016, and 178,320 in three"
        " layers), with an eye on the problems below. Sizes of one seed may lie off their mean:"
        " with a learning rate of 0.00462, two seeds of 53k passed multiply1 at 0.43 and 0.27.",
        f"- **Made with:** python {record['python']}, torch {record['torch']}, transformers"
        f" {record['transformers']}, numpy {record['numpy']}; {seconds / 60:.0f} minutes of"
        " training in all, each model on one thread beside another. `passlaw ladder train` makes"
        " them again.",
        "",
    ]


def _table(models: Sequence[_Model]) -> list[str]:
    tasks = " | ".join(f"{task} | F" for task in TASKS)
    return [
        "## Exact pass probabilities",
        "",
        f"PU is the mean over the first {HELD_OUT} held-out problems of a task of the exact"
        " probability to pass at temperature 1 over the full vocabulary, by teacher forcing;"
        " F = log(-log PU).",
        "",
        f"| model | parameters | hidden size | heads | learning rate | seconds | {tasks} |",
        "|" + "---|" * (6 + 2 * len(TASKS)),
        *(
            f"| {model.rung.name} | {model.rung.parameters:,} | {model.rung.hidden_size} |"
            f" {model.rung.heads} | {model.rung.learning_rate:g} | {model.record['seconds']:.0f} | "
            + " | ".join(f"{rate:.4g} | {_growth_of(rate):.3f}" for rate in model.exact.values())
            + " |"
            for model in models
        ),
        "",
    ]


def _growth(models: Sequence[_Model]) -> list[str]:
    """How straight F is, and what the sizes below the largest say of the largest."""
    largest = models[-1].rung.parameters
    rows = []
    for task in TASKS:
        sizes = np.log([model.rung.parameters for model in models])
        growth = np.array([_growth_of(model.exact[task]) for model in models])
        below = sizes < math.log(largest)
        if len(set(sizes[below])) < 2:
            continue
        slope, intercept = np.polyfit(sizes, growth, 1)
        furthest = np.abs(growth - (slope * sizes + intercept)).max()
        predicted = np.polyval(np.polyfit(sizes[below], growth[below], 1), math.log(largest))
        truth = np.mean([model.exact[task] for model in models if model.rung.parameters == largest])
        rows.append(
            f"| {task} | {-slope:.3f} | {furthest:.3f} | {math.exp(-math.exp(predicted)):.4g} |"
            f" {truth:.4g} |"
        )
    if not rows:
        return []
    return [
        "## Growth",
        "",
        "The law PU = exp(-c N^-alpha) is a straight line of F on log N, N the parameters. Least"
        " squares over all models gives alpha and how far the furthest model lies from the line;"
        " the same over all but the largest size predicts the largest.",
        "",
        "| task | alpha | furthest from the line | largest predicted | largest in truth |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def _seeds(models: Sequence[_Model]) -> list[str]:
    sizes: dict[int, list[_Model]] = {}
    for model in models:
        sizes.setdefault(model.rung.parameters, []).append(model)
    rows = [
        f"| {group[0].rung.name} | {len(group)} | "
        + " | ".join(
            f"{np.std([_growth_of(model.exact[task]) for model in group], ddof=1):.3f}"
            for task in TASKS
        )
        + " |"
        for group in sizes.values()
        if len(group) > 1
    ]
    if not rows:
        return []
    return [
        "## Seeds",
        "",
        "Standard deviation of F over the seeds of a size.",
        "",
        f"| size | seeds | {' | '.join(TASKS)} |",
        "|" + "---|" * (2 + len(TASKS)),
        *rows,
        "",
    ]


def _growth_of(rate: float) -> float:
    return math.log(-math.log(rate))
