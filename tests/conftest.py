import os

import pytest

# Imported by tests: pytest explains failures in there only where it is told to.
pytest.register_assert_rewrite(
    "tests.pipelines.engine_conformance", "tests.pipelines.sample_statistics"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows", type=int, default=100_000_000, help="rows to count in benchmarks")
    parser.addoption(
        "--simulations", type=int, default=100, help="simulated data sets a line of tests/parity"
    )
    parser.addoption(
        "--table", default=None, help="file for the tables of tests/parity or tests/chaos"
    )
    parser.addoption(
        "--kills", type=int, default=20, help="points at which tests/chaos kills a process"
    )


@pytest.fixture(scope="session")
def isolation() -> None:
    """Programs can be isolated here; else the test is skipped, or fails where CI has to have it."""
    from operators.isolation.sandbox import isolation_problem

    problem = isolation_problem()
    if problem and os.environ.get("PASSLAW_REQUIRE_SANDBOX") == "1":
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    """At how many points a process is killed: few by default, 200 for `make chaos`."""
    return int(request.config.getoption("--kills"))
