"""Sweeps that are accepted, and sweeps that are refused with the beginning of what is said."""

SIMULATED = {"engine": "simulated", "name": "sim", "parameters": 10, "rate": 0.1}
LADDER = {"name": "rung", "path": "ladder:2k"}
BASE = {
    "name": "sweep",
    "models": [SIMULATED, LADDER],
    "tasks": [{"name": "add-2"}, {"name": "quiz", "path": "quiz.jsonl"}],
}

ACCEPTED = [
    {},
    {"allocation": {"n": 64}, "fit": {"k": [1, 64], "hold_out": None}},
    {"fit": {"k": [10**6]}},
    {"fit": {"hold_out": "rung"}},
    {"seed": 2**63 - 1, "decoding": {"stop": ["\n", "é"], "top_k": 3}},
    {"tasks": [{"name": "q", "path": "q", "fields": {"answer": "a"}, "template": "{prompt}?"}]},
    {"resources": {"engine_gpus": 0.5}, "tracking": {"enabled": False, "uri": "x"}},
    {"verification": {"math_seconds": 0.5, "math_memory_mib": 256, "workers": 3}},
    {
        "tasks": [
            {"name": "a", "source": "gsm8k", "path": "a", "style": "chat", "stop": []},
            {"name": "b", "source": "math", "path": "b", "fields": {"problem": "p"}},
            {"name": "c", "source": "humaneval", "path": "c", "problems": ["x", "y"]},
            {"name": "d", "source": "mbpp", "path": "d", "split": "train"},
            {"name": "e", "source": "multiple_choice", "dataset": "o/e", "config": "f"},
            {"name": "g", "path": "g", "verifier": "json", "options": {"kind": "any"}},
        ]
    },
]
"""Changes of BASE."""

REFUSED = [
    ({"sed": 1}, "sed: unknown key; did you mean seed? Allowed here are name, seed, run, models,"),
    (
        {"fit": {"kk": 1}},
        "fit.kk: unknown key; did you mean k? Allowed here are k, family, hold_out, level",
    ),
    (
        {"models": [SIMULATED | {"path": "x"}]},
        "models.0.path: unknown key; allowed here are engine, name, parameters, rate,",
    ),
    (
        {"allocation": {"n": 1, "r": 2}},
        "allocation.r: unknown key; allowed here are kind, n",
    ),
    ({"seed": "1"}, "seed: is '1', must be a valid integer"),
    ({"seed": True}, "seed: is True, must be a valid integer"),
    ({"seed": 1.0}, "seed: is 1.0, must be a valid integer"),
    ({"seed": -1}, "seed: is -1, must be greater than or equal to 0"),
    ({"seed": 2**63}, f"seed: is {2**63}, must be less than {2**63}"),
    ({"name": 5}, "name: is 5, must be a valid string"),
    ({"name": "a/b"}, "name: is 'a/b', must match pattern"),
    ({"name": ".."}, "name: is '..', must match pattern"),
    ({"name": "a\n"}, "name: is 'a\\n', must match pattern"),
    ({"name": None}, "name: is None, must be a valid string"),
    ({"decoding": None}, "decoding: is None, must be a mapping"),
    ({"decoding": {"top_p": 0}}, "decoding.top_p: is 0, must be greater than 0"),
    (
        {"decoding": {"temperature": float("nan")}},
        "decoding.temperature: is nan, must be a finite number",
    ),
    (
        {"allocation": {"growth": float("inf")}},
        "allocation.growth: is inf, must be a finite number",
    ),
    ({"allocation": {"r": 1}}, "allocation.r: is 1, must be greater than or equal to 2"),
    (
        {"decoding": {"stop": [""]}},
        "decoding.stop.0: is '', must have at least 1 character",
    ),
    ({"tracking": {"enabled": "no"}}, "tracking.enabled: is 'no', must be a valid boolean"),
    (
        {"fit": {"family": "magic"}},
        "fit.family: is 'magic', must be 'auto', 'exponentiated_power_law', 'beta_bino",
    ),
    (
        {"models": [LADDER | {"device": "tpu"}]},
        "models.0.device: is 'tpu', must be 'auto',",
    ),
    (
        {"models": [SIMULATED | {"engine": "warp"}]},
        "models.0.engine: is 'warp'; allowed are 'transformers', 'vllm', 'openai', "
        "'replay', 'simulated', 'python'",
    ),
    ({"tasks": [{"name": "a", "source": "web"}]}, "tasks.0.source: is 'web'; allowed are"),
    (
        {"allocation": {"kind": "all"}},
        "allocation.kind: is 'all'; allowed are 'fixed', 'until'",
    ),
    ({"models": [{"name": "a"}]}, "models.0.path: required, but missing"),
    ({"tasks": [{"path": "x"}]}, "tasks.0.name: required, but missing"),
    ({"allocation": {"kind": "fixed"}}, "allocation.n: required, but missing"),
    ({"models": []}, "models: is [], must have at least one item"),
    ({"models": 3}, "models: is 3, must be a list"),
    ({"models": ["sim"]}, "models.0: is 'sim', must be a mapping"),
    (
        {"tasks": [{"name": "q", "path": "q", "template": "Q:"}]},
        "tasks.0.template: is 'Q:', must contain {prompt}",
    ),
    (
        {"tasks": [{"name": "q", "path": "q", "fields": {"id": "x"}}]},
        "tasks.0.fields.id.[key]: is 'id', must be 'problem_id', 'prompt', 'answer',",
    ),
    (
        {"tasks": [{"name": "q", "source": "gsm8k"}]},
        "tasks.0: has neither path nor dataset; give one of the two",
    ),
    (
        {"tasks": [{"name": "q", "path": "q", "dataset": "q"}]},
        "tasks.0: has path and dataset; give one of the two",
    ),
    (
        {"tasks": [{"name": "q", "source": "gsm8k", "path": "q", "split": "test"}]},
        "tasks.0: has split, which only a dataset has; remove it, or the path",
    ),
    (
        {"tasks": [{"name": "q", "source": "mbpp", "path": "q", "config": "full"}]},
        "tasks.0: has config, which only a dataset has; remove it, or the path",
    ),
    (
        {"tasks": [{"name": "q", "source": "mbpp", "path": "q", "split": "dev"}]},
        "tasks.0.split: is 'dev', must be 'test', 'validation', 'train' or 'prompt'",
    ),
    (
        {"tasks": [{"name": "q", "source": "humaneval", "path": "q", "style": "few_shot"}]},
        "tasks.0.style: is 'few_shot', must be 'zero_shot' or 'chat'",
    ),
    (
        {"tasks": [{"name": "q", "source": "gsm8k", "path": "q", "verifier": "exact"}]},
        "tasks.0.verifier: unknown key; allowed here are name, stop, path, dataset,",
    ),
    (
        {"tasks": [{"name": "q", "path": "q", "verifier": "magic"}]},
        "tasks.0.verifier: is 'magic', must be 'exact', 'numeric', 'choice', 'regex',",
    ),
    ({"tasks": [{"name": "q", "path": "q", "problems": []}]}, "tasks.0.problems: is [], "),
    (
        {"verification": {"workers": 0}},
        "verification.workers: is 0, must be greater than or equal to 1",
    ),
    (
        {"verification": {"math_seconds": 0}},
        "verification.math_seconds: is 0, must be greater than 0",
    ),
    (
        {"verification": {"run_untrusted_programs_without_isolation": "yes"}},
        "verification.run_untrusted_programs_without_isolation: is 'yes', must be a valid",
    ),
    (
        {"verification": {"unsafe": True}},
        "verification.unsafe: unknown key; allowed here are math_seconds, math_memory_mib,",
    ),
    (
        {"models": [SIMULATED, SIMULATED]},
        "models.1.name: 'sim' is used twice; names must differ",
    ),
    ({"tasks": [{"name": "a"}] * 2}, "tasks.1.name: 'a' is used twice; names must differ"),
    (
        {"allocation": {"n": 8}, "fit": {"k": [1, 9]}},
        "fit.k: 9 is larger than allocation.n = 8; raise n, or read",
    ),
    ({"fit": {"k": [0]}}, "fit.k.0: is 0, must be greater than or equal to 1"),
    (
        {"fit": {"hold_out": "biggest"}},
        "fit.hold_out: 'biggest' is not a model; allowed are null, largest, sim, rung",
    ),
]
"""Changes of BASE, each with what is said of it."""
