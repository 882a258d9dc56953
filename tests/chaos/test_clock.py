"""A clock that jumps by hours, back and forth: nothing that matters reads it."""

import os
import random
import time

import pytest

from tests.chaos.harness import ENVIRONMENT, against, ended, start

FAULT = "clock jumps by up to a day, back and forth"
JUMPING = """
import random, sys, time
true_time, chance = time.time, random.Random(3)

def jumping():
    # Ray's own start has deadlines by this clock; what is tested here is ours.
    ray = sys._getframe(1).f_globals.get("__name__", "").startswith("ray.")
    return true_time() + (0.0 if ray else chance.uniform(-86_400, 86_400))

if "pipelines" in sys.orig_argv:
    time.time = jumping
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_a_clock_that_jumps_at_every_reading(lives, folder, undisturbed, ledger, seed):
    life = lives.live(folder, "run", kind="clock", at=seed)
    assert life.code == 0
    assert life.errors == ""
    ledger.note(FAULT, against(folder / "run", undisturbed[0]), life.seconds)


def test_what_killed_lives_left_in_other_times(lives, folder, undisturbed, ledger):
    """Files and a lease from days ahead and days ago are taken for what they are."""
    chance = random.Random(8)
    links = [at for at, (event, _) in enumerate(undisturbed[1]) if event == "os.link"]
    for at in links[::4]:
        lives.live(folder, "run", kind="kill", at=at)
        for path in (folder / "run").rglob("*"):
            then = time.time() + chance.uniform(-1e6, 1e6)
            os.utime(path, (then, then))
    life = lives.live(folder, "run")
    assert life.code == 0, life.errors
    ledger.note(FAULT, against(folder / "run", undisturbed[0]), life.seconds)


@pytest.mark.usefixtures("nightly")
def test_a_driver_whose_clock_jumps(through_ray, sweep_folder, recovered):
    (sweep_folder / "jumping").mkdir()
    (sweep_folder / "jumping" / "sitecustomize.py").write_text(JUMPING)
    path = f"{sweep_folder / 'clock'}:{ENVIRONMENT['PYTHONPATH']}"
    environment = {"PYTHONPATH": path}
    ended(start(sweep_folder, "sample", "sweep.yaml", "-o", "run=clock", environment=environment))
    recovered("clock", FAULT)
