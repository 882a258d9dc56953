"""The tasks that a sweep may name: where the problems come from, and how they are put to a model.

Knows each benchmark's published stop strings; not its prompts, which `pipelines.tasks` has, nor
whether a file is there.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.sweeps.section import Name, Section

Text = Annotated[str, Field(min_length=1)]

Verifier = Literal[
    "exact", "numeric", "choice", "regex", "json", "math", "program_tests", "program_io"
]
"""The verifiers of `operators.verification`, said again so that reading a sweep loads none."""

HUMANEVAL_STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where a completed function ends (Chen et al. 2021, arXiv 2107.03374, section 3.1)."""
MBPP_STOP = ("[DONE]",)
"""The end mark of the prompt of Austin et al. 2021 (arXiv 2108.07732, figure 1)."""


class _Task(Section):
    name: Name
    """What its problems, samples and scores are stored under."""
    stop: tuple[Text, ...] | None = Field(default=None, strict=False)
    """Stop strings of this task alone. None: `decoding.stop`, or the published ones without it."""

    @property
    def published_stop(self) -> tuple[str, ...]:
        """The stop strings that belong to the task's prompt."""
        return ()


class ArithmeticTask(_Task):
    """Held-out problems of the ladder's own tasks; its name is that of one of them."""

    source: Literal["arithmetic"] = "arithmetic"
    problems: int = Field(default=50, ge=1)
    """How many."""


class _ReadTask(_Task):
    """Problems from a file, or from a data set of the Hugging Face `datasets` library."""

    path: Text | None = None
    """A .jsonl, .jsonl.gz, .json, .parquet or .tsv file, relative to the sweep file."""
    dataset: Text | None = None
    """In place of a path: what `datasets.load_dataset` takes, such as openai/gsm8k, or a folder
    relative to the sweep file that begins with a dot."""
    config: Text | None = None
    """The data set's configuration, where it has several."""
    split: Text | None = None
    """The data set's split; None: test."""
    limit: int | None = Field(default=None, ge=1)
    """Take only the first problems."""
    problems: tuple[Text, ...] | None = Field(default=None, min_length=1, strict=False)
    """Take only the problems with these ids, in the order of the file."""

    splits_files: ClassVar[bool] = False
    """Whether `split` also means a part of a file."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.dataset is None):
            given = "path and dataset" if self.path else "neither path nor dataset"
            raise ValueError(f"has {given}; give one of the two")
        unused = [
            field
            for field in ("config", *(() if self.splits_files else ("split",)))
            if getattr(self, field) is not None
        ]
        if self.path is not None and unused:
            raise ValueError(f"has {unused[0]}, which only a dataset has; remove it, or the path")
        return self


FileField = Literal[
    "problem_id",
    "prompt",
    "answer",
    "level",
    "messages",
    "tests",
    "verifier_options",
    "meta",
]
"""What a row of a file may say of a problem."""


class FileTask(_ReadTask):
    """Problems from any table with a field for each thing that a problem has."""

    source: Literal["file"]
    verifier: Verifier = "exact"
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the verifier; a problem's own verifier_options come on top."""
    style: Literal["zero_shot", "chat"] = "zero_shot"
    """chat: the model's chat template, around the problem's messages or else its prompt."""
    fields: dict[FileField, str] = Field(default_factory=dict)
    """Column of the table for each field, where its name differs."""
    template: str = "{prompt}"
    """What the model is given; {prompt} stands for the problem's prompt."""

    @field_validator("template")
    @classmethod
    def _has_prompt(cls, value: str) -> str:
        if "{prompt}" not in value:
            raise ValueError("must contain {prompt}")
        return value


class GSM8KTask(_ReadTask):
    """Grade-school mathematics in words (Cobbe et al. 2021, arXiv 2110.14168)."""

    source: Literal["gsm8k"]
    style: Literal["few_shot", "chat"] = "few_shot"
    """few_shot: 8 worked examples; chat: the question and a request for a boxed answer."""

    @property
    def published_stop(self) -> tuple[str, ...]:
        """A few-shot completion ends where the model asks itself the next question."""
        return ("Q:",) if self.style == "few_shot" else ()


class MathTask(_ReadTask):
    """MATH (Hendrycks et al. 2021, arXiv 2103.03874), and sets that are published like it."""

    source: Literal["math"]
    style: Literal["few_shot", "chat"] = "few_shot"
    """few_shot: 4 worked examples; chat: the problem and a request for a boxed answer."""
    answer_from: Literal["field", "solution"] = "field"
    """solution: what the solution boxes, also where there is an answer field; some copies of MATH
    have damaged ones."""
    fields: dict[Literal["problem_id", "problem", "answer", "solution", "level"], str] = Field(
        default_factory=dict
    )
    """Column for each field, where the published names that are known do not fit."""

    @property
    def published_stop(self) -> tuple[str, ...]:
        """A few-shot completion ends where the model sets itself the next problem."""
        return ("Problem:",) if self.style == "few_shot" else ()


class HumanEvalTask(_ReadTask):
    """Functions to complete (Chen et al. 2021, arXiv 2107.03374), or any set in its format."""

    source: Literal["humaneval"]
    style: Literal["zero_shot", "chat"] = "zero_shot"
    """zero_shot: the beginning of the function; chat: a request for the whole of it."""

    @property
    def published_stop(self) -> tuple[str, ...]:
        """A completed function ends where other code begins."""
        return HUMANEVAL_STOP if self.style == "zero_shot" else ()


class MBPPTask(_ReadTask):
    """Mostly basic Python problems (Austin et al. 2021, arXiv 2108.07732), full or sanitized."""

    source: Literal["mbpp"]
    style: Literal["few_shot", "chat"] = "few_shot"
    """few_shot: tasks 2, 3 and 4 as examples; chat: the task and its tests."""
    split: Literal["test", "validation", "train", "prompt"] | None = None
    """By task id: prompt 1-10, test 11-510, validation 511-600, train 601-974. None: test."""

    splits_files: ClassVar[bool] = True

    @property
    def published_stop(self) -> tuple[str, ...]:
        """A few-shot completion ends at the examples' end mark."""
        return MBPP_STOP if self.style == "few_shot" else ()


class MultipleChoiceTask(_ReadTask):
    """Questions with lettered answers, such as AQuA, ARC, CommonsenseQA and MMLU."""

    source: Literal["multiple_choice"]
    style: Literal["zero_shot", "chat"] = "zero_shot"
    """zero_shot: the letter follows `Answer:`; chat: reasoning, then a line `Answer: LETTER`."""
    fields: dict[Literal["problem_id", "question", "choices", "answer", "level"], str] = Field(
        default_factory=dict
    )
    """Column for each field, where the published names that are known do not fit."""

    @property
    def published_stop(self) -> tuple[str, ...]:
        """The letter stands on the line of its cue."""
        return ("\n",) if self.style == "zero_shot" else ()


class ImportedTask(_Task):
    """Problems that came with imported samples or counts; the run directory alone holds them."""

    source: Literal["imported"]
    verifier: Verifier | Literal["recorded"] = "recorded"
    """recorded: the verdicts that came with the samples; nothing is judged again."""


BenchmarkTask = GSM8KTask | MathTask | HumanEvalTask | MBPPTask | MultipleChoiceTask
ReadTask = FileTask | BenchmarkTask
AnyTask = ArithmeticTask | ReadTask | ImportedTask
Task = Annotated[AnyTask, Field(discriminator="source")]
