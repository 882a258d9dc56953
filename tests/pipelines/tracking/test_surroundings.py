"""Where results were made is said as far as it is known."""

import subprocess

from pipelines.tracking.surroundings import surroundings


def _git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_repository_is_known_by_its_commit_and_whether_it_was_changed(tmp_path):
    _git(tmp_path, "init")
    (tmp_path / "code.py").write_text("x = 1")
    _git(tmp_path, "add", "code.py")
    _git(tmp_path, "commit", "-m", "first")
    clean = surroundings(tmp_path)
    assert len(clean["passlaw.git_commit"]) == 40
    assert clean["mlflow.source.git.commit"] == clean["passlaw.git_commit"]
    assert clean["passlaw.git_dirty"] == "false"
    (tmp_path / "code.py").write_text("x = 2")
    assert surroundings(tmp_path)["passlaw.git_dirty"] == "true"


def test_no_repository_has_no_commit(tmp_path, monkeypatch):
    """Neither has a repository without commits, nor a machine without git."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "passlaw.git_commit" not in surroundings(tmp_path)
    _git(tmp_path, "init")
    assert "passlaw.git_dirty" not in surroundings(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(surroundings(tmp_path)) <= {"passlaw.host", "mlflow.user"}
