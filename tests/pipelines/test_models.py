"""Models found on disk: how large, which bytes, and what is wrong with a damaged one."""

import json
import struct

import numpy as np
import pytest

from pipelines.errors import UserError
from pipelines.models import find
from pipelines.sweeps.engine_sections import SimulatedEngine, TransformersEngine

TENSORS = {"embed": (10, 4), "layer.weight": (4, 4), "norm": (4,), "scale": ()}
PARAMETERS = 40 + 16 + 4 + 1


def safetensors(tensors=TENSORS, metadata=None):
    """The bytes of a safetensors file, from the format's description."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, shape in tensors.items():
        begin = len(data)
        data += np.ones(shape, dtype=np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "checkpoint"
    made.mkdir()
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(safetensors(metadata={"format": "pt"}))
    return made


def model(path, **change):
    return TransformersEngine(name="m", path=str(path), **change)


def test_parameters_are_counted_in_the_headers(folder):
    assert find(model(folder)).parameters == PARAMETERS
    (folder / "more.safetensors").write_bytes(safetensors({"head": (3, 5)}))
    assert find(model(folder)).parameters == PARAMETERS + 15
    assert find(model(folder, parameters=7)).parameters == 7


def test_a_ladder_rung_is_found_by_name(folder, monkeypatch):
    rungs = {"7k": folder}
    monkeypatch.setattr("pipelines.models.ladder.checkpoint", rungs.__getitem__)
    found = find(model("ladder:7k"))
    assert (found.parameters, found.model.path) == (PARAMETERS, str(folder))
    assert found.fingerprint == find(model(folder)).fingerprint


def test_an_unknown_rung_is_named():
    with pytest.raises(UserError, match="model m: path ladder:9x: "):
        find(model("ladder:9x"))


def test_the_home_folder_is_found(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert find(model("~/checkpoint")).model.path == str(folder)


class TestFingerprint:
    def test_the_same_bytes_elsewhere_have_the_same(self, folder):
        before = find(model(folder)).fingerprint
        assert find(model(folder, batch=1, device="cpu")).fingerprint == before
        moved = folder.rename(folder.with_name("moved"))
        assert find(model(moved)).fingerprint == before

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
    def test_it_changes_with_any_file_of_the_model(self, folder, name):
        (folder / "tokenizer.json").write_text("{}")
        before = find(model(folder)).fingerprint
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)
        assert find(model(folder)).fingerprint != before

    def test_notes_beside_the_model_change_nothing(self, folder):
        before = find(model(folder)).fingerprint
        (folder / "README.md").write_text("hello")
        (folder / ".cache").write_text("x")
        (folder / "runs").mkdir()
        assert find(model(folder)).fingerprint == before

    def test_a_large_file_is_told_by_its_size_beginning_and_end(self, folder, monkeypatch):
        monkeypatch.setattr("pipelines.models._WHOLE", 2**20)
        path = folder / "vocab.bin"
        prints = set()
        for size, at in ((3 * 2**20, 0), (3 * 2**20, -1), (3 * 2**20 + 1, 0), (3 * 2**20, 2**20)):
            content = bytearray(size)
            content[at] = 1
            path.write_bytes(content)
            prints.add(find(model(folder)).fingerprint)
        assert len(prints) == 4


class TestRefused:
    def test_a_missing_folder(self, tmp_path):
        with pytest.raises(UserError, match=r"model m: path .*nothing: no such folder; give a"):
            find(model(tmp_path / "nothing"))
        with pytest.raises(UserError, match="no such folder"):
            find(model("./nothing"))

    def test_no_config(self, folder):
        (folder / "config.json").unlink()
        with pytest.raises(UserError, match=r"model m: .*checkpoint has no config\.json"):
            find(model(folder))

    def test_a_name_on_the_hub_without_its_size(self):
        with pytest.raises(UserError, match="model m: parameters: needed for org/name"):
            find(model("org/name"))
        found = find(model("org/name", parameters=5))
        assert (found.parameters, found.model.path) == (5, "org/name")
        assert found.fingerprint != find(model("org/other", parameters=5)).fingerprint

    def test_no_weights_to_count(self, folder):
        (folder / "model.safetensors").unlink()
        with pytest.raises(UserError, match=r"parameters: needed, because .* has no \.safetensors"):
            find(model(folder))
        assert find(model(folder, parameters=3)).parameters == 3

    @pytest.mark.parametrize("length", [0, 4, 8, 20, -1])
    def test_truncated_weights(self, folder, length):
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(UserError, match=r"model m: .*model\.safetensors: corrupt checkpoint"):
            find(model(folder))

    @pytest.mark.parametrize(
        "header",
        [
            b"not json", b"[]", b"3", b'"x"', b'{"a": 3}', b'{"a": {}}', b"\xff\xfe",
            b'{"a": {"shape": [1], "data_offsets": 3}}',
            b'{"a": {"shape": 1, "data_offsets": [0, 0]}}',
            b'{"a": {"shape": ["x"], "data_offsets": [0, 0]}}',
        ],
    )  # fmt: skip
    def test_a_header_that_is_none(self, folder, header):
        content = struct.pack("<Q", len(header)) + header
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(UserError, match=r"corrupt checkpoint .*; copy or download it again"):
            find(model(folder))

    def test_more_bytes_than_the_header_says(self, folder):
        with (folder / "model.safetensors").open("ab") as file:
            file.write(b"x")
        with pytest.raises(UserError, match=r"it has \d+ bytes, its header says \d+"):
            find(model(folder))

    def test_a_header_longer_than_memory(self, folder):
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
        with pytest.raises(UserError, match="its header is longer than the file"):
            find(model(folder))


class TestSimulated:
    def simulated(self, **change):
        values = {"engine": "simulated", "name": "s", "parameters": 9, "rate": 0.5}
        return SimulatedEngine(**values | change)

    def test_it_is_what_it_says(self):
        found = find(self.simulated())
        assert (found.parameters, found.model) == (9, self.simulated())

    def test_speed_is_no_part_of_what_it_is(self):
        one = find(self.simulated()).fingerprint
        assert find(self.simulated(samples_per_second=5.0)).fingerprint == one
        assert find(self.simulated(rate=0.4)).fingerprint != one
        assert find(self.simulated(spread=0.4)).fingerprint != one
