"""A process that dies, or a disk that fails, at any step that changes a file of the run.

Steps are counted, so each is a point at which a life can be ended: `make test` takes some of
every kind, `make chaos` all, and ends some recoveries too.
"""

import random
import shutil

import pytest

from tests.chaos.harness import VERBS, against, committed


def points(steps, count):
    """Return kills as (kind, step), those of all kinds of step first, `count` or all."""
    every = [("kill", at) for at in range(len(steps))]
    every += [("torn", at) for at, (event, _) in enumerate(steps) if event == "os.fsync"]
    by_sort = {}
    for kind, at in every:
        event, path = steps[at]
        by_sort.setdefault((kind, event, path.partition("/")[0]), []).append((kind, at))
    chance = random.Random(5)
    for sort in by_sort.values():
        chance.shuffle(sort)
    sorts = list(by_sort.values())
    chance.shuffle(sorts)
    ranked = [(rank, point) for sort in sorts for rank, point in enumerate(sort)]
    ranked.sort(key=lambda pair: pair[0])
    return [point for _, point in ranked[:count]]


def recover(lives, folder, undisturbed, ledger, fault):
    """Give the command again; everything must be there, and nothing was ever torn."""
    life = lives.live(folder, "run")
    assert life.code == 0, life.errors
    assert not list((folder / "run").rglob("quarantine/**/*.parquet*")), life.errors
    ledger.note(fault, against(folder / "run", undisturbed[0]), life.seconds)
    shutil.rmtree(folder / "run")


NAMES = {
    "kill": "kill -9 at a step of the process that commits",
    "torn": "kill -9 there, its last file half written",
    "full": "disk full from a step on",
    "error": "one step fails (input/output error)",
}


def test_killed_at_any_step(lives, folder, undisturbed, ledger, kills):
    for kind, at in points(undisturbed[1], kills):
        life = lives.live(folder, "run", kind=kind, at=at)
        assert life.code == -9, (kind, undisturbed[1][at], life.errors)
        recover(lives, folder, undisturbed, ledger, NAMES[kind])


def test_killed_again_while_recovering(lives, folder, undisturbed, ledger, kills):
    chance = random.Random(11)
    for _ in range(max(2, kills // 8)):
        for _ in range(3):
            kind = chance.choice(["kill", "torn"])
            lives.live(folder, "run", kind=kind, at=chance.randrange(len(undisturbed[1])))
        recover(lives, folder, undisturbed, ledger, "kill -9 three times, recoveries too")


def test_killed_at_any_step_of_compacting(lives, folder, finished, undisturbed, ledger, kills):
    """Rows are in two files for a while; the same command again leaves each in one."""
    shutil.copytree(finished, folder / "calm")
    steps = lives.live(folder, "calm", verbs=("compact",)).steps
    for kind, at in points(steps, max(6, kills // 4)):
        shutil.copytree(undisturbed[0], finished, dirs_exist_ok=True)
        life = lives.live(folder, "run", verbs=("compact",), kind=kind, at=at)
        assert life.code == -9, (kind, steps[at], life.errors)
        between = lives.live(folder, "run", verbs=("score",))
        assert between.code == 0, between.errors
        life = lives.live(folder, "run", verbs=("compact", *VERBS))
        assert life.code == 0, life.errors
        assert len(committed(finished)) == len(committed(folder / "calm"))
        ledger.note("kill -9 at a step of compact", against(finished, undisturbed[0]), life.seconds)
        shutil.rmtree(finished)


@pytest.mark.parametrize("kind", ["full", "error"])
def test_a_disk_that_fails_at_any_step(lives, folder, undisturbed, ledger, kills, kind):
    """The run ends with one line that says what cannot be written, or goes on without it."""
    steps = [(at, step) for at, step in enumerate(undisturbed[1]) if step[0] != "os.remove"]
    chance = random.Random(3)
    for at, step in chance.sample(steps, min(max(6, kills // 4), len(steps))):
        life = lives.live(folder, "run", kind=kind, at=at)
        assert life.code in (0, 2), (step, life.errors)
        if life.code == 2:
            (line,) = life.errors.splitlines()
            assert line.startswith("passlaw: error: "), line
        recover(lives, folder, undisturbed, ledger, NAMES[kind])
