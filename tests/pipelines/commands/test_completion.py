"""The Tab key: what the shells run, and what they are answered."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.command import ENVIRONMENT, passlaw


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_asks_passlaw(tmp_path, shell):
    done = passlaw(tmp_path, "completion", shell)
    assert done.returncode == 0, done.stderr
    assert "_PASSLAW_COMPLETE" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash on this machine")
def test_bash_takes_the_script(tmp_path):
    script = passlaw(tmp_path, "completion", "bash").stdout
    checked = subprocess.run(["bash", "-n"], input=script, text=True, check=False)
    assert checked.returncode == 0


def completed(words, at):
    asked = {"_PASSLAW_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    # Click takes the variable's name from the program's; `python -m pipelines` has another one.
    program = "import sys; sys.argv[0] = 'passlaw'; from pipelines.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRONMENT | os.environ | asked,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_verbs_are_completed():
    assert completed("passlaw rep", 1) == ["report", "replay"]


def test_options_are_completed():
    assert "--skip-if-running" in completed("passlaw run --s", 2)


def test_another_shell_is_refused_in_one_line(tmp_path):
    done = passlaw(tmp_path, "completion", "tcsh")
    assert done.returncode == 2
    assert "tcsh" in done.stderr
    assert "Traceback" not in done.stderr
