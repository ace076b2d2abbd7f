"""Trials: what is killed, what survives, what is equivalent; and the text that tells of them."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from click.testing import CliRunner, Result

from conformance.cli import main
from conformance.engine.corpus import Named, corpus
from conformance.engine.judgement import Status
from conformance.engine.networks import network_corpus
from conformance.engine.runner import judge
from conformance.errors import UserError
from conformance.mistakes import Mistake, power, right
from conformance.mistakes.catalogue import CATALOGUE, FAMILIES
from conformance.mistakes.catalogue.network import NETWORK_CATALOGUE
from conformance.mistakes.network import Backpropagation, NetworkMistake
from conformance.mistakes.pairs import KINDS, drawn_pairs, pair, pairs
from conformance.mistakes.power import (
    CLAUSES,
    MASKED,
    PAIR,
    RIGHT,
    Power,
    Trial,
    chosen,
    of_integers,
    probes,
    trials,
    tried,
)
from conformance.mistakes.recipe import each, ending
from conformance.problem import Problem
from conformance.report.power import as_json, as_markdown, rendered

LINE = "2d n3 c2 m3 i7x6 k3x2 s2x1 p1:2x2:0 d1x2"
DOUBLED, HALVED = CATALOGUE["dw-doubled"], CATALOGUE["dw-halved"]
NOTHING = Mistake(name="y-nothing", sentence="nothing is wrong", hint="", compute=right, quantities=("y",))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> tuple[Named, ...]:
    """Problems for a trial: three of the corpus, and one that comes after."""
    probes()  # of the whole corpus, and kept
    problems = tuple(
        n for n in corpus("covering") if n.id in {"covering/1d-01", "covering/1d-04", "covering/2d-03"}
    )
    after = Named(id="sizes/last", problem=Problem.parse(LINE))
    monkeypatch.setattr(power, "_problems", lambda profile, dtypes: (problems, (after,)))
    monkeypatch.setattr(power, "COMPARED", ("seed",))
    return (*problems, after)


def trial(**changes: object) -> Trial:
    given: dict[str, object] = {"name": "dw-doubled", "family": "scale", "problems": 1, "milliseconds": 2.5}
    return Trial(**(given | changes))


# ---- what is tried ----
def test_all_mistakes_are_chosen_or_those_of_a_name() -> None:
    assert chosen() == [*CATALOGUE.values(), *NETWORK_CATALOGUE.values()]
    assert [m.name for m in chosen("d?-doubled")] == ["dx-doubled", "dw-doubled", "db-doubled"]


def test_a_name_that_matches_nothing_is_the_callers_mistake() -> None:
    with pytest.raises(UserError, match="no mistake matches 'dz-"):
        chosen("dz-*")


def test_pairs_follow_from_the_seed() -> None:
    mistakes = chosen("d?-*")
    names = [[m.name for m in drawn_pairs(mistakes, 20, seed=seed)] for seed in (1, 1, 2)]
    assert names[0] == names[1] != names[2]
    assert len(set(names[0])) == 20


def test_only_switches_are_paired_and_no_more_than_there_are() -> None:
    pairs = drawn_pairs([DOUBLED, HALVED, CATALOGUE["dw-accumulates"], CATALOGUE["dw-zero"]], 100, seed=0)
    assert {m.name for m in pairs} == {
        "dw-doubled + dw-halved",
        "dw-doubled + dw-zero",
        "dw-halved + dw-zero",
    }


def made(m: Mistake, q: str) -> np.ndarray:
    p = Problem.parse(LINE)
    return m.compute(p.geometry, p.operands, q)


def test_a_pair_is_both() -> None:
    both = pair(CATALOGUE["dx-doubled"], DOUBLED)
    assert both.quantities == ("dx", "dw")
    for q, factor in (("y", 1), ("dx", 2), ("dw", 2), ("db", 1)):
        np.testing.assert_array_equal(made(both, q), factor * made(RIGHT, q))


def test_the_first_of_a_pair_comes_first() -> None:
    lost, grown = CATALOGUE["dw-last-row-lost"], CATALOGUE["dw-weight-decay-folded-in"]
    last = np.s_[:, :, -1]
    assert np.any(made(pair(lost, grown), "dw")[last])
    assert not np.any(made(pair(grown, lost), "dw")[last])


def test_as_many_pairs_of_each_kind_are_drawn() -> None:
    drawn = drawn_pairs(chosen(), 31, seed=3)
    assert [m.kind for m in drawn] == [*KINDS * 10, "layers"]


def test_where_one_kind_has_no_more_pairs_the_others_have_the_rest() -> None:
    few = [m for m in chosen() if m.kind == "layers" or m.name.startswith("forward_mode.dy-term")]
    kinds = [m.kind for m in drawn_pairs(few, 20, seed=3)]
    assert (kinds.count("operations"), kinds.count("layers")) == (3, 17)


def test_two_that_do_one_step_of_a_network_otherwise_are_no_pair() -> None:
    names = ("output-sign", "output-twice", "dw-of-own-activation", "bias-mean", "gradient-mean")
    found = [f"{a.name} + {b.name}" for a, b in pairs([NETWORK_CATALOGUE[name] for name in names])]
    assert found == [
        "output-sign + dw-of-own-activation",
        "output-sign + bias-mean",
        "output-sign + gradient-mean",
        "output-twice + dw-of-own-activation",
        "output-twice + bias-mean",
        "output-twice + gradient-mean",
        "dw-of-own-activation + bias-mean",
    ]


def test_a_pair_in_a_network_is_both() -> None:
    p = network_corpus()[3].problem
    negated, doubled = (NETWORK_CATALOGUE[name] for name in ("output-sign", "step-rate-twice"))
    way, plain = (kind(p.network, p.operands) for kind in (pair(negated, doubled).way, Backpropagation))
    np.testing.assert_array_equal(way.deltas[0], -plain.deltas[0])
    np.testing.assert_array_equal(way.stepped(0.5)[0][0], plain.stepped(-0.25)[0][0])


def test_a_pair_in_an_operation_is_both() -> None:
    """A term that is left out stays out, whatever is done to the others."""
    gone, again = (CATALOGUE[f"transposed.y-bias-{what}"] for what in ("missing", "twice"))
    p = Problem.parse(LINE)
    both, alone = (m.compute(p.geometry, p.further, "transposed.y") for m in (pair(gone, again), gone))
    np.testing.assert_array_equal(both, alone)


def test_mistakes_of_two_kinds_are_no_pair() -> None:
    with pytest.raises(TypeError, match="dw-doubled is made in layers, output-sign in networks"):
        pair(DOUBLED, NETWORK_CATALOGUE["output-sign"])


# ---- trials ----
def test_a_mistake_is_killed_by_the_first_problem_that_shows_it(short: tuple[Named, ...]) -> None:
    m = CATALOGUE["y-stride-ignored"]
    killed = tried(m, family="stride")
    assert (killed.name, killed.family, killed.verdict) == ("y-stride-ignored", "stride", "killed")
    assert (killed.problems, killed.killer) == (2, "covering/1d-04")
    assert killed.milliseconds > 0


def test_all_clauses_that_fail_there_are_told(short: tuple[Named, ...]) -> None:
    """On the killing problem, whose data are real, and on the same with integers; FWD-1 names the finding."""
    killed = tried(CATALOGUE["y-stride-ignored"])
    assert {"FWD-1", "FWD-3", "NUM-2", "NUM-3"} <= set(killed.clauses)
    assert killed.clauses == tuple(c.id for c in CLAUSES if c.id in killed.clauses)
    assert killed.roots == ("FWD-1",)


def test_further_problems_count_for_the_clauses_alone(short: tuple[Named, ...]) -> None:
    alone, further = (tried(CATALOGUE["y-negated"], also=also) for also in ((), short[1:2]))
    assert alone.problems == further.problems == 1
    assert set(further.clauses) - set(alone.clauses) == {"NUM-3"}, "it judges data that are no integers"


def test_clauses_that_look_at_right_quantities_alone_are_not_asked(short: tuple[Named, ...]) -> None:
    asked = {c.id for c in power._concerned(CATALOGUE["db-zero"])}
    assert {"BIA-1", "NUM-2", "HYG-1"} <= asked
    assert not {"FWD-1", "DEL-3", "WGT-1"} & asked


def test_clauses_without_further_calls_come_first() -> None:
    order = [c.variants for c in power._concerned(NOTHING)]
    assert order == sorted(order)


def test_what_no_clause_sees_survives(short: tuple[Named, ...]) -> None:
    survived = tried(NOTHING)
    assert (survived.verdict, survived.problems, survived.clauses) == ("SURVIVES", 4, ())


def test_what_is_right_everywhere_and_has_a_reason_is_equivalent(short: tuple[Named, ...]) -> None:
    found = tried(NOTHING, reason="nothing is done")
    assert found.verdict == "equivalent"
    assert found.equivalent == "right, bit for bit, on 20 problems of seed: nothing is done"
    assert found.problems == 3


def test_a_reason_alone_is_no_proof(short: tuple[Named, ...]) -> None:
    """Wrong in float32 only, and on none of the problems that are run."""
    (m,) = each("y", "off", "", hint="", switch=ending(lambda out, r: out + (r.g.channels == 10)))
    assert tried(m, reason="nobody looks").verdict == "SURVIVES"


def test_two_that_undo_one_another_are_equivalent(short: tuple[Named, ...]) -> None:
    assert tried(pair(DOUBLED, HALVED), reason=MASKED).equivalent.endswith(f": {MASKED}")


def test_a_mistake_that_shows_later_is_killed_by_what_comes_after(short: tuple[Named, ...]) -> None:
    (m,) = each("y", "off", "", hint="", switch=ending(lambda out, r: out + (r.g.size == (7, 6))))
    killed = tried(m, reason="perhaps")
    assert (killed.problems, killed.killer) == (4, "sizes/last")


def test_single_mistakes_come_before_pairs(short: tuple[Named, ...]) -> None:
    found = list(trials([DOUBLED], [pair(DOUBLED, HALVED)]))
    assert [(t.family, t.verdict) for t in found] == [
        ("scale", "killed"),
        ("pair of layers", "equivalent"),
    ]


def test_the_corpora_come_before_everything_else() -> None:
    first, after = power._problems("quick", ("f32",))
    assert {n.id.partition("/")[0] for n in first} == {"covering", "seed", "edges"}
    assert all("+" in n.id for n in after)
    assert {n.problem.dtype for n in (*first, *after)} == {"f32"}


def test_every_clause_passes_on_a_probe() -> None:
    session = power._session(RIGHT)
    judged = [j for n in probes() for j in judge(session, n.problem, n.id, CLAUSES)]
    assert {j.clause for j in judged if j.status is Status.PASS} == {c.id for c in CLAUSES}
    assert not [j for j in judged if j.status.failed]
    assert len(probes()) < 12


def test_small_integers_on_the_same_geometry() -> None:
    real = next(n for n in corpus("covering") if n.problem.fill == "real")
    exact = of_integers(real)
    assert exact.problem.geometry == real.problem.geometry
    assert exact.problem.integers
    assert exact.id == f"{real.id}+small"


# ---- sums ----
TRIALS = (
    trial(killer="covering/1d-01", clauses=("WGT-1", "NUM-2"), roots=("WGT-1",)),
    trial(name="db-doubled", problems=4, killer="covering/1d-04", clauses=("BIA-1",), roots=("BIA-1",)),
    trial(name="saturates", family="numerics", problems=161, equivalent="right, bit for bit"),
    trial(
        name="dw-doubled + db-doubled",
        family=f"{PAIR}layers",
        problems=2,
        killer="covering/1d-02",
        clauses=("WGT-1",),
    ),
)


def test_sums() -> None:
    made = Power(trials=TRIALS, seed=0)
    assert (len(made.singles), len(made.pairs)) == (3, 1)
    assert made.survivors == []
    assert made.median(made.singles) == 2.5
    assert [t.name for t in made.killed_by("WGT-1")] == ["dw-doubled"]
    assert made.killed_by("WGT-1", alone=True) == []
    assert [t.name for t in made.killed_by("BIA-1", alone=True)] == ["db-doubled"]


def test_survivors_are_singles_and_pairs() -> None:
    left = (trial(name="a"), trial(name="a + b", family=f"{PAIR}networks"))
    assert Power(trials=(*TRIALS, *left), seed=0).survivors == list(left)


# ---- text ----
def test_a_terminal_shows_each_trial() -> None:
    text = rendered(Power(trials=TRIALS, seed=0))
    row = next(line for line in text.splitlines() if line.startswith("db-doubled"))
    assert row.split() == ["db-doubled", "killed", "BIA-1", "4", "2", "covering/1d-04"]
    assert "3 single mistakes: 2 killed, 1 equivalent; the median takes 2.5 problems to kill." in text
    assert "1 pairs: 1 killed" in text
    assert "saturates is equivalent: right, bit for bit." in text
    assert "KILLS NOTHING" not in text


def test_survivors_are_named() -> None:
    assert "Not killed: dw-doubled.\n" in rendered(Power(trials=(trial(),), seed=0))


def test_clauses_are_told_of_if_all_mistakes_were_tried() -> None:
    all_of_them = tuple(
        trial(name=name, killer="k", clauses=("WGT-1",)) for name in (*CATALOGUE, *NETWORK_CATALOGUE)
    )
    lines = rendered(Power(trials=all_of_them, seed=0)).splitlines()
    told = {line.split()[0]: line for line in lines if line.startswith(("WGT-1 ", "DEL-1 "))}
    assert told["WGT-1"].split()[1:5] == ["MUST", str(len(all_of_them)), "0", str(len(all_of_them))]
    assert told["DEL-1"].endswith("KILLS NOTHING")


def test_markdown_has_a_row_a_mistake_and_a_row_a_clause() -> None:
    text = as_markdown(Power(trials=TRIALS, seed=7))
    row = next(line for line in text.splitlines() if line.startswith("| dw-doubled"))
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "dw-doubled",
        "dw is twice too large",
        "1",
        "covering/1d-01",
        "WGT-1",
        "NUM-2",
    ]
    for c in CLAUSES:
        assert text.count(f"\n| {c.id} ") == 2, "once in the clauses' table, once by families"
    assert "### numerics" in text
    assert "drawn with seed 7" in text
    row = next(line for line in text.splitlines() if line.startswith("| layers"))
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["layers", "1", "1", "0", "0", "2", "2"]
    assert "2.5 ms" not in text


def test_markdown_flags_what_kills_nothing_alone() -> None:
    rows = [
        line for line in as_markdown(Power(trials=TRIALS, seed=0)).splitlines() if line.startswith("| WGT-1")
    ]
    assert [cell.strip() for cell in rows[0].strip("|").split("|")] == [
        "WGT-1",
        "MUST",
        "1",
        "1",
        "0",
        "kills nothing alone",
    ]
    counted = [cell.strip() for cell in rows[1].strip("|").split("|")][1:]
    assert dict(zip(FAMILIES, counted, strict=True))["scale"] == "1"


def test_json_has_everything() -> None:
    document = json.loads(as_json(Power(trials=TRIALS, seed=3)))
    assert (document["schema"], document["seed"]) == ("conformance-power/1", 3)
    assert document["trials"][0] == {
        "name": "dw-doubled",
        "family": "scale",
        "problems": 1,
        "milliseconds": 2.5,
        "killer": "covering/1d-01",
        "clauses": ["WGT-1", "NUM-2"],
        "roots": ["WGT-1"],
        "equivalent": "",
        "verdict": "killed",
    }


# ---- the command ----
def called(*options: str) -> Result:
    return CliRunner().invoke(main, ["power", *options])


def test_the_command_tries_what_matches(short: tuple[Named, ...]) -> None:
    result = called("--only", "d?-doubled", "--pairs", "2")
    assert result.exit_code == 0
    assert "3 single mistakes: 3 killed" in result.stdout
    assert "2 pairs: 2 killed" in result.stdout


@pytest.mark.parametrize(
    ("option", "check"),
    [
        ("--json", lambda text: json.loads(text)["trials"]),
        ("--markdown", lambda text: text.startswith("# Power")),
    ],
)
def test_the_command_in_other_forms(
    short: tuple[Named, ...], option: str, check: Callable[[str], bool]
) -> None:
    result = called("--only", "dw-doubled", "--pairs", "0", option)
    assert result.exit_code == 0
    assert check(result.stdout)


def test_a_survivor_is_exit_code_1(short: tuple[Named, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, NOTHING.name, NOTHING)
    monkeypatch.setitem(FAMILIES, "nothing", (NOTHING,))
    result = called("--only", NOTHING.name)
    assert result.exit_code == 1
    assert f"Not killed: {NOTHING.name}." in result.stdout


def test_a_name_without_a_mistake_is_exit_code_2() -> None:
    result = called("--only", "dz-*")
    assert result.exit_code == 2
    assert "no mistake matches 'dz-*'" in result.stderr


# ---- networks ----
def test_a_pair_in_a_network_is_put_through_the_networks() -> None:
    doubled, upwards = NETWORK_CATALOGUE["cost-without-half"], NETWORK_CATALOGUE["step-upwards"]
    (killed,) = trials([], [pair(doubled, upwards)])
    assert (killed.family, killed.verdict) == ("pair of networks", "killed")
    assert {"NET-1", "NET-5"} <= set(killed.clauses)


def test_a_mistake_in_a_network_is_put_through_the_networks() -> None:
    (killed,) = trials([NETWORK_CATALOGUE["step-upwards"]], [])
    assert (killed.family, killed.verdict, killed.clauses, killed.roots) == (
        "network", "killed", ("NET-5",), ("NET-5",)
    )  # fmt: skip
    assert killed.killer == network_corpus()[killed.problems - 1].id


def test_a_network_without_a_mistake_survives() -> None:
    nothing = NetworkMistake(name="right", sentence="", hint="", way=Backpropagation)
    survivor = power.tried_network(nothing)
    assert (survivor.verdict, survivor.problems) == ("SURVIVES", len(network_corpus()))
