"""Storage: a folder, a file system in memory and an S3 server keep the same promises."""

import errno
import os
import pickle
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from pipelines import object_store
from pipelines.errors import UserError
from pipelines.object_store import ObjectStore
from pipelines.storage import Folder, several, storage_at
from tests.pipelines.s3_server import PAGE, s3  # noqa: F401 # a fixture

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["folder", "memory", "s3"])
def storage(request, tmp_path):
    name = uuid.uuid4().hex
    match request.param:
        case "folder":
            return storage_at(str(tmp_path / "run"))
        case "memory":
            pytest.importorskip(
                "fsspec", reason="fsspec is not installed: pip install 'passlaw[s3]'"
            )
            return storage_at(f"memory://{name}/run")
    return storage_at(request.getfixturevalue("s3").url(f"{name}/run"))


class TestPromises:
    def test_what_was_put_is_read(self, storage):
        storage.replace("a/b=c/one.txt", b"one")
        assert storage.read("a/b=c/one.txt") == b"one"
        assert storage.exists("a/b=c/one.txt")

    def test_a_file_is_replaced_whole(self, storage):
        for content in (b"long and old", b"", b"new"):
            storage.replace("x", content)
            assert storage.read("x") == content

    def test_the_first_to_create_wins(self, storage):
        storage.probe()
        assert storage.create("a/x", b"first")
        assert not storage.create("a/x", b"second")
        assert storage.read("a/x") == b"first"

    def test_racers_create_a_file_once(self, storage):
        storage.probe()
        racers, won = 8, []
        start = threading.Barrier(racers)

        def race(index):
            start.wait()
            won.extend([index] * storage.create("x", str(index).encode()))

        threads = [threading.Thread(target=race, args=(index,)) for index in range(racers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if storage.absolute.startswith("memory:"):
            return  # its check and its write are two steps; nobody shares it but this process
        assert len(won) == 1
        assert storage.read("x") == str(won[0]).encode()

    @pytest.mark.parametrize(
        ("size", "end"), [(1, b"e"), (3, b"ree"), (5, b"three"), (9, b"three")]
    )
    def test_the_end_of_a_file(self, storage, size, end):
        storage.replace("x", b"three")
        assert storage.tail("x", size) == end

    def test_an_empty_file_is_read_and_has_an_empty_end(self, storage):
        storage.replace("x", b"")
        assert (storage.read("x"), storage.tail("x", 10)) == (b"", b"")

    def test_a_part_of_a_file(self, storage):
        storage.replace("x", bytes(range(200)))
        with storage.open("x") as file:
            file.seek(100)
            assert file.read(3) == bytes([100, 101, 102])
            assert file.seek(0, os.SEEK_END) == 200

    def test_names_and_keys_are_listed_without_hidden_ones(self, storage):
        for key in ("b/2", "b/1", "b/.hidden", "b/c/3", "top", ".probe", "bb/4"):
            storage.replace(key, b"")
        assert storage.names() == ["b", "bb", "top"]
        assert storage.names("b") == ["1", "2", "c"]
        assert storage.keys("b") == ["b/1", "b/2", "b/c/3"]

    def test_what_is_not_there(self, storage):
        storage.replace("a/x", b"")
        assert storage.names("none") == storage.keys("none") == []
        assert not storage.exists("none")
        assert not storage.exists("a"), "a folder is no file"
        storage.remove("none")
        for ask in (
            storage.read,
            lambda key: storage.tail(key, 3),
            lambda key: storage.move(key, "y"),
        ):
            with pytest.raises(FileNotFoundError):
                ask("none")

    def test_a_file_is_moved_and_removed(self, storage):
        storage.replace("a/x", b"x")
        storage.move("a/x", "b/c/y")
        assert (storage.keys("a"), storage.read("b/c/y")) == ([], b"x")
        storage.remove("b/c/y")
        assert storage.keys("b") == []

    def test_probing_leaves_nothing(self, storage):
        storage.probe()
        storage.probe()
        storage.clean(0.0)
        assert storage.names() == []
        if isinstance(storage, Folder):
            assert list(storage.root.iterdir()) == []

    def test_a_copy_in_another_process_is_the_same_place(self, storage):
        storage.probe()
        storage.replace("x", b"x")
        copy = pickle.loads(pickle.dumps(storage))
        assert copy.read("x") == b"x"
        assert not copy.create("x", b"y")

    def test_a_file_is_where_its_url_says(self, storage):
        storage.replace("a/x", b"x")
        folder, _, name = storage.url("a/x").rpartition("/")
        assert storage_at(folder).read(name) == b"x"


class TestFolder:
    def test_needs_no_other_library(self, tmp_path):
        """A laptop pays for no object store."""
        script = (
            "import sys; from pipelines.storage import storage_at\n"
            "store = storage_at(sys.argv[1]); store.probe(); store.create('x', b'')\n"
            "print(sorted({'fsspec', 's3fs', 'botocore'} & set(sys.modules)))"
        )
        command = [sys.executable, "-c", script, tmp_path]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    def test_a_relative_one_is_found_from_another_working_directory(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        folder = Folder(Path("run"))
        folder.replace("x", b"x")
        sent = pickle.dumps(folder)
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert pickle.loads(sent).read("x") == b"x"

    def test_a_file_url_is_a_folder(self, tmp_path):
        assert storage_at(f"file://{tmp_path}") == Folder(tmp_path)

    def test_a_link_whose_answer_was_lost_is_still_ours(self, tmp_path, monkeypatch):
        """NFS: the server made the link, the reply was lost, the client asked again."""
        link = os.link

        def twice(source, target):
            link(source, target)
            link(source, target)

        monkeypatch.setattr(os, "link", twice)
        folder = Folder(tmp_path)
        assert folder.create("x", b"mine")
        assert folder.read("x") == b"mine"

    @pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
    def test_without_hard_links_the_first_still_wins(self, tmp_path, monkeypatch, number):
        def refuse(source, target):
            raise OSError(number, "no hard links here")

        monkeypatch.setattr(os, "link", refuse)
        folder = Folder(tmp_path)
        assert folder.create("x", b"first")
        assert not folder.create("x", b"second")
        assert [path.name for path in tmp_path.iterdir()] == ["x"]
        assert folder.read("x") == b"first"

    @pytest.mark.parametrize("step", ["fsync", "link", "replace"])
    def test_a_full_disk_is_one_line_and_leaves_nothing(self, tmp_path, monkeypatch, step):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path if step == "replace" else os, step, full)
        folder = Folder(tmp_path)
        write = folder.replace if step == "replace" else folder.create
        with pytest.raises(UserError, match=r"^.*x: cannot be written \(No space left") as error:
            write("x", b"content")
        assert "\n" not in str(error.value)
        assert list(tmp_path.iterdir()) == []

    def test_old_unfinished_files_go_by_the_clock_of_the_disk(self, tmp_path, monkeypatch):
        """The clock of this machine may be a day off that of the file server."""
        folder = Folder(tmp_path)
        old, new = tmp_path / ".a.1.tmp", tmp_path / ".b.2.tmp"
        for path, age in ((old, 3_700), (new, 3_500)):
            path.touch()
            os.utime(path, (time.time() - age,) * 2)
        for jump in (86_400, -86_400):
            monkeypatch.setattr(time, "time", lambda jump=jump: 1e9 + jump)
            folder.clean(3_600)
        assert [path.name for path in tmp_path.iterdir()] == [new.name]


class TestObjectStore:
    def test_a_listing_has_as_many_pages_as_it_needs(self, s3):  # noqa: F811
        """Not one of several pages is lost."""
        storage = storage_at(s3.url(uuid.uuid4().hex))
        keys = [f"a/{number:04d}" for number in range(5 * PAGE // 2)]
        assert all(several(lambda key: storage.create(key, b""), keys, storage.at_once))
        assert storage.keys("a") == keys
        assert storage.names("a") == [key.removeprefix("a/") for key in keys]

    def test_reading_is_one_request(self, s3, monkeypatch):  # noqa: F811
        storage = storage_at(s3.url(uuid.uuid4().hex))
        storage.replace("x", b"x" * 1_000)
        system, _ = storage._system
        asked = []
        call = type(system)._call_s3

        async def counted(self, method, *arguments, **options):
            asked.append(method)
            return await call(self, method, *arguments, **options)

        monkeypatch.setattr(type(system), "_call_s3", counted)
        storage.tail("x", 100)
        storage.read("x")
        assert asked == ["get_object"] * 2

    def test_a_server_without_conditional_puts_is_noticed(self, s3, monkeypatch, caplog):  # noqa: F811
        """It takes the PUT and ignores its condition; the one who comes later still loses."""
        storage = storage_at(s3.url(uuid.uuid4().hex))
        put = object_store._put_new
        monkeypatch.setattr(object_store, "_put_new", lambda *given: put(*given[:3], False))
        storage.probe()
        assert "has no conditional PUT" in caplog.text
        copy = pickle.loads(pickle.dumps(storage))
        assert copy.create("x", b"first")
        assert not copy.create("x", b"second")
        assert copy.read("x") == b"first"

    def test_no_such_bucket(self, s3):  # noqa: F811
        storage = storage_at("s3://nobody-made-it/run")
        for ask in (storage.probe, storage.names, lambda: storage.read("x")):
            with pytest.raises(
                UserError, match=r"^s3://nobody-made-it/run: there is no such bucket"
            ):
                ask()

    def test_keys_that_the_server_does_not_know(self, s3):  # noqa: F811
        storage = storage_at(s3.url("run"))
        s3.check_keys(after=0)
        try:
            for ask in (storage.probe, storage.names, lambda: storage.read("x")):
                with pytest.raises(UserError, match=r"run: access denied .*AWS_PROFILE") as error:
                    ask()
                assert "\n" not in str(error.value)
        finally:
            s3.check_keys(after=10**9)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"AWS_ACCESS_KEY_ID": None}, "access denied (Unable to locate credentials); give "),
            (
                {"AWS_PROFILE": "none"},
                "access denied (The config profile (none) could not be found)",
            ),
            ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "the server does not answer (Could not "),
        ],
        ids=["no keys", "no profile", "no server"],
    )
    def test_an_environment_that_is_wrong(self, s3, change, message):  # noqa: F811
        """Each in a process of its own, because connections outlive the environment."""
        script = (
            "import sys; from pipelines.storage import storage_at; storage_at(sys.argv[1]).probe()"
        )
        environment = os.environ | {"AWS_MAX_ATTEMPTS": "1"} | change
        done = subprocess.run(
            [sys.executable, "-c", script, s3.url("run")],
            cwd=ROOT,
            env={name: value for name, value in environment.items() if value is not None},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr.splitlines()[-1].startswith(
            f"pipelines.errors.UserError: s3://bucket/run: {message}"
        )

    def test_a_server_that_comes_back_is_waited_for(self, monkeypatch):
        pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'passlaw[s3]'")
        storage = storage_at(f"memory://{uuid.uuid4().hex}")
        storage.replace("x", b"x")
        slept, answers = [], [TimeoutError("slow"), ConnectionResetError("gone"), b"x"]

        def answer(path, start):
            said = answers.pop(0)
            if isinstance(said, Exception):
                raise said
            return said

        monkeypatch.setattr(storage._system[0], "cat_file", answer)
        monkeypatch.setattr(object_store.time, "sleep", slept.append)
        assert storage.read("x") == b"x"
        assert slept == [0.5, 1.0]

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("nothing://x/y", "nothing://x/y: .*Protocol not known"),
            ("s3://x/y", r"needs a library that is not installed; pip install 'passlaw\[s3\]'"),
        ],
    )
    def test_no_library(self, monkeypatch, url, message):
        pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'passlaw[s3]'")
        from fsspec.registry import _registry

        monkeypatch.setitem(sys.modules, "s3fs", None)
        monkeypatch.delitem(_registry, "s3", raising=False)
        with pytest.raises(UserError, match=message):
            storage_at(url).probe()


class TestSeveral:
    @pytest.mark.parametrize("at_once", [1, 4])
    def test_results_come_in_order(self, at_once):
        def slow(number):
            time.sleep(0.01 * (number % 3))
            return number * number

        assert list(several(slow, range(20), at_once)) == [number**2 for number in range(20)]

    @pytest.mark.parametrize("at_once", [1, 4])
    def test_it_is_only_a_few_calls_ahead(self, at_once):
        begun = []
        results = several(begun.append, range(1_000), at_once)
        next(results)
        results.close()
        assert len(begun) <= 2 * at_once + 1

    def test_an_error_is_that_of_its_item(self):
        with pytest.raises(ZeroDivisionError):
            list(several(lambda number: 1 / number, [1, 0, 1], 4))


def test_an_object_store_says_its_url():
    storage = ObjectStore("s3://bucket/runs/x/")
    assert (str(storage), storage.absolute) == ("s3://bucket/runs/x",) * 2
    assert storage.url("report.html") == "s3://bucket/runs/x/report.html"
