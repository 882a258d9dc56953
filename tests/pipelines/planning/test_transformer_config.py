"""Parameters counted from a configuration, against published numbers and real weights."""

import json

import pytest

from pipelines import ladder
from pipelines.errors import UserError
from pipelines.planning.transformer_config import read_config
from tests.pipelines.planning.known_models import KNOWN


def write(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_published_numbers_of_parameters_are_met(tmp_path, name):
    config, parameters, active = KNOWN[name]
    found = read_config(write(tmp_path, **config))
    assert found.parameters == parameters
    assert found.transformer.parameters == active


def test_the_ladders_own_weights_are_counted_by_their_configuration():
    """A safetensors header says how many numbers there really are."""
    folder = ladder.checkpoint("29k")
    header = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(header[:8], "little")
    tensors = json.loads(header[8 : 8 + length])
    tensors.pop("__metadata__", None)
    numbers = 0
    for tensor in tensors.values():
        size = 1
        for side in tensor["shape"]:
            size *= side
        numbers += size
    assert read_config(folder).parameters == numbers


def test_attention_is_as_wide_as_all_heads(tmp_path):
    config, *_ = KNOWN["Qwen3-0.6B"]
    found = read_config(write(tmp_path, **config)).transformer
    assert (found.layers, found.width) == (28, 16 * 128)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no configuration"),
        ("[1, 2]", "no configuration"),
        ('{"hidden_size": 3}', "model_type"),
        ('{"model_type": "mamba"}', "'mamba' is not among llama"),
        ('{"model_type": "llama", "hidden_size": 8}', "num_hidden_layers"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_a_way_out(tmp_path, text, why):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=why) as caught:
        read_config(tmp_path)
    assert "--parameters" in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="gone"):
        read_config(tmp_path / "gone.json")
