"""The Arrow schema of every table, and the check that a table has it.

A contract: other tools read these tables. Text stays in `SAMPLES`; every narrow column that
aggregation needs stays out of it.
"""

import pyarrow as pa

PROBLEMS = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("prompt", pa.string()),  # null: imported samples came without
        # JSON list of {role, content}, for the model's own chat template; null: `prompt` as it is
        pa.field("messages", pa.string()),
        pa.field("answer", pa.string()),
        pa.field("verifier", pa.string(), nullable=False),
        pa.field("verifier_options", pa.string()),  # JSON; null: the verifier's defaults
        pa.field("tests", pa.string()),  # JSON, see operators.verification.programs
        pa.field("level", pa.string()),
        pa.field("meta", pa.string()),  # JSON
    ]
)

SAMPLES = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("sample_id", pa.int64(), nullable=False),
        # Null, like the numbers of tokens: imported without. Engines give all three.
        pa.field("completion", pa.string()),
        pa.field("finish_reason", pa.string(), nullable=False),  # see FINISH_REASONS
        pa.field("prompt_tokens", pa.int32()),
        pa.field("completion_tokens", pa.int32()),
        pa.field("sum_logprob", pa.float32()),  # nats, under the model at temperature 1
        pa.field("self_certainty", pa.float32()),  # nats, mean over tokens of KL(uniform || model)
        pa.field("min_logprob", pa.float32()),  # nats, of the least likely token
        # Token confidences, nats: see operators.selection.deep_confidence. Mean over all tokens,
        # over the last ones, over the least confident tenth of windows, over the least of all.
        pa.field("mean_confidence", pa.float32()),
        pa.field("tail_confidence", pa.float32()),
        pa.field("bottom_confidence", pa.float32()),
        pa.field("lowest_confidence", pa.float32()),
        pa.field("seed", pa.int64()),
        pa.field("error", pa.string()),
        pa.field("reasoning", pa.string()),  # what a reasoning model thought before its completion
    ]
)

RECORDED = (
    "sum_logprob",
    "self_certainty",
    "min_logprob",
    "mean_confidence",
    "tail_confidence",
    "bottom_confidence",
    "lowest_confidence",
)
"""What an engine may record of how sure the model was, in SAMPLES and in SCORES."""

FINISH_REASONS = ("stop", "length", "error")

SCORES = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("sample_id", pa.int64(), nullable=False),
        pa.field("answer", pa.string()),  # canonical; null: none was found
        pa.field("passed", pa.bool_()),  # null: the verifier could not decide
        pa.field("score", pa.float32()),
        *(SAMPLES.field(name) for name in RECORDED),
        # 64 bits, because Polars sums a column in its own type and a cell has billions of tokens.
        pa.field("completion_tokens", pa.int64()),  # null: imported without
        pa.field("error", pa.string()),
    ]
)

COUNTS = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("c", pa.int64(), nullable=False),
        pa.field("undecided", pa.int64(), nullable=False),
        pa.field("distinct_answers", pa.int64()),  # null, as the tokens: imported without
        pa.field("completion_tokens", pa.int64()),
        pa.field("stop_reason", pa.string()),  # fixed, r_reached, cap; null: not finished
        pa.field("r", pa.int64()),  # null: a fixed number of samples
        pa.field("cap", pa.int64()),
        pa.field("nth_pass", pa.int64()),  # sample id of the r-th pass
        pa.field("look", pa.int64()),  # samples at the last decision to go on; 0: there was none
    ]
)

EXACT = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("p", pa.float64(), nullable=False),
    ]
)

RATES = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("estimate", pa.float64(), nullable=False),  # unbiased under the stopping rule
        pa.field("low", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("level", pa.float64(), nullable=False),
    ]
)

COSTS = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("parameters", pa.int64()),  # null: the size is unknown
        pa.field("samples", pa.int64(), nullable=False),
        # Each prefill counted once; null: imported without.
        pa.field("prompt_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64(), nullable=False),
        # 2 x parameters x tokens; null where either is unknown
        pa.field("flops", pa.float64()),
        pa.field("engine_seconds", pa.float64()),  # null: nothing was drawn here
        pa.field("usd", pa.float64()),  # what a server billed, at the sweep's prices; null: none
        pa.field("engine", pa.string()),  # library and version; several are joined by commas
        pa.field("seeding", pa.string()),  # what has a seed of its own: sample, unit, none
    ]
)

CURVES = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("model", pa.string()),
        pa.field("task", pa.string(), nullable=False),
        pa.field("x", pa.float64(), nullable=False),
        pa.field("estimate", pa.float64(), nullable=False),
        pa.field("low", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("level", pa.float64(), nullable=False),
    ]
)

LAWS = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("family", pa.string(), nullable=False),
        pa.field("model", pa.string()),  # null: a law over models
        pa.field("task", pa.string(), nullable=False),
        pa.field("parameters", pa.string(), nullable=False),  # JSON: name -> value
        pa.field("intervals", pa.string(), nullable=False),  # JSON: name -> [low, high], 95%
        pa.field("goodness", pa.string(), nullable=False),  # JSON: name -> value
        pa.field("converged", pa.bool_(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # a sentence
        pa.field("chosen", pa.bool_(), nullable=False),  # the family that "auto" picked
        pa.field("held_out", pa.string()),  # the model that the fit did not see
        pa.field("law", pa.string(), nullable=False),  # JSON of FittedLaw.to_dict
    ]
)

SELECTION = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("k", pa.int64(), nullable=False),
        pa.field("estimate", pa.float64(), nullable=False),  # accuracy of the chosen answer
        pa.field("low", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("level", pa.float64(), nullable=False),
        pa.field("standard_error", pa.float64(), nullable=False),  # of the simulation
        pa.field("exact", pa.bool_(), nullable=False),  # all subsets are counted
        pa.field("undecided", pa.float64(), nullable=False),  # chance that nobody could judge it
        pa.field("coverage", pa.float64(), nullable=False),  # pass@k, what an oracle reaches
        pa.field("generation_verification_gap", pa.float64(), nullable=False),
        pa.field("oracle_gap", pa.float64(), nullable=False),
        pa.field("problems", pa.int64(), nullable=False),
        pa.field("samples", pa.int64(), nullable=False),
        pa.field("completion_tokens", pa.float64()),  # of k samples; null: imported without
    ]
)

CALIBRATION = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("confidence", pa.string(), nullable=False),  # the column that is judged
        # auroc, of the column; ece_debiased and brier, once calibrated on other problems
        pa.field("measure", pa.string(), nullable=False),
        pa.field("estimate", pa.float64(), nullable=False),
        pa.field("low", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("level", pa.float64(), nullable=False),
        pa.field("samples", pa.int64(), nullable=False),
    ]
)

RELIABILITY = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("confidence", pa.string(), nullable=False),  # calibrated on other problems
        pa.field("bin_low", pa.float64(), nullable=False),
        pa.field("bin_high", pa.float64(), nullable=False),
        pa.field("samples", pa.int64(), nullable=False),
        pa.field("mean_confidence", pa.float64(), nullable=False),
        pa.field("passed", pa.float64(), nullable=False),  # share of the samples
        pa.field("low", pa.float64()),  # null: samples of one problem only
        pa.field("high", pa.float64()),
        pa.field("level", pa.float64(), nullable=False),
    ]
)

AUDIT = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("lag", pa.int64(), nullable=False),  # the one at which samples repeat most
        pa.field("pairs", pa.int64(), nullable=False),
        pa.field("equal", pa.int64(), nullable=False),
        pa.field("expected", pa.float64(), nullable=False),  # of independent samples
        pa.field("log_chance", pa.float64(), nullable=False),  # bound for one lag, nats
        pa.field("repeated", pa.bool_(), nullable=False),
    ]
)


def check(table: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """Return `table` with the columns of `schema`, in its order and types.

    Raises:
        ValueError: a column is missing, of a type that does not convert, or null where a value
            is required. The message names the table, the column and the types.
    """
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            raise ValueError(f"{name}: column {field.name} is missing; it has {table.column_names}")
        column = table.column(field.name)
        if column.type != field.type:
            try:
                column = column.cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise ValueError(
                    f"{name}: column {field.name} is {column.type}, must be {field.type} ({error})"
                ) from None
        if not field.nullable and column.null_count:
            raise ValueError(f"{name}: column {field.name} has {column.null_count} nulls")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)
