"""Completions that were taken -> rows as TRL and `datasets` read them, each with where it is from.

The dataset types are those of TRL's "Dataset formats and types": prompt-completion and language
modeling (messages) for supervised fine-tuning, preference with an explicit prompt, prompt-only for
difficulty; each as text or as a conversation. Knows columns; not files.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.errors import UserError
from pipelines.exporting.request import Form, Kind
from pipelines.exporting.taking import Taken

Row = dict[str, Any]
Message = dict[str, str]

_CONVERSATION = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_PROVENANCE = [
    ("model", pa.string()),
    ("task", pa.string()),
    ("problem_id", pa.string()),
    ("run", pa.string()),
    ("config", pa.string()),
]
_ONE = [
    ("sample_id", pa.int64()),
    ("seed", pa.int64()),
    ("passed", pa.bool_()),
    ("standing", pa.float64()),
    ("reasoning", pa.string()),
]
_PAIR = [
    ("margin", pa.float64()),
    ("score_chosen", pa.float64()),
    ("score_rejected", pa.float64()),
    *((f"{role}_{name}", kind) for role in ("chosen", "rejected") for name, kind in _ONE[:3]),
]
_DIFFICULTY = [
    ("answer", pa.string()),
    ("level", pa.string()),
    ("n", pa.int64()),
    ("c", pa.int64()),
    ("undecided", pa.int64()),
    ("pass_rate", pa.float64()),
    ("low", pa.float64()),
    ("high", pa.float64()),
    ("interval", pa.float64()),
    ("bucket", pa.string()),
]


def form_of(form: Form, problems: Mapping[str, Sequence[Mapping[str, Any]]]) -> Form:
    """Return how prompts are written.

    Args:
        form: what was asked for.
        problems: of each task, rows of schema PROBLEMS.

    Raises:
        UserError: some problems are conversations and some are texts, which no set holds together.
    """
    if form != "auto":
        return form
    first = {
        row["messages"] is not None: f"problem {row['problem_id']} of task {task}"
        for task, rows in problems.items()
        for row in rows
    }
    if len(first) > 1:
        raise UserError(
            f"{first[True]} is a conversation and {first[False]} is a text, which one set cannot "
            "hold; give --format conversational, or choose with --task"
        )
    return "conversational" if True in first else "standard"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The rows of one export."""

    kind: Kind
    form: Form
    """Not auto."""
    run: str
    config: str
    """Digest of the sweep."""

    @property
    def schema(self) -> pa.Schema:
        """Columns and types of a row."""
        text = pa.string() if self.form == "standard" else _CONVERSATION
        if self.kind == "difficulty":
            return pa.schema([("prompt", text), *_DIFFICULTY, *_PROVENANCE])
        if self.kind == "preferences":
            texts = [(name, text) for name in ("prompt", "chosen", "rejected")]
            return pa.schema([*texts, *_PAIR, *_PROVENANCE])
        names = ("messages",) if self.form == "messages" else ("prompt", "completion")
        return pa.schema([*((name, text) for name in names), *_ONE, *_PROVENANCE])

    def example(self, model: str, task: str, problem: Mapping[str, Any], taken: Taken) -> Row:
        """Return a row to imitate."""
        completion = taken.sample["completion"]
        if self.form == "messages":
            texts: Row = {"messages": [*conversation(problem), *_said(completion)]}
        else:
            texts = {"prompt": self.prompt(problem), "completion": self._answer(completion)}
        return {
            **texts,
            **_of(taken),
            "standing": taken.standing,
            "reasoning": taken.sample["reasoning"],
            **self._provenance(model, task, problem),
        }

    def pair(
        self, model: str, task: str, problem: Mapping[str, Any], chosen: Taken, rejected: Taken
    ) -> Row:
        """Return a row to prefer one completion to another by."""
        return {
            "prompt": self.prompt(problem),
            "chosen": self._answer(chosen.sample["completion"]),
            "rejected": self._answer(rejected.sample["completion"]),
            "margin": chosen.standing - rejected.standing,
            "score_chosen": chosen.standing,
            "score_rejected": rejected.standing,
            **{f"chosen_{name}": value for name, value in _of(chosen).items()},
            **{f"rejected_{name}": value for name, value in _of(rejected).items()},
            **self._provenance(model, task, problem),
        }

    def difficulty(self, found: Mapping[str, Any], problem: Mapping[str, Any]) -> Row:
        """Return how difficult a problem is for a model, with the prompt and answer."""
        facts = {name: found[name] for name, _ in _DIFFICULTY[2:]}
        return {
            "prompt": self.prompt(problem),
            "answer": problem["answer"],
            "level": problem["level"],
            **facts,
            **self._provenance(found["model"], found["task"], problem),
        }

    def prompt(self, problem: Mapping[str, Any]) -> str | list[Message]:
        """Return what the model was asked, as text or as a conversation."""
        return str(problem["prompt"]) if self.form == "standard" else conversation(problem)

    def _answer(self, completion: str) -> str | list[Message]:
        return completion if self.form == "standard" else _said(completion)

    def _provenance(self, model: str, task: str, problem: Mapping[str, Any]) -> Row:
        origin = {"model": model, "task": task, "problem_id": problem["problem_id"]}
        return {**origin, "run": self.run, "config": self.config}


def conversation(problem: Mapping[str, Any]) -> list[Message]:
    """Return a problem's messages; of one that is a text, the user says it."""
    if problem["messages"] is None:
        return [{"role": "user", "content": problem["prompt"]}]
    return [
        {"role": message["role"], "content": message["content"]}
        for message in json.loads(problem["messages"])
    ]


def _said(completion: str) -> list[Message]:
    return [{"role": "assistant", "content": completion}]


def _of(taken: Taken) -> Row:
    sample = taken.sample
    return {"sample_id": sample["sample_id"], "seed": sample["seed"], "passed": taken.passed}
