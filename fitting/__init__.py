"""Estimators and laws of repeated sampling. Arrays in, frozen records out; numpy and scipy only."""

from fitting.budget.best_split import best_split
from fitting.budget.cost import (
    ComputeCost,
    CostModel,
    PriceCost,
    TimeCost,
    TokenCost,
    TokenCounts,
    Transformer,
    cost_of_tries,
)
from fitting.budget.frontier import Curve, Frontier, frontier, law_curve, measured_curve
from fitting.budget.imperfect_verifier import optimal_tries, resample_until_accepted
from fitting.budget.pass_within_tokens import PassWithinTokens, pass_within_tokens
from fitting.budget.reset_and_discard import problem_by_problem, round_robin
from fitting.budget.solutions_and_verifications import (
    best_solutions_and_verifications,
    most_approved_accuracy,
)
from fitting.budget.tries import TriesFor, tries_for, tries_for_rate
from fitting.budget.verifier_correction import VerifierAudit, correct_pass_rate
from fitting.coverage.fit import CoverageLaw, coverage_law_from_dict, fit_coverage, fit_coverages
from fitting.coverage.npmle import MixingDistribution
from fitting.coverage.rate_distribution import RateDistributions
from fitting.coverage.stack import StackedLaw
from fitting.estimators.comparison import (
    Comparison,
    clustered_mean,
    difference,
    difference_on_these,
    unpaired_difference,
)
from fitting.estimators.pass_at_k import PassAtK, pass_all_k, pass_at_k
from fitting.estimators.pass_until import PassUntil, pass_at_k_until, pass_until
from fitting.estimators.selection import best_of_k, majority_at_k
from fitting.laws import LAWS, Law
from fitting.loss.capabilities import family_lines, principal_capabilities
from fitting.loss.compute_optimal import ComputeOptimal, compute_optimal
from fitting.loss.crossing import LawComparison, crossing
from fitting.loss.curve_fit import fit_curve
from fitting.loss.downstream import Ladder, fit_ladder
from fitting.loss.loss_law import fit_loss_law
from fitting.loss.observational import ObservationalLaw, fit_observational
from fitting.loss.shape import Shape, Trend, judge_shape
from fitting.planning.comparison import (
    MeasuredPair,
    PairedRates,
    comparison_power,
    measured_pair,
    paired_betas,
    problems_to_compare,
    simulate_comparison,
    tries_to_compare,
)
from fitting.planning.coverage import (
    CoverageWidth,
    SimulatedWidths,
    coverage_width,
    problems_for_coverage,
    simulate_coverage,
    tries_for_coverage,
)
from fitting.planning.next_size import (
    Sampling,
    SimulatedPredictions,
    TaskBelief,
    simulate_next_size,
)
from fitting.planning.rare_passes import (
    cap_for,
    chance_of_none,
    chance_of_passes,
    expected_samples,
    expected_samples_in_rounds,
    limit_if_none,
    passes_for,
    relative_error_fixed,
    relative_error_until,
    relative_error_with_cap,
    samples_for,
)
from fitting.planning.rates import (
    PassRates,
    beta_rates,
    log_normal_rates,
    rates_of_counts,
    same_rate,
)
from fitting.results import Certificate, Estimate, FittedLaw, Status
from fitting.size.difficulty import forecast_by_difficulty
from fitting.size.emergence import Emergence, Growth, judge_emergence
from fitting.size.gold_likelihood import GoldLikelihoodLaw, fit_gold_likelihood
from fitting.size.growth_shapes import GrowthComparison, compare_growth
from fitting.size.instance_law import InstanceLaws, fit_instance_laws
from fitting.size.task_law import fit_task_law

__all__ = [
    "LAWS",
    "Certificate",
    "Comparison",
    "ComputeCost",
    "ComputeOptimal",
    "CostModel",
    "CoverageLaw",
    "CoverageWidth",
    "Curve",
    "Emergence",
    "Estimate",
    "FittedLaw",
    "Frontier",
    "GoldLikelihoodLaw",
    "Growth",
    "GrowthComparison",
    "InstanceLaws",
    "Ladder",
    "Law",
    "LawComparison",
    "MeasuredPair",
    "MixingDistribution",
    "ObservationalLaw",
    "PairedRates",
    "PassAtK",
    "PassRates",
    "PassUntil",
    "PassWithinTokens",
    "PriceCost",
    "RateDistributions",
    "Sampling",
    "Shape",
    "SimulatedPredictions",
    "SimulatedWidths",
    "StackedLaw",
    "Status",
    "TaskBelief",
    "TimeCost",
    "TokenCost",
    "TokenCounts",
    "Transformer",
    "Trend",
    "TriesFor",
    "VerifierAudit",
    "best_of_k",
    "best_solutions_and_verifications",
    "best_split",
    "beta_rates",
    "cap_for",
    "chance_of_none",
    "chance_of_passes",
    "clustered_mean",
    "compare_growth",
    "comparison_power",
    "compute_optimal",
    "correct_pass_rate",
    "cost_of_tries",
    "coverage_law_from_dict",
    "coverage_width",
    "crossing",
    "difference",
    "difference_on_these",
    "expected_samples",
    "expected_samples_in_rounds",
    "family_lines",
    "fit_coverage",
    "fit_coverages",
    "fit_curve",
    "fit_gold_likelihood",
    "fit_instance_laws",
    "fit_ladder",
    "fit_loss_law",
    "fit_observational",
    "fit_task_law",
    "forecast_by_difficulty",
    "frontier",
    "judge_emergence",
    "judge_shape",
    "law_curve",
    "limit_if_none",
    "log_normal_rates",
    "majority_at_k",
    "measured_curve",
    "measured_pair",
    "most_approved_accuracy",
    "optimal_tries",
    "paired_betas",
    "pass_all_k",
    "pass_at_k",
    "pass_at_k_until",
    "pass_until",
    "pass_within_tokens",
    "passes_for",
    "principal_capabilities",
    "problem_by_problem",
    "problems_for_coverage",
    "problems_to_compare",
    "rates_of_counts",
    "relative_error_fixed",
    "relative_error_until",
    "relative_error_with_cap",
    "resample_until_accepted",
    "round_robin",
    "same_rate",
    "samples_for",
    "simulate_comparison",
    "simulate_coverage",
    "simulate_next_size",
    "tries_for",
    "tries_for_coverage",
    "tries_for_rate",
    "tries_to_compare",
    "unpaired_difference",
]
