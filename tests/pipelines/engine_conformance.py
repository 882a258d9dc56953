"""What every engine promises, as tests: subclass `EngineConformance` and say how yours is built.

    class TestMine(EngineConformance):
        @pytest.fixture(scope="class")
        @classmethod
        def subject(cls):
            build = lambda: MyEngine(...)
            yield Subject(engine=build(), fresh=build, prompts=(...), decoding=Decoding(...))

What an engine cannot do, its `Subject` says, and then the test is that the engine says so too.
Knows requests and tables; not how any engine works.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from operators.schemas import FINISH_REASONS, RECORDED, SAMPLES, check
from pipelines import parquet
from pipelines.engines.protocol import Engine, Request
from pipelines.errors import UserError
from pipelines.sweeps.config import Decoding
from pipelines.units import seeds, stream
from tests.pipelines.sample_statistics import chance_of_overlap, frequencies_p_value

TASK = "conformance"
MOST = 4_096
"""No test asks for a sample id from here on."""
AGAIN = " again"
"""Added to a problem's id, names a second problem with the same prompt."""
RUN_SEED, CELL_KEY = 7, "conformance"
FALSE_ALARM = 1e-6
"""Chance that a statistical test fails on an engine that is right."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An engine to test, what to ask it, and what it cannot do."""

    engine: Engine
    fresh: Callable[[], Engine]
    """Builds another one, of the same model, to be closed."""
    prompts: tuple[str, ...]
    """At least three. Each is also its problem's id. Completions of the first vary much; those of
    the last have few values, so that their frequencies can be counted."""
    decoding: Decoding
    """Temperature 1 and nothing else that bends the distribution; most completions end on their
    own, after two characters and two tokens or more."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """Of prompts, for engines that have to know one."""
    impossible: str | None = None
    """A prompt, and problem, that it cannot take; None: it takes any."""
    chats: bool = False
    """Whether it takes conversations."""
    other_decodings: bool = True
    """Whether it draws under any decoding, not under that of `decoding` alone."""
    logprobs: bool = True
    """Whether it records `sum_logprob`."""
    likelihood: bool = True
    """Whether it has that verb."""
    bent_likelihood: bool = True
    """Whether that verb knows temperature and top-k."""
    rounding: float = 0.0
    """Share of samples that another batch may change, because the model rounds otherwise in it."""

    def request(self, prompt: str, start: int = 0, stop: int = 64, suffix: str = "") -> Request:
        """Return a request for sample ids [start, stop), as the pipeline would make it."""
        name = prompt + suffix
        return Request(
            task=TASK,
            problem_id=name,
            prompt=prompt,
            sample_ids=np.arange(start, stop, dtype=np.int64),
            seeds=seeds(RUN_SEED, CELL_KEY, name, start, stop),
            stream=stream(RUN_SEED, CELL_KEY, name),
            answer=self.answers.get(prompt),
        )

    def draw(
        self, *requests: Request, decoding: Decoding | None = None, **change: object
    ) -> pa.Table:
        """Draw under the subject's decoding, changed."""
        decoding = (decoding or self.decoding).model_copy(update=change)
        return self.engine.generate(requests, decoding)

    @property
    def seeded(self) -> bool:
        """Whether a sample's seed draws it again."""
        return self.engine.facts()["seeding"] == "sample"

    def same(self, found: pa.Table, expected: pa.Table) -> bool:
        """Whether two draws of the same samples agree, but for what rounding may change."""
        assert keys(found) == keys(expected)
        if self.rounding == 0:
            names = [name for name in SAMPLES.names if name not in RECORDED]
            return found.select(names).equals(expected.select(names)) and all(
                np.allclose(column(found, name), column(expected, name), atol=1e-4, equal_nan=True)
                for name in RECORDED
            )
        differ = pc.not_equal(found["completion"], expected["completion"])
        return bool(pc.sum(differ).as_py() <= self.rounding * found.num_rows)


def keys(table: pa.Table) -> list[tuple[str, int]]:
    """Return the problem and sample id of each row."""
    names = table["problem_id"].to_pylist()
    return list(zip(names, table["sample_id"].to_pylist(), strict=True))


def column(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Return a recorded column, NaN where it is null."""
    return np.array(table[name].to_pylist(), dtype=float)


def expected_keys(requests: Sequence[Request]) -> list[tuple[str, int]]:
    """Return the rows that requests ask for, in order."""
    return [(each.problem_id, i) for each in requests for i in each.sample_ids.tolist()]


def cut(text: str, stops: Sequence[str]) -> str:
    """Return a text up to the first of some strings."""
    places = [text.find(stop) for stop in stops if stop in text]
    return text[: min(places)] if places else text


def common_stops(texts: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return one, two and longer stop strings that completions do contain, not at their start."""
    letters = Counter(letter for text in texts for letter in set(text[1:]))
    pairs = Counter(text[at : at + 2] for text in texts for at in range(1, len(text) - 1))
    likely = [letter for letter, _ in letters.most_common(2)]
    found = [(likely[0],), tuple(likely)]
    if pairs:
        found.append((pairs.most_common(1)[0][0],))
    return tuple(found)


class EngineConformance:
    """The tests. A subclass has a fixture `subject`."""

    # ---------------------------------------------------------------- rows

    @pytest.mark.parametrize("n", [1, 2, 7, 1_000])
    def test_n_samples_are_n_rows(self, subject, n):
        request = subject.request(subject.prompts[0], 0, n)
        table = subject.draw(request)
        assert keys(table) == expected_keys([request])

    def test_rows_are_in_the_order_of_requests_and_sample_ids(self, subject):
        last, first = subject.prompts[-1], subject.prompts[0]
        asked = [
            subject.request(last, 5, 12),
            subject.request(first, 1_000, 1_003),
            subject.request(first, 0, 4, AGAIN),
        ]
        assert keys(subject.draw(*asked)) == expected_keys(asked)

    def test_no_requests_are_no_rows(self, subject):
        assert subject.draw().equals(SAMPLES.empty_table())

    def test_the_table_has_the_schema(self, subject):
        table = subject.draw(*map(subject.request, subject.prompts))
        assert check(table, SAMPLES, "samples").equals(table)
        assert table.schema.equals(SAMPLES)
        assert set(table["finish_reason"].to_pylist()) <= set(FINISH_REASONS)
        assert pc.min(table["prompt_tokens"]).as_py() > 0
        assert pc.min(table["completion_tokens"]).as_py() >= 0
        assert pc.max(table["completion_tokens"]).as_py() <= subject.decoding.max_tokens

    def test_a_reason_is_given_for_errors_and_for_nothing_else(self, subject):
        asked = [*subject.prompts, *([subject.impossible] if subject.impossible else [])]
        table = subject.draw(*map(subject.request, asked))
        failed = pc.equal(table["finish_reason"], "error")
        assert pc.is_valid(table["error"]).equals(failed)
        assert "" not in table["error"].to_pylist()

    def test_nothing_recorded_is_nan_or_infinite(self, subject):
        table = subject.draw(*map(subject.request, subject.prompts))
        for name in RECORDED:
            assert pc.all(pc.is_finite(table[name]), min_count=0).as_py()
        recorded = table.filter(pc.not_equal(table["finish_reason"], "error"))["sum_logprob"]
        assert (recorded.null_count < len(recorded)) == subject.logprobs

    # ---------------------------------------------------------------- seeds

    def test_a_sample_is_the_same_in_any_batch(self, subject):
        """Whatever it is drawn with, in whatever order, and however its unit was split."""
        if not subject.seeded:
            pytest.skip("its seeds do not draw a sample again, as facts() says")
        asked = [subject.request(prompt, 3, 51) for prompt in subject.prompts]
        whole = subject.draw(*asked)
        pieces = [
            subject.request(prompt, start, stop)
            for start, stop in ((20, 51), (3, 20))
            for prompt in reversed(subject.prompts)
        ]
        for parts in (
            [subject.draw(*pieces)],
            [subject.draw(piece) for piece in pieces],
            [subject.draw(*pieces[:2]), subject.draw(*pieces[2:])],
        ):
            table = pa.concat_tables(parts)
            order = {key: at for at, key in enumerate(keys(table))}
            again = table.take([order[key] for key in keys(whole)])
            assert subject.same(again, whole)

    def test_the_column_seed_says_what_facts_say(self, subject):
        """Every sample its own; or none, where none would draw the sample again."""
        table = subject.draw(*(subject.request(prompt, 0, 300) for prompt in subject.prompts))
        if subject.seeded:
            assert table["seed"].null_count == 0
            assert pc.count_distinct(table["seed"]).as_py() == table.num_rows
        else:
            assert table["seed"].null_count == table.num_rows

    def test_two_blocks_of_ids_share_no_more_than_chance(self, subject):
        """Neighbouring units of one problem: engines that number seeds would repeat samples."""
        prompt = subject.prompts[0]
        blocks = [subject.request(prompt, 0, 512), subject.request(prompt, 512, 1_024)]
        apart = pa.concat_tables(subject.draw(block) for block in blocks)
        for table in (apart, subject.draw(*blocks)):
            texts = table["completion"].to_pylist()
            assert chance_of_overlap(texts[:512], texts[512:]) > FALSE_ALARM

    def test_two_problems_share_no_more_than_chance(self, subject):
        """With the same prompt and the same sample ids."""
        prompt = subject.prompts[0]
        table = subject.draw(
            subject.request(prompt, 0, 512), subject.request(prompt, 0, 512, AGAIN)
        )
        texts = table["completion"].to_pylist()
        assert chance_of_overlap(texts[:512], texts[512:]) > FALSE_ALARM

    # ---------------------------------------------------------------- decoding

    def test_a_decoding_that_it_cannot_draw_under_is_refused(self, subject):
        changes = {"stop": ("~",), "max_tokens": 1, "temperature": 0.5}
        for field_name, value in changes.items():
            request = subject.request(subject.prompts[0])
            if subject.other_decodings:
                assert subject.draw(request, **{field_name: value}).num_rows == 64
            else:
                with pytest.raises(UserError, match=field_name):
                    subject.draw(request, **{field_name: value})

    def test_a_completion_ends_before_the_first_stop_string(self, subject):
        if not subject.other_decodings:
            pytest.skip("it draws under one decoding only")
        request = subject.request(subject.prompts[0], 0, 256)
        free = subject.draw(request)
        texts = free["completion"].to_pylist()
        for stops in common_stops(texts):
            table = subject.draw(request, stop=stops)
            found = table["completion"].to_pylist()
            assert not any(stop in text for text in found for stop in stops)
            expected = [cut(text, stops) for text in texts]
            assert any(map(str.__ne__, expected, texts))
            if subject.seeded:
                differ = sum(map(str.__ne__, found, expected))
                assert differ <= subject.rounding * len(found)
                shorter = [
                    reason
                    for reason, before, text in zip(
                        table["finish_reason"].to_pylist(), texts, found, strict=True
                    )
                    if before.startswith(text) and before != text
                ]
                assert set(shorter) == {"stop"}

    def test_a_completion_may_be_empty(self, subject):
        """It is a completion all the same, and no error."""
        request = subject.request(subject.prompts[0], 0, 256)
        if subject.other_decodings:
            texts = subject.draw(request)["completion"].to_pylist()
            likely = Counter(text[:1] for text in texts if text).most_common(1)[0][0]
            table = subject.draw(request, stop=(likely,))
        else:
            asked = [subject.request(prompt, 0, 256) for prompt in subject.prompts]
            table = subject.draw(*asked)
        empty = table.filter(pc.equal(table["completion"], ""))
        reasons = set(empty["finish_reason"].to_pylist())
        assert "stop" in reasons
        assert "error" not in reasons
        assert empty["error"].null_count == empty.num_rows

    def test_a_completion_ends_at_max_tokens(self, subject):
        if not subject.other_decodings:
            pytest.skip("it draws under one decoding only")
        request = subject.request(subject.prompts[0], 0, 256)
        free = subject.draw(request)["completion"].to_pylist()
        table = subject.draw(request, max_tokens=2)
        cut_short = table.filter(pc.equal(table["finish_reason"], "length"))
        assert pc.max(table["completion_tokens"]).as_py() <= 2
        assert cut_short.num_rows
        assert set(cut_short["completion_tokens"].to_pylist()) == {2}
        if subject.seeded:
            texts = table["completion"].to_pylist()
            kept = sum(before.startswith(text) for before, text in zip(free, texts, strict=True))
            assert kept >= (1 - subject.rounding) * len(free)

    @pytest.mark.parametrize("greedy", [{"temperature": 0.0}, {"top_k": 1}])
    def test_greedy_samples_of_a_prompt_are_all_the_same(self, subject, greedy):
        if not subject.other_decodings:
            pytest.skip("it draws under one decoding only")
        for prompt in subject.prompts:
            table = subject.draw(subject.request(prompt, 0, 32), **greedy)
            assert len(set(table["completion"].to_pylist())) == 1

    def test_a_conversation_is_taken_or_refused(self, subject):
        request = subject.request(subject.prompts[0], 0, 8)
        message = {"role": "user", "content": subject.prompts[0]}
        asked = Request(**{**vars(request), "messages": (message,)})
        if subject.chats:
            assert keys(subject.draw(asked)) == expected_keys([asked])
        else:
            with pytest.raises(UserError):
                subject.draw(asked)

    # ---------------------------------------------------------------- texts and prompts

    def test_texts_survive_parquet(self, subject):
        """Also those of a prompt outside ASCII, which a model may refuse but not choke on."""
        table = subject.draw(
            *map(subject.request, subject.prompts), subject.request("żółć 漢字 🙂 é=", 0, 16)
        )
        content = parquet.encode(table, {})
        again = pq.read_table(pa.BufferReader(content))
        assert again.cast(SAMPLES).equals(table)

    def test_a_prompt_that_it_cannot_take_harms_no_other(self, subject):
        if subject.impossible is None:
            pytest.skip("it takes any prompt")
        good = [subject.request(prompt, 0, 16) for prompt in subject.prompts]
        bad = subject.request(subject.impossible, 0, 16)
        table = subject.draw(good[0], bad, *good[1:])
        assert keys(table) == expected_keys([good[0], bad, *good[1:]])
        is_bad = pc.equal(table["problem_id"], subject.impossible)
        assert pc.equal(table["finish_reason"], "error").equals(is_bad)
        failed = table.filter(is_bad)
        assert set(failed["completion"].to_pylist()) == {""}
        assert all(failed["error"].to_pylist())
        if subject.seeded:
            assert subject.same(table.filter(pc.invert(is_bad)), subject.draw(*good))

    # ---------------------------------------------------------------- likelihood

    def test_a_verb_that_it_lacks_is_refused(self, subject):
        prompt = subject.prompts[0]
        if subject.likelihood:
            assert subject.engine.likelihood([], []).shape == (0,)
        else:
            with pytest.raises(UserError, match="likelihood"):
                subject.engine.likelihood([prompt], ["1"])

    def test_what_it_recorded_is_the_likelihood(self, subject):
        if not (subject.likelihood and subject.logprobs):
            pytest.skip("it lacks one of the two")
        table = subject.draw(*(subject.request(prompt, 0, 64) for prompt in subject.prompts))
        table = table.filter(pc.equal(table["finish_reason"], "stop"))
        prompts = [name.removesuffix(AGAIN) for name in table["problem_id"].to_pylist()]
        found = subject.engine.likelihood(prompts, table["completion"].to_pylist())
        assert len(found) > 64
        np.testing.assert_allclose(column(table, "sum_logprob"), found, atol=1e-4, rtol=0)

    @pytest.mark.parametrize(
        "change", [{}, {"temperature": 0.7, "top_k": 3}], ids=["plain", "bent"]
    )
    def test_completions_are_as_frequent_as_they_are_likely(self, subject, change):
        if not subject.likelihood:
            pytest.skip("it has no likelihood")
        if change and not (subject.bent_likelihood and subject.other_decodings):
            pytest.skip("it knows no likelihood of other decodings")
        prompt = subject.prompts[-1]
        table = subject.draw(subject.request(prompt, 0, MOST), **change)
        ended = pc.equal(table["finish_reason"], "stop")
        texts = pc.if_else(ended, table["completion"], pa.scalar(None, pa.string())).to_pylist()
        distinct = sorted({text for text in texts if text is not None})
        decoding = subject.decoding.model_copy(update=change)
        logp = subject.engine.likelihood([prompt] * len(distinct), distinct, decoding)
        assert np.exp(logp).sum() <= 1 + 1e-6
        assert frequencies_p_value(texts, dict(zip(distinct, logp, strict=True))) > FALSE_ALARM

    # ---------------------------------------------------------------- the rest

    def test_facts_are_json_and_name_engine_and_seeding(self, subject):
        subject.draw(subject.request(subject.prompts[0], 0, 2))
        facts = json.loads(json.dumps(subject.engine.facts(), allow_nan=False))
        assert isinstance(facts["engine"], str)
        assert facts["engine"]
        assert facts["seeding"] in ("sample", "unit", "none")

    def test_closing_twice_is_harmless(self, subject):
        engine = subject.fresh()
        engine.generate([subject.request(subject.prompts[0], 0, 2)], subject.decoding)
        engine.close()
        engine.close()

    def test_calls_side_by_side_give_what_they_give_in_turn(self, subject):
        if not subject.engine.concurrent:
            pytest.skip("its calls never overlap")
        units = [
            [subject.request(prompt, start, start + 100) for prompt in subject.prompts]
            for start in (0, 100, 200, 300)
        ]
        with ThreadPoolExecutor(len(units)) as threads:
            together = list(threads.map(lambda unit: subject.draw(*unit), units))
        for unit, table in zip(units, together, strict=True):
            assert keys(table) == expected_keys(unit)
            if subject.seeded:
                assert subject.same(table, subject.draw(*unit))
