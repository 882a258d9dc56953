"""Two drivers on one run: the lease refuses the second; without it, nothing is doubled either."""

from tests.chaos.harness import PATIENCE, committed, ended, start, until


def test_the_second_driver_is_refused(through_ray, sweep_folder, recovered):
    first = start(sweep_folder, "sample", "sweep.yaml", "-o", "run=two")
    until((sweep_folder / "two" / "lease.json").exists, "the lease")
    second = start(sweep_folder, "run", "sweep.yaml", "-o", "run=two")
    errors = ended(second, code=2)
    (line,) = errors.splitlines()
    assert f"process {first.pid}" in line
    ended(first)
    recovered("two", "two drivers at once")


def test_a_lease_removed_in_the_middle(through_ray, sweep_folder, recovered):
    root = sweep_folder / "lost"
    first = start(sweep_folder, "sample", "sweep.yaml", "-o", "run=lost")
    until(lambda: committed(root), "a unit")
    (root / "lease.json").unlink()
    second = start(sweep_folder, "sample", "sweep.yaml", "-o", "run=lost")
    for process in (first, second):
        _, errors = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in errors, errors
        assert process.returncode in (0, 2), errors
    recovered("lost", "the lease removed under two drivers")
