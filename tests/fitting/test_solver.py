"""The minimiser on functions whose minimum is known."""

import numpy as np
import pytest

from fitting.solver import Derivatives, minimize


def rosenbrock(x, index):
    a, b = x.T
    value = (1 - a) ** 2 + 100 * (b - a * a) ** 2
    gradient = np.stack([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)], axis=1)
    hessian = np.empty((len(x), 2, 2))
    hessian[:, 0, 0] = 2 - 400 * b + 1200 * a * a
    hessian[:, 0, 1] = hessian[:, 1, 0] = -400 * a
    hessian[:, 1, 1] = 200
    return Derivatives(value, gradient, hessian)


def quadratic(matrices, centres):
    def objective(x, index):
        away = x - centres[index]
        slope = np.einsum("aij,aj->ai", matrices[index], away)
        return Derivatives((slope * away).sum(axis=1) / 2, slope, matrices[index])

    return objective


def random_quadratics(batch, width):
    generator = np.random.default_rng(0)
    half = generator.standard_normal((batch, width, width))
    matrices = np.einsum("aij,akj->aik", half, half) + 0.1 * np.eye(width)
    # Scales that differ by 1e8 between problems: each has its own damping.
    return matrices * np.geomspace(1e-4, 1e4, batch)[:, None, None], generator.normal(
        size=(batch, width)
    )


def test_independent_quadratics():
    matrices, centres = random_quadratics(50, 4)
    found = minimize(quadratic(matrices, centres), np.full((50, 4), 10.0), tolerance=1e-16)
    assert found.converged.all()
    assert not found.at_bound.any()
    np.testing.assert_allclose(found.value, 0, atol=1e-10)
    np.testing.assert_allclose(found.x[25:], centres[25:], atol=1e-6)
    np.testing.assert_array_equal(found.hessian, matrices)


def test_each_problem_is_solved_as_if_alone():
    matrices, centres = random_quadratics(6, 3)
    start = np.full((6, 3), 5.0)
    together = minimize(quadratic(matrices, centres), start)
    for i in range(6):
        one = slice(i, i + 1)
        alone = minimize(quadratic(matrices[one], centres[one]), start[one])
        np.testing.assert_allclose(together.x[one], alone.x, rtol=1e-9)


@pytest.mark.parametrize("start", [(-1.2, 1.0), (3.0, -5.0), (0.0, 0.0), (-10.0, 30.0)])
def test_rosenbrock(start):
    found = minimize(rosenbrock, np.array([start]), tolerance=1e-20)
    assert found.converged.all()
    np.testing.assert_allclose(found.x, [[1, 1]], atol=1e-8)


def double_well(x, index):
    """(a^2 - 1)^2 + b^2: minima at a = -1 and 1, a saddle at 0."""
    a, b = x.T
    gradient = np.stack([4 * a * (a * a - 1), 2 * b], axis=1)
    hessian = np.zeros((len(x), 2, 2))
    hessian[:, 0, 0] = 12 * a * a - 4
    hessian[:, 1, 1] = 2
    return Derivatives((a * a - 1) ** 2 + b * b, gradient, hessian)


def test_a_saddle_repels():
    """Newton's own step would climb to the saddle from here."""
    start = np.array([[1e-3, 3.0], [-1e-3, 3.0], [0.3, -1.0]])
    found = minimize(double_well, start, tolerance=1e-18)
    assert found.converged.all()
    np.testing.assert_allclose(found.x, [[1, 0], [-1, 0], [1, 0]], atol=1e-7)


def test_bounds_hold_what_pushes_against_them_and_free_the_rest():
    """Coupled quadratic: with a held at its bound, b moves to the minimum along the bound."""
    matrix, centre = np.array([[[2.0, 1.0], [1.0, 2.0]]]), np.array([[3.0, 0.0]])
    objective = quadratic(matrix, centre)
    found = minimize(objective, np.array([[0.0, 5.0]]), high=np.array([[1.0, np.inf]]))
    assert found.converged.all()
    assert found.at_bound.all()
    # d/db: (a - 3) + 2 b = 0 at a = 1.
    np.testing.assert_allclose(found.x, [[1.0, 1.0]], atol=1e-7)


def test_a_bound_that_does_not_bind_is_not_reported():
    matrix, centre = np.eye(2)[None], np.zeros((1, 2))
    found = minimize(quadratic(matrix, centre), np.array([[4.0, 4.0]]), low=-1.0, high=5.0)
    assert found.converged.all()
    assert not found.at_bound.any()
    # A start outside the bounds is moved inside; a start on a bound may leave it.
    found = minimize(quadratic(matrix, centre), np.array([[9.0, -9.0]]), low=-1.0, high=5.0)
    np.testing.assert_allclose(found.x, 0, atol=1e-6)
    assert not found.at_bound.any()


def test_a_function_without_minimum_is_not_called_converged():
    def downhill(x, index):
        rate = np.exp(-x[:, 0])
        return Derivatives(-x[:, 0] - rate, rate[:, None] - 1, -rate[:, None, None])

    found = minimize(downhill, np.array([[0.5]]), iterations=30)
    assert not found.converged.any()


def test_a_start_where_the_function_is_not_finite_is_left_alone():
    def half_line(x, index):
        known = x[:, 0] < 5
        value = np.where(known, x[:, 0] ** 2, np.nan)
        return Derivatives(value, 2 * x, np.full((len(x), 1, 1), 2.0))

    found = minimize(half_line, np.array([[9.0], [3.0]]))
    np.testing.assert_array_equal(found.converged, [False, True])
    np.testing.assert_allclose(found.x, [[9.0], [0.0]], atol=1e-6)


def test_a_proposal_that_is_not_finite_is_not_taken():
    """log x - the full Newton step from 3 leaves the domain of x - log x."""

    def barrier(x, index):
        with np.errstate(invalid="ignore"):
            value = x[:, 0] - np.log(x[:, 0])
        return Derivatives(value, 1 - 1 / x, (1 / x**2)[:, :, None])

    found = minimize(barrier, np.array([[3.0], [100.0]]), tolerance=1e-16)
    assert found.converged.all()
    np.testing.assert_allclose(found.x, 1, rtol=1e-6)


def test_steps_that_would_climb_are_not_taken():
    """Newton's step on sqrt(1 + x^2) goes from x to -x^3, further off whenever |x| > 1."""

    def valley(x, index):
        root = np.sqrt(1 + x**2)
        return Derivatives(root[:, 0], x / root, (1 / root**3)[:, :, None])

    found = minimize(valley, np.array([[1.5], [3.0], [-20.0]]), tolerance=1e-16)
    assert found.converged.all()
    np.testing.assert_allclose(found.x, 0, atol=1e-6)


def test_the_value_never_rises():
    seen = []

    def watched(x, index):
        found = rosenbrock(x, index)
        seen.append(found.value[0])
        return found

    found = minimize(watched, np.array([[-1.2, 1.0]]))
    assert found.value[0] == min(seen)
