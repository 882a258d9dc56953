"""What several test modules of `fitting` share."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom


@pytest.fixture(scope="session")
def outcomes():
    """Every way in which sampling until r passes can end, with its exact probability.

    The returned function takes a rate, r and the looks (the last of them is the cap), and gives
    arrays look, n, c, probability. `look` is 0 where the size did not depend on the passes.
    """

    def enumerate_outcomes(p, r, looks):
        rows, running, last = [], {0: 1.0}, 0
        for look in looks:
            reached = {}
            new = np.arange(look - last + 1)
            chance = binom.pmf(new, look - last, p)
            for before, probability in running.items():
                for more, share in zip(new, chance, strict=True):
                    c = before + int(more)
                    reached[c] = reached.get(c, 0.0) + probability * share
            rows += [(last, look, c, q) for c, q in reached.items() if c >= r]
            running = {c: q for c, q in reached.items() if c < r}
            last = look
        rows += [(0, last, c, q) for c, q in running.items()]
        return tuple(np.array(column, dtype=float) for column in zip(*rows, strict=True))

    return enumerate_outcomes


@pytest.fixture
def objective(monkeypatch):
    """Catch the functions that a module hands to the minimiser, with the minima found.

    The returned function takes the module and returns the list that fills as fits run.
    """

    def catch(module):
        caught, minimize = [], module.minimize

        def spy(function, start, **options):
            found = minimize(function, start, **options)
            caught.append((function, found))
            return found

        monkeypatch.setattr(module, "minimize", spy)
        return caught

    return catch


@pytest.fixture(scope="session")
def check_derivatives():
    """Compare the gradient, and if asked the Hessian, of an objective with central differences."""

    def check(objective, points, index, *, hessian=True, step=1e-5, rtol=1e-5):
        found = objective(points, index)
        gradient, curvature = np.empty_like(found.gradient), np.empty_like(found.hessian)
        for d in range(points.shape[1]):
            up, down = points.copy(), points.copy()
            up[:, d] += step
            down[:, d] -= step
            above, below = objective(up, index), objective(down, index)
            gradient[:, d] = (above.value - below.value) / (2 * step)
            curvature[:, d] = (above.gradient - below.gradient) / (2 * step)
        size = np.abs(found.gradient).max()
        np.testing.assert_allclose(found.gradient, gradient, rtol=rtol, atol=rtol * size)
        if hessian:
            size = np.abs(found.hessian).max()
            np.testing.assert_allclose(found.hessian, curvature, rtol=rtol, atol=rtol * size)

    return check


@pytest.fixture(scope="session")
def pythia():
    """(parameters, n, c) of 7 Pythia models on 128 MATH problems, 10,000 tries each."""
    folder = Path(__file__).parents[2].parent / "shared" / "data" / "task_scaling_pythia"
    if not folder.is_dir():
        pytest.skip(
            "the real counts (shared/data/task_scaling_pythia) are not beside this checkout"
        )
    size = {"70M": 7e7, "160M": 1.6e8, "410M": 4.1e8, "1B": 1e9, "2.8B": 2.8e9, "6.9B": 6.9e9}
    size["12B"] = 1.2e10
    counts = {name: [] for name in size}
    with (folder / "monkeys_math_pythia_counts_n10000.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            tries, passes = row["Num. Samples Total"], row["Num. Samples Correct"]
            counts[row["Model"].removeprefix("Pythia ")].append((float(tries), float(passes)))
    n, c = np.array(list(counts.values())).transpose(2, 0, 1)
    return np.array(list(size.values())), n, c
