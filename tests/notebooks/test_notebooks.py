"""The notebooks run, without a warning, and what they show is true.

Each is executed once, in a kernel of its own and in an empty folder. Then variables that it names
are read from the kernel and held against published numbers, closed forms and counts by hand, so
that the notebooks themselves need no assertions.
"""

import numpy as np
import pytest

from tests.notebooks.notebook_runner import DATA, NOTEBOOKS, execute, read, tags, warnings_of

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))

COUNTS = "task_scaling_pythia/monkeys_math_pythia_counts_n10000.csv"
LETTERS = "esc_last_letters_gpt35/T0.7.jsonl"
FILES = {
    "01_coverage_and_its_laws": [COUNTS],
    "03_choosing_among_many": [LETTERS, "qwen_math_cot_100/math_cot_100.jsonl"],
    "04_spending_a_budget": [LETTERS, COUNTS],
    "05_fitting_loss_laws_well": ["chinchilla/svg_extracted_data.csv"],
}
"""What a notebook cannot do without."""

FACTS = {
    "01_coverage_and_its_laws": {
        "first_try": "first_try_160m",
        "coverage": "coverage_160m",
        "models_held": "held",
        "error": "error",
        "bias": "bias.select('k', 'estimate', 'off', 'error').rows()",
    },
    "02_passuntil_and_emergence": {
        "drawn": "drawn",
        "held": "held",
        "bias": "bias.select('estimate', 'off', 'error').rows()",
        "told": "told",
        "growth": "verdict.growth.name",
        "p_value": "verdict.p_value",
        "predicted_12b": "[float(twelve.low), float(twelve.estimate), float(twelve.high)]",
        "measured_12b": "measured_12b",
    },
    "03_choosing_among_many": {
        "single": "single",
        "pair": "pair",
        "all_forty": "all_forty",
        "ceiling": "ceiling",
        "worth": "worth",
        "ece": "ece[0]",
        "ece_after": "{' '.join(key): value for key, value in ece_after.items()}",
        "auroc": "[auroc[0], reward_auroc]",
    },
    "04_spending_a_budget": {
        "adaptive_saved": "adaptive.samples_saved",
        "adaptive_change": "adaptive.accuracy.change",
        "early_saved": "early.samples_saved",
        "tries_for_half": "[half_in_turn, half_one_by_one]",
        "solved": "[perfect, sound_99]",
        "rates": "rates.tolist()",
        "stop": "[stop.tries, stop.value, stop.value_unlimited]",
        "winners": "winners['model'].to_list()",
    },
    "05_fitting_loss_laws_well": {
        "params": "{name: dict(law.params) for name, law in laws.items()}",
        "agreement": "min(law.certificate.agreement for law in laws.values())",
        "behind": "behind",
        "median": "median",
        "tied": "tied",
        "spread": "spread",
        "ratio": "[float(best.tokens_per_param.low), float(best.tokens_per_param.high)]",
        "beta_245": "beta_245",
        "highest": "with_all.domain['tokens'][0]",
    },
    "06_reading_a_cluster_run": {
        "same": "same",
        "doubled": "doubled",
        "seeds": "seeds.row(0)",
        "samples": "int(counts['n'].sum())",
        "cut": "[cut, undecided]",
        "flops_agree": "flops_agree",
        "difference": "difference",
        "at_400": "at_400",
        "coverage_400": "coverage_400",
        "alone": "alone.select('by_3b', 'by_others').rows()",
        "by_size": "by_size.rows()",
    },
}


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Return a function that executes a notebook, once: its cells and its facts."""
    known = {}

    def run(name):
        for library in ("nbclient", "ipykernel", "duckdb"):
            pytest.importorskip(library, reason="notebooks need the group `notebooks`")
        if name.startswith("02"):
            pytest.importorskip("torch", reason="the ladder's models need the extra `transformers`")
        missing = [file for file in FILES.get(name, []) if not (DATA / file).is_file()]
        if missing:
            pytest.skip(f"{missing[0]} (shared/data) is not beside this checkout")
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            data = (DATA / COUNTS).is_file()
            known[name] = execute(name, FACTS[name], folder, data=data)
        return known[name]

    return run


@pytest.fixture
def facts(executed, request):
    """Return the facts of the notebook that a test names by `@pytest.mark.parametrize`."""
    return executed(request.param)[1]


def of(name):
    """Give a test the facts of the notebook whose name starts so."""
    (full,) = [known for known in FACTS if known.startswith(name)]
    return pytest.mark.parametrize("facts", [full], indirect=True, ids=[full])


def test_each_notebook_is_tested():
    assert sorted(FACTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_no_output_is_stored(name):
    """Outputs hide what changed in a diff; `make notebooks` writes them elsewhere."""
    stored = read(name)
    assert set(stored["metadata"]) == {"kernelspec"}
    for cell in stored["cells"]:
        assert not cell.get("outputs"), cell["source"]
        assert cell.get("execution_count") is None
        assert set(cell["metadata"]) <= {"tags"}


@pytest.mark.parametrize("name", NAMES)
def test_colab_and_jupyterlab_can_open_it(name):
    stored = read(name)
    assert stored["nbformat"] == 4
    assert stored["metadata"]["kernelspec"]["name"] == "python3"
    title, install, *_ = [cell["source"] for cell in stored["cells"]]
    assert title.startswith("# ")
    assert "How to open" in title
    assert "find_spec" in install
    assert "%pip install" in install


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_with_what_to_conclude_what_can_go_wrong_and_exercises(name):
    cells = read(name)["cells"]
    text = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    places = [text.find(f"## {head}") for head in ("What to conclude", "What can go wrong")]
    places.append(text.find("## Exercises"))
    assert -1 < places[0] < places[1] < places[2]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_without_a_warning(executed, name):
    """An error in a cell has failed the execution itself."""
    cells, _ = executed(name)
    assert warnings_of(cells) == []


@pytest.mark.parametrize("name", NAMES)
def test_its_pictures_can_be_drawn(executed, name):
    """As PNG, by the library that draws the report's; what cannot be drawn is an error there."""
    cells, _ = executed(name)
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    pictures = [output.get("data", {}).get("image/png") for output in outputs]
    sizes = [len(picture) for picture in pictures if picture]
    assert len(sizes) >= 2
    assert min(sizes) > 5_000


@of("01")
def test_coverage_is_the_published_one(facts):
    """Brown et al., arXiv 2407.21787: Pythia 160M passes 0.27% and solves 57% in 10,000 tries."""
    assert facts["coverage"] == 73 / 128
    assert facts["first_try"] == pytest.approx(0.0026734, abs=5e-8)


@of("01")
def test_the_plug_in_estimate_is_too_low_and_ours_is_not(facts):
    at_20 = {name: (off, error) for k, name, off, error in facts["bias"] if k == 20}
    off, error = at_20["plug-in"]
    assert off + error < -0.03
    # An error bar is two standard errors.
    assert all(abs(off) <= 2 * error for _, name, off, error in facts["bias"] if name == "unbiased")


@of("01")
def test_a_hundred_tries_tell_ten_thousand_to_within_a_few_points(facts):
    error = facts["error"]
    assert error["auto"] < 0.04
    assert error["npmle"] == max(error.values())
    assert facts["models_held"] >= 6


@of("02")
def test_stopping_on_passes_makes_the_plain_ratio_too_high(facts):
    bias = {name: (off, error) for name, off, error in facts["bias"]}
    off, error = bias["c / n"]
    assert off - error > 1.05
    off, error = bias["unbiased"]
    assert abs(off - 1) < 2 * error


@of("02")
def test_intervals_hold_the_exact_rates_about_as_often_as_they_say(facts):
    """95% of 800, and two runs of a thousand would lie outside these bounds."""
    assert 0.925 < facts["held"] < 0.975


@of("02")
def test_a_million_samples_are_drawn(facts):
    assert 0.9e6 < facts["drawn"] < 1.5e6


@of("02")
def test_the_hidden_model_is_predicted(facts):
    """On multiply1; on multiply2 the notebook shows a prediction that misses, and says why."""
    one, two = facts["told"]["multiply1"], facts["told"]["multiply2"]
    assert one["low"] < one["exact"] < one["high"]
    for row in (one, two):
        assert row["measured"] == pytest.approx(row["exact"], rel=0.35)
    assert two["predicted"] == pytest.approx(two["exact"], rel=0.35)


@of("02")
def test_pythia_is_predicted_and_judged_as_with_other_tools(facts):
    """The same counts, fitted by least squares: 0.0327 for 12B, curved upwards."""
    if "growth" not in facts:
        pytest.skip(f"{COUNTS} (shared/data) is not beside this checkout")
    low, estimate, high = facts["predicted_12b"]
    assert estimate == pytest.approx(0.0327, abs=5e-4)
    assert facts["measured_12b"] == pytest.approx(0.0231914, abs=5e-8)
    assert low < facts["measured_12b"] < high
    assert facts["growth"] == "SUB_SCALING"
    assert facts["p_value"] == pytest.approx(0.033, abs=0.002)


@of("03")
def test_majority_and_oracle_are_those_of_all_subsets(facts):
    """Of 20,000 answers 16,072 are right; 463 questions have a right one, 416 in the lead."""
    assert facts["single"] == pytest.approx(16_072 / 20_000, abs=1e-12)
    assert facts["pair"] == pytest.approx(facts["single"], abs=1e-12)
    assert facts["all_forty"] == pytest.approx(0.832, abs=1e-9)
    assert facts["ceiling"] == pytest.approx(463 / 500, abs=1e-12)


@of("03")
def test_best_of_eight_and_majority_are_those_counted_by_hand(facts):
    assert facts["worth"]["best_of(score)"] == pytest.approx(0.94, abs=1e-12)
    assert facts["worth"]["majority"] == pytest.approx(0.925, abs=1e-12)


@of("03")
def test_isotonic_regression_calibrates_what_platts_curve_cannot(facts):
    assert facts["ece_after"]["votes isotonic"] < 0.5 * facts["ece"]
    assert facts["ece_after"]["votes platt"] > 0.8 * facts["ece"]
    assert facts["ece_after"]["reward platt"] < 0.05
    assert all(area > 0.8 for area in facts["auroc"])


@of("04")
def test_stopping_early_saves_about_what_was_published(facts):
    """67.4% by early stopping (arXiv 2401.10480); up to 7.9 times fewer by adaptive consistency."""
    assert facts["early_saved"] == pytest.approx(0.674, abs=0.05)
    assert 0.8 < facts["adaptive_saved"] < 1 - 1 / 7.9
    assert facts["adaptive_change"] > -0.002


@of("04")
def test_tries_in_turn_solve_half_of_the_problems_sooner(facts):
    """By hand: the chance that k of 10,000 tries, drawn without replacement, hold no pass."""
    failed, k = 10_000 * (1 - np.array(facts["rates"])[:, None]), np.arange(1, 2_001)
    still = np.exp(np.cumsum(np.log(np.maximum(failed - k + 1, 0) / (10_001 - k)), axis=1))
    missed = still.mean(axis=0)
    spent = np.cumsum(np.append(1.0, missed[:-1]))
    by_hand = [np.interp(0.5, 1 - missed, spent), 0.5 / (1 - missed[-1]) * spent[-1]]
    np.testing.assert_allclose(facts["tries_for_half"], by_hand, rtol=1e-9)


@of("04")
def test_a_verifier_that_errs_sets_a_ceiling(facts):
    rates = np.array(facts["rates"])
    ceiling = np.mean(rates / (rates + 0.01 * (1 - rates)))
    np.testing.assert_allclose(facts["solved"], [np.mean(rates > 0), ceiling], rtol=1e-12)


@of("04")
def test_the_best_number_of_tries_is_that_of_all_numbers(facts):
    k = np.arange(1, 1_001)[:, None]
    rate, weight = np.array([0.87, 0.13]), np.array([0.58, 0.42])
    accepted = rate + 0.25 * (1 - rate)
    ends = (1 - (1 - accepted) ** k) / accepted
    value = (weight * ends * (rate - 0.25 * (1 - rate))).sum(axis=1)
    best = int(value.argmax())
    assert facts["stop"] == pytest.approx([best + 1, value[best], value[-1]], rel=1e-9)


@of("04")
def test_no_model_is_best_at_every_budget(facts):
    assert facts["winners"][-1] == "12B"
    assert {"160M", "2.8B"} < set(facts["winners"])


@of("05")
def test_loss_laws_are_the_published_ones(facts):
    """Besiroglu et al., arXiv 2404.10102, and acceptance numbers of tests/parity/README.md."""
    found = facts["params"]
    published = {"E": (1.8172, 5e-4), "alpha": (0.3473, 5e-4), "beta": (0.3672, 5e-4)}
    for name, (value, tolerance) in published.items():
        assert found["Huber, log (published)"][name] == pytest.approx(value, abs=tolerance)
    for name, value in {"E": 1.8828, "alpha": 0.3576, "beta": 0.4276}.items():
        assert found["squares, loss itself"][name] == pytest.approx(value, abs=5e-4)
    assert facts["agreement"] > 0.99


@of("05")
def test_the_printed_parameters_lie_as_far_off_as_published(facts):
    """Log-likelihoods 879.77 (best), 837.78 (unrounded) and 562.25 (as printed)."""
    assert facts["behind"]["in the source"] == pytest.approx(879.77 - 837.78, abs=0.3)
    assert facts["behind"]["as printed"] == pytest.approx(879.77 - 562.25, abs=0.3)
    assert abs(facts["median"]["fitted here"]) < 0.0005
    assert facts["median"]["as printed"] < -0.015


@of("05")
def test_standard_errors_are_about_the_published_ones(facts):
    """300 bootstraps know a standard error to 4%; coefficients have long tails."""
    for name, (value, tolerance) in {
        "E": (0.0257, 0.15),
        "alpha": (0.0154, 0.15),
        "beta": (0.0206, 0.15),
        "A": (124.5, 0.3),
        "B": (1293, 0.3),
    }.items():
        assert facts["spread"][name] == pytest.approx(value, rel=tolerance)
    assert facts["tied"] > 0.999


@of("05")
def test_chinchillas_own_ratio_is_inside_and_five_runs_move_beta(facts):
    low, high = facts["ratio"]
    assert low < 20 < high
    assert facts["beta_245"] == pytest.approx(0.4530, abs=1e-3)
    assert facts["highest"] < 1e9


@of("06")
def test_counting_by_hand_gives_the_counts(facts):
    assert facts["same"]
    assert facts["doubled"] == 0
    assert facts["samples"] == 4 * 2 * 50 * 400
    assert facts["seeds"] == [facts["samples"], facts["samples"]]
    assert facts["flops_agree"]
    assert facts["cut"][0] == facts["cut"][1] > 0


@of("06")
def test_the_law_of_mlflow_is_the_law_of_the_run(facts):
    assert facts["difference"] < 1e-12
    assert facts["at_400"]["low"] < facts["coverage_400"] < facts["at_400"]["high"]


@of("06")
def test_sql_finds_what_it_was_asked_for(facts):
    assert facts["alone"]
    assert all(one > 0 and others <= 4 for one, others in facts["alone"])


@of("06")
def test_the_law_over_sizes_answers_beyond_them(facts):
    rates = [rate for _, rate, _, _ in facts["by_size"]]
    assert rates == sorted(rates)
    assert all(low < rate < high for _, rate, low, high in facts["by_size"])


def test_only_what_a_notebook_can_do_without_is_tagged():
    tagged = {name for name in NAMES for cell in read(name)["cells"] if tags(cell)}
    assert tagged == {"02_passuntil_and_emergence"}
