"""Errors of a sweep file: all of them, each with the line and column where it is."""

import copy

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import UserError
from pipelines.sweeps.config import load, load_all
from pipelines.sweeps.places import Node, Place, Source
from pipelines.sweeps.refusal import MOST_SHOWN, Complaint, SweepError
from pipelines.sweeps.yaml_text import read
from tests.pipelines.sweeps.sweep_cases import BASE, REFUSED

GOOD = """\
name: sums
models:
  - {name: small, engine: simulated, parameters: 10, rate: 0.1}
  - name: large
    engine: simulated
    parameters: 90
    rate: 0.2
tasks:
  - {name: multiply1, problems: 3}
decoding:
  temperature: 0.8
"""


@pytest.fixture
def refusal(tmp_path, monkeypatch):
    """Return what is said of a sweep file after some of its text was replaced."""
    monkeypatch.chdir(tmp_path)

    def lines(*changes, overrides=(), text=GOOD):
        for old, new in changes:
            assert text.count(old) == 1
            text = text.replace(old, new)
        (tmp_path / "sums.yaml").write_text(text)
        with pytest.raises(UserError) as caught:
            load_all((tmp_path / "sums.yaml").relative_to(tmp_path), overrides)
        return str(caught.value).splitlines()

    return lines


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  temperature", "  temprature", "11:3: decoding.temprature: unknown key; did you mean"),
        ("0.8", "hot", "11:16: decoding.temperature: is 'hot', must be a valid number"),
        ("rate: 0.1", "rate: 1.5", "3:60: models.0.rate: is 1.5, must be less than 1"),
        ("    rate: 0.2\n", "", "4:5: models.1.rate: required, but missing"),
        ("name: large", "name: small", "4:11: models.1.name: 'small' is used twice"),
        ("problems: 3", "source: web", "9:31: tasks.0.source: is 'web'; allowed are"),
        ("name: sums\n", "", "1:1: name: required, but missing"),
        ("  temperature: 0.8", "", "10:10: decoding: is None, must be a mapping"),
        ("name: sums", "name: [sums", "2:7: not valid YAML"),
        ("decoding:", "models:", "10:1: not valid YAML (key 'models' is given twice)"),
        ("decoding:", "fit: {hold_out: big}\ndecoding:", "10:17: fit.hold_out: 'big' is not a m"),
        ("decoding:", "seed: é\nb: 1\ndecoding:", "10:7: seed: is 'é', must be a valid integer"),
    ],
)
def test_each_is_at_its_line_and_column(refusal, old, new, said):
    assert refusal((old, new))[0].startswith(f"sums.yaml:{said}")


def test_a_check_of_several_fields_names_the_one_that_is_wrong(refusal):
    fixed = ("decoding:", "allocation: {n: 8}\nfit:\n  k: [1, 9]\ndecoding:")
    assert refusal(fixed) == [
        "sums.yaml:12:6: fit.k: 9 is larger than allocation.n = 8; raise n, or read coverage "
        "beyond n from the fitted law"
    ]


def test_all_are_said_in_the_order_of_the_file(refusal):
    lines = refusal(("rate: 0.1", "rte: 0.1"), ("rate: 0.2", "rate: 2"), ("0.8", "-1"))
    assert [line.split(" ")[0] for line in lines] == [
        "sums.yaml:3:54:", "sums.yaml:7:11:", "sums.yaml:11:16:",
    ]  # fmt: skip


def test_of_very_many_the_first_are_said_and_the_rest_counted(refusal):
    bad = "".join(f"wrong{number}: 1\n" for number in range(14))
    lines = refusal(text=GOOD + bad)
    assert len(lines) == MOST_SHOWN + 1
    assert lines[-1] == "... and 4 more errors"


def test_an_engine_at_the_top_is_refused_once_for_all_models(refusal):
    text = GOOD.replace("engine: simulated, ", "").replace("    engine: simulated\n", "")
    assert len(refusal(text="engine: warp\n" + text)) == 1


def test_a_value_from_an_override_is_found_there(refusal):
    lines = refusal(overrides=["decoding.temperature=hot", "models.large.rate=3"])
    assert lines == [
        "-o models.large.rate: models.1.rate: is 3, must be less than 1",
        "-o decoding.temperature: decoding.temperature: is 'hot', must be a valid number",
    ]


def test_a_value_from_a_grid_is_found_there(refusal):
    grid = ("decoding:", "grid: {decoding.temperature: [0.2, hot]}\ndecoding:")
    assert refusal(grid) == [
        "sums.yaml:10:36: decoding.temperature: is 'hot', must be a valid number"
    ]


def test_a_wrong_value_that_all_points_share_is_said_once(refusal):
    grid = ("decoding:", "grid: {decoding.top_p: [0.2, 0.9, 1]}\ndecoding:")
    assert len(refusal(grid, ("rate: 0.1", "rate: 1.5"))) == 1


def test_a_value_from_an_included_file_is_found_there(refusal, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "base.yaml").write_text("fit:\n  level: 2\n")
    assert refusal(("name: sums", "name: sums\ninclude: parts/base.yaml")) == [
        "parts/base.yaml:2:10: fit.level: is 2, must be less than 1"
    ]


def test_a_dictionary_of_options_may_have_keys_that_are_kinds(refusal):
    """A key `file` or `math` is no kind of a section where a user chooses the keys."""
    task = ("{name: multiply1, problems: 3}", "{name: q, path: q, fields: {math: x}}")
    assert refusal(task)[0].startswith("sums.yaml:9:39: tasks.0.fields.math.[key]: is 'math'")


class TestExcerpts:
    def test_a_caret_stands_below_the_value(self):
        place = read(Source(name="f", text="a: {b: [1, hot]}")).place_of(("a", "b", 1))
        assert place.excerpt() == ["  1 | a: {b: [1, hot]}", "    |            ^^^"]

    def test_a_tab_in_front_keeps_the_caret_in_place(self):
        place = read(Source(name="f", text='{a: "\t", b: 1}')).place_of(("b",), key=True)
        assert place.excerpt()[1] == "    |      \t   ^"

    @pytest.mark.parametrize(
        "address", ["http://user:secret@host/v1", "https://host/v1?key=secret", "s3://secret@b"]
    )
    def test_a_secret_in_an_address_is_starred(self, address):
        place = read(Source(name="f", text=f"run: {address}")).place_of(("run",))
        assert "secret" not in place.excerpt()[0]
        assert len(place.excerpt()[0]) == len(f"  1 | run: {address}")

    def test_an_override_has_none(self):
        assert Place(source=Source(name="-o seed")).excerpt() == []


@pytest.mark.parametrize("change", [change for change, _ in REFUSED], ids=lambda change: None)
def test_every_refusal_of_a_file_has_a_line(tmp_path, change):
    """Whatever is wrong, wherever a check for it is."""
    path = tmp_path / "sums.yaml"
    path.write_text(yaml.safe_dump(copy.deepcopy(BASE) | change, sort_keys=False))
    with pytest.raises(SweepError) as caught:
        load(path)
    for complaint in caught.value.complaints:
        assert complaint.place.line is not None
        assert complaint.place.excerpt()


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("abé:#'-", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab1é", min_size=1), inner),
    max_leaves=8,
)


@given(TREES, st.booleans())
@settings(deadline=None)
def test_reading_keeps_every_value_and_its_place(tree, flow):
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    root = read(Source(name="f", text=text))
    assert root.plain() == tree
    _check(root, text.splitlines())


def _check(node, lines):
    if isinstance(node.value, bool | int | str) and node.place.width > 1:
        begins = lines[node.place.line - 1][node.place.column - 1 :]
        piece = begins[: node.place.width]
        assert yaml.safe_load(piece) == node.value
    for inner in [*node.items.values(), *node.members]:
        _check(inner, lines)


class TestYaml:
    def test_a_merge_key_brings_the_places_of_what_it_merges(self):
        root = read(Source(name="f", text="a: &a {x: 1}\nb: {<<: *a, y: 2}\n"))
        assert root.plain()["b"] == {"x": 1, "y": 2}
        assert str(root.place_of(("b", "x"))) == "f:1:11"

    def test_an_alias_with_merged_keys_may_be_used_again(self):
        root = read(Source(name="f", text="a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: [*b, *b]\n"))
        assert root.plain()["c"] == [{"x": 2}, {"x": 2}]

    @pytest.mark.parametrize("text", ["a: &a [*a]", "&a {b: *a}", "[" * 2000])
    def test_what_holds_itself_is_refused(self, text):
        with pytest.raises(SweepError, match="an alias inside what it stands for"):
            read(Source(name="f", text=text))

    @pytest.mark.parametrize("text", ["? [a]\n: 1", "{{a: 1}: 2}"])
    def test_a_key_that_is_no_word_is_refused(self, text):
        with pytest.raises(SweepError, match=r"f:1:\d: .*a key must be a single word"):
            read(Source(name="f", text=text))

    def test_keys_and_values_that_json_does_not_know_are_text(self):
        root = read(Source(name="f", text="1: 2024-05-01\ntrue: !!binary YQ==\n"))
        assert root.plain() == {"1": "2024-05-01", "true": "b'a'"}


def test_complaints_are_one_for_one_mistake():
    place = Place(source=Source(name="f", text="a"), line=1)
    alike = [Complaint(place=place, text=f"models.{at}.engine: is 'x'") for at in range(3)]
    other = Complaint(place=place, text="models.0.path: required, but missing")
    assert [c.text for c in SweepError([*alike, other]).complaints] == [
        "models.0.engine: is 'x'", "models.0.path: required, but missing",
    ]  # fmt: skip


def test_a_node_is_not_changed_by_what_is_put_into_it():
    place = Place(source=Source(name="f"))
    node = Node.of({"a": {"b": 1}}, place)
    node.put({"c": Node.of(2, place)})
    node.without("a")
    assert node.plain() == {"a": {"b": 1}}
