from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collapse_lab.errors import Diverged, UserError
from collapse_lab.mixing.accumulate import Accumulate
from collapse_lab.mixing.accumulate_subsample import AccumulateSubsample
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.mixing.phases import Phase, Phases
from collapse_lab.mixing.replace import Replace
from collapse_lab.types import Samples
from tests.models.cases import same
from tests.standins import BLACK, Chain, Gaussian, StopAt

PAIR: dict[str, dict[str, Any]] = {"a": {"mark": 10}, "b": {"mark": 20}}


def test_a_population_of_one_is_the_single_chain(tmp_path: Path) -> None:
    single = Chain(tmp_path / "single")
    one = Chain(tmp_path / "one", members={"model": {}}, exposure=[[1.0]])
    # The other of the two trains on its own output, and the first does not notice
    beside = Chain(tmp_path / "beside", members={"model": {}, "other": {"mark": 9}})
    assert single.run() == one.run() == beside.run() == "ok"
    assert len(single.records) == 4
    assert one.records == single.records
    assert [record for record in beside.records if record.model == "model"] == single.records
    assert single.stored("fit") < beside.stored("fit")


def test_models_train_on_the_shares_that_exposure_gives_them(tmp_path: Path) -> None:
    chain = Chain(tmp_path, Contaminate(0.5), PAIR, exposure=[[0.25, 0.75], [1, 0]])
    chain.run()
    assert [(r.generation, r.model) for r in chain.records] == [(g, m) for g in range(4) for m in ("a", "b")]
    for model in ("a", "b"):
        assert chain.trained_on(0, model) == {BLACK: 40}
    for generation in (1, 2, 3):
        assert chain.trained_on(generation, "a") == {BLACK: 20, 10: 5, 20: 15}
        assert chain.trained_on(generation, "b") == {BLACK: 20, 10: 20}
    counts = {r.model: r.counts for r in chain.records if r.generation == 2}
    assert counts == {
        "a": {"real": 20, "synthetic": 20, "from_a": 5, "from_b": 15},
        "b": {"real": 20, "synthetic": 20, "from_a": 20},
    }


def test_accumulating_populations_see_the_sources_they_are_exposed_to(tmp_path: Path) -> None:
    chain = Chain(tmp_path, Accumulate(), PAIR, exposure=[[0.5, 0.5], [0, 1]])
    chain.run()
    assert [chain.trained_on(g, "a") for g in (1, 2)] == [{BLACK: 40, 10: 40 * g, 20: 40 * g} for g in (1, 2)]
    assert [chain.trained_on(g, "b") for g in (1, 2)] == [{BLACK: 40, 20: 40 * g} for g in (1, 2)]


def test_a_member_may_differ_in_sampling_alone_and_is_still_another_model(tmp_path: Path) -> None:
    chain = Chain(tmp_path, members={"bold": {"spread": 2.0}, "plain": {}}, generations=1)
    chain.run()
    assert len(chain.stored("fit")) == 4
    assert not same(chain.weights(1, "bold"), chain.weights(1, "plain"))


@pytest.mark.parametrize(
    ("lineage", "expected"), [("previous", [1, 2, 3]), ("first", [1, 2, 2]), ("scratch", [1, 1, 1])]
)
def test_lineage_says_from_which_weights_a_generation_starts(tmp_path: Path, lineage: str, expected: list[int]) -> None:
    chain = Chain(tmp_path, lineage=lineage, generations=2)
    chain.run()
    assert [int(chain.weights(g)["fits"]) for g in (0, 1, 2)] == expected


def test_cells_of_a_sweep_share_what_they_have_in_common(tmp_path: Path) -> None:
    # `spread` acts after training, the ratio after generation 0
    chains = [
        Chain(tmp_path, Contaminate(ratio), {"model": {"spread": spread}}, generations=1)
        for ratio in (0.25, 0.5)
        for spread in (0.5, 0.9)
    ]
    for chain in chains:
        chain.ledger.path.unlink()
        chain.run()
    assert len(chains[0].stored("fit")) == 1 + 4


KEEPS = [("last", 1), ("last", 3), ("metrics", 1), ("metrics", 2), ("metrics", 3), ("metrics", 50)]
STOPS = [(g, phase) for g in (0, 1, 3, 4) for phase in ("fit", "sample all", "grid all")]


@pytest.mark.parametrize("lineage", ["previous", "first"])
@pytest.mark.parametrize(("keep", "every"), KEEPS)
def test_what_is_kept_changes_nothing_in_the_ledger(tmp_path: Path, keep: str, every: int, lineage: str) -> None:
    expected = Chain(tmp_path / "all", generations=5, lineage=lineage)
    expected.run()
    thrifty = Chain(tmp_path / "thrifty", generations=5, keep=keep, every=every, lineage=lineage)
    thrifty.run()
    assert thrifty.records == expected.records
    # Generation 0 is shared with other cells, and the last is what a longer chain would go on from
    kept = {r.generation for r in thrifty.records if r.keys["fit"] in thrifty.stored("fit")}
    latest = max(g for g in range(6) if thrifty.store.commits(g))
    assert {0, latest} <= kept
    assert len(kept) <= 2 + every
    assert len(thrifty.stored("sample")) <= 2 * len(kept)


@pytest.mark.parametrize(
    ("members", "keep", "every"),
    [*(({"model": {}}, *keep) for keep in [("all", 1), *KEEPS]), (PAIR, "last", 1), (PAIR, "metrics", 2)],
)
def test_stopped_anywhere_and_started_again_it_ends_the_same(
    tmp_path: Path, members: dict[str, dict[str, Any]], keep: str, every: int
) -> None:
    exposure = [[0.5, 0.5], [0.5, 0.5]] if len(members) == 2 else None
    expected = Chain(tmp_path / "expected", members=members, exposure=exposure, generations=5)
    expected.run()
    chain = Chain(tmp_path / "chain", members=members, exposure=exposure, generations=5, keep=keep, every=every)
    for stop in STOPS:
        with pytest.raises(KeyboardInterrupt):
            chain.run(StopAt(*stop))
        assert all(record in expected.records for record in chain.records)
    assert chain.run() == "ok"
    assert chain.records == expected.records
    for key in chain.stored("fit"):
        one, other = chain.store.read("fit", key), expected.store.read("fit", key)
        assert one is not None
        assert other is not None
        assert same(one.tensors, other.tensors)


def test_a_finished_chain_does_nothing_again(tmp_path: Path) -> None:
    chain = Chain(tmp_path, generations=1, keep="last")
    chain.run()
    before = chain.ledger.path.read_bytes()
    assert chain.run(StopAt(0, "fit")) == "ok"
    assert chain.ledger.path.read_bytes() == before


@pytest.mark.parametrize("policy", [Accumulate(), AccumulateSubsample(), Phases([Phase(Accumulate())])])
@pytest.mark.parametrize("keep", ["last", "metrics"])
def test_a_policy_that_reads_everything_needs_everything_kept(tmp_path: Path, policy: Any, keep: str) -> None:
    with pytest.raises(UserError, match=f"store.keep={keep} drops them; give store.keep=all"):
        Chain(tmp_path, policy, keep=keep).plan()


@pytest.mark.parametrize("keep", ["all", "last", "metrics"])
def test_a_fit_that_diverges_ends_the_run_with_all_that_came_before(tmp_path: Path, keep: str) -> None:
    healthy = Chain(tmp_path / "healthy", generations=2)
    healthy.run()
    chain = Chain(tmp_path / "ill", members={"model": {"diverge_at": 2}}, generations=4, keep=keep)
    for _ in range(2):  # the second time from the ledger alone
        assert chain.run() == "diverged"
        assert [(r.generation, r.status) for r in chain.records] == [(0, "ok"), (1, "ok"), (2, "diverged")]
    assert [r.metrics for r in chain.records[:2]] == [r.metrics for r in healthy.records[:2]]
    last = chain.records[-1]
    assert (last.metrics, last.counts) == ({}, {"real": 20, "synthetic": 20})


@pytest.mark.parametrize("role", ["sample/all", "grid/all"])
def test_samples_that_diverge_end_the_run_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    sample = Gaussian.sample

    def failing(self: Gaussian, conditions: Any, seeds: Any, progress: Any) -> Samples:
        if seeds.role == role and self.weights()["fits"] == 2:
            raise Diverged("7 samples are not finite")
        return sample(self, conditions, seeds, progress)

    monkeypatch.setattr(Gaussian, "sample", failing)
    chain = Chain(tmp_path)
    assert chain.run() == "diverged"
    assert [r.status for r in chain.records] == ["ok", "diverged"]
    assert chain.trained_on(1) == {BLACK: 20, 7: 20}


def test_one_model_that_diverges_ends_the_population(tmp_path: Path) -> None:
    chain = Chain(tmp_path, members={"a": {"mark": 10}, "b": {"diverge_at": 1}}, exposure=[[0.5, 0.5]] * 2)
    assert chain.run() == "diverged"
    assert [(r.generation, r.model, r.status) for r in chain.records] == [
        (0, "a", "ok"),
        (0, "b", "ok"),
        (1, "a", "ok"),
        (1, "b", "diverged"),
    ]


LATE: dict[str, Any] = {"members": PAIR, "exposure": "complete", "present": {"b": [1, 2]}, "generations": 4}


def test_a_member_enters_with_real_rows_and_what_it_drew_last_is_still_learnt(tmp_path: Path) -> None:
    chain = Chain(tmp_path, Contaminate(0.5), **LATE)
    assert chain.run() == "ok"
    steps = [(0, "a"), (1, "a"), (1, "b"), (2, "a"), (2, "b"), (3, "a"), (4, "a")]
    assert [(r.generation, r.model) for r in chain.records] == steps
    assert chain.trained_on(1, "b") == {BLACK: 40}
    assert chain.trained_on(1, "a") == {BLACK: 20, 10: 20}
    for generation, member in [(2, "a"), (2, "b"), (3, "a")]:
        assert chain.trained_on(generation, member) == {BLACK: 20, 10: 10, 20: 10}
    assert chain.trained_on(4, "a") == {BLACK: 20, 10: 20}
    assert [int(chain.weights(g, "b")["fits"]) for g in (1, 2)] == [1, 2]


@pytest.mark.parametrize("keep", ["all", "last"])
def test_members_that_come_and_go_survive_a_stop_anywhere(tmp_path: Path, keep: str) -> None:
    expected = Chain(tmp_path / "expected", **LATE)
    expected.run()
    chain = Chain(tmp_path / "chain", keep=keep, **LATE)
    for stop in [(1, "fit"), (2, "sample all"), (3, "fit"), (4, "grid all")]:
        with pytest.raises(KeyboardInterrupt):
            chain.run(StopAt(*stop))
    assert chain.run() == "ok"
    assert chain.records == expected.records


def test_a_generation_without_any_member_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no member is there in generation 2"):
        Chain(tmp_path, present={"model": [0, 1]}).plan()


def test_healing_shows_in_the_counts(tmp_path: Path) -> None:
    heal = Phases([Phase(Contaminate(0.75), until=2), Phase(Contaminate(0))])
    healed = Chain(tmp_path, heal, generations=4)
    healed.run()
    assert [tuple(r.counts.values()) for r in healed.records] == [(40, 0), (10, 30), (10, 30), (40, 0), (40, 0)]
    # Up to the boundary it is the contaminated chain, stage for stage
    ill = Chain(tmp_path / "ill", Contaminate(0.75), generations=4)
    ill.run()
    assert [r.keys for r in ill.records[:3]] == [r.keys for r in healed.records[:3]]
    assert ill.records[3].keys != healed.records[3].keys


def test_collapse_is_seen_by_the_ruler(tmp_path: Path) -> None:
    # Each generation draws with 0.9 of the spread it saw, so on its own output alone the variance dies out
    chain = Chain(tmp_path, Replace(), generations=8)
    chain.run()
    spreads = [float(chain.weights(g)["std"].mean()) for g in (1, 4, 8)]
    assert spreads == sorted(spreads, reverse=True)
    fids = [r.metrics["all/pixels/fid"] for r in chain.records]
    assert fids[8] > fids[4] > fids[1]
    assert all(r.metrics["all/pixels/fid_floor"] < fids[8] for r in chain.records)
