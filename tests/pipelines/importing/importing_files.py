"""Files as other tools write them, and the command that imports them, in this process."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.cli import passlaw
from pipelines.run import reopened
from pipelines.store import Store
from pipelines.sweeps.config import parse


def jsonl(path: Path, rows) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def command(*arguments: object) -> int:
    """Run a verb and return its exit code; a UserError is raised as it is."""
    code = passlaw.main([str(each) for each in arguments], standalone_mode=False)
    assert isinstance(code, int)
    return code


def import_files(*arguments: object) -> int:
    return command("import", *arguments)


def preview(capsys, *arguments: object) -> dict[str, Any]:
    """Return what an import would make."""
    capsys.readouterr()
    import_files(*arguments, "--preview", "--json")
    return json.loads(capsys.readouterr().out)


def counts(run: Path) -> pl.DataFrame:
    table = Store.at(str(run)).read_result("counts")
    assert table is not None
    return table


def samples(run: Path) -> pl.DataFrame:
    """Return every sample of a run by its key, with its verdict."""
    key = ["model", "task", "problem_id", "sample_id"]
    texts, scores = (
        pl.read_parquet(f"{run}/{kind}/**/*.parquet", hive_partitioning=True)
        for kind in ("samples", "scores")
    )
    verdicts = scores.select(*key, "answer", "passed", "score")
    return texts.join(verdicts, on=key, how="left", validate="1:1").sort(key)


def opened(run: Path):
    """Open a run for reading."""
    sweep, _ = Store.at(str(run)).read_sweep()
    values = sweep.model_dump(mode="json") | {"run": str(run)}
    return reopened(parse(values, source="test"), write=False)


def long_rows(problems=3, tries=4):
    """Samples with verdicts: problem p passes in its first p tries."""
    return [
        {
            "problem_id": f"p{problem}",
            "prompt": f"question {problem}",
            "completion": f"answer {problem}.{number}",
            "correct": number < problem,
        }
        for problem in range(problems)
        for number in range(tries)
    ]
