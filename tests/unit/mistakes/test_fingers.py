"""Sums under one another: places aligned, nothing hidden that is not added up, nothing called equal that is not."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from conformance.mistakes.catalogue import CATALOGUE
from conformance.mistakes.fingers import MOST_TERMS, Told, counted
from conformance.mistakes.page import WIDTH, Names
from conformance.mistakes.recipe import recipe
from conformance.mistakes.terms import Factor, Sum, Term, written
from conformance.problem import DTYPES, Geometry, Problem

NAMES = Names(g=Geometry(size=(9, 9), kernel=(2, 2)))


def term(at: int, delta: float, w: float, weight: float = 1.0) -> Term:
    factors = (
        Factor(name="delta", index=(0, 0, 0, at), value=delta),
        Factor(name="w", index=(0, 0, 0, 1 - at % 2), value=w),
    )
    return Term(factors=factors, weight=weight)


def sum_of(*terms: Term, constant: float = 0.0, total: float | None = None) -> Sum:
    plain = sum(t.value for t in terms) + constant
    return Sum(terms=terms, constant=constant, total=plain if total is None else total)


def lines(*sums: Sum, stored: Iterable[float] | None = None, dtype: str = "f64") -> list[str]:
    heads = ("dx[0,1] should be", "got")
    values = list(stored or (s.total for s in sums))
    told = [Told(head=h, sum=s, stored=v) for h, s, v in zip(heads, sums, values, strict=False)]
    return counted(NAMES, told, DTYPES[dtype])


def test_short_sums_stand_one_over_the_other() -> None:
    line = "i3x3 k2x2 bias=none"
    p = Problem.parse(line)
    start, at = recipe(p.geometry, p.operands, "dx"), (0, 0, 2, 1)
    right, got = written(start, at), written(start, at, [CATALOGUE["dx-kernel-unrotated"].switch])
    assert lines(right, got) == [
        "dx[0,1] should be delta[1,0]*w[1,1] + delta[1,1]*w[1,0] = (-8)*(-5) + (-9)*(-1) = 49",
        "got               delta[1,0]*w[0,0] + delta[1,1]*w[0,1] = (-8)*8    + (-9)*2    = -82",
    ]


def test_a_missing_term_leaves_its_place_empty() -> None:
    a, b = term(0, 2, 3), term(1, 5, 7)
    assert lines(sum_of(a, b), sum_of(b)) == [
        "dx[0,1] should be delta[0,0]*w[0,1] + delta[0,1]*w[0,0] = 2*3 + 5*7 = 41",
        "got                                   delta[0,1]*w[0,0] =       5*7 = 35",
    ]
    assert lines(sum_of(a, b), sum_of(a))[1].rstrip() == (
        "got               delta[0,0]*w[0,1]                     = 2*3       = 6"
    )


def test_a_term_too_many_stands_at_the_end() -> None:
    a, b = term(0, 2, 3), term(1, 5, 7)
    assert (
        lines(sum_of(a), sum_of(b, a))[1]
        == "got               delta[0,0]*w[0,1] + delta[0,1]*w[0,0] = 2*3 + 5*7 = 41"
    )


def test_no_product_at_all_is_said() -> None:
    assert lines(sum_of(term(0, 2, 3)), sum_of())[1] == "got               0 (no product)"


def test_what_all_terms_count_alike_is_told_behind_and_what_one_counts_before_it() -> None:
    a, b = term(0, 2, 3), term(1, 5, 7)
    halved = sum_of(term(0, 2, 3, 0.5), term(1, 5, 7, 0.5))
    assert lines(sum_of(a, b), halved)[1].endswith("= 2*3 + 5*7 = 41, divided by 2: 20.5")
    negated = sum_of(term(0, 2, 3, -1), term(1, 5, 7, -1))
    assert lines(sum_of(a, b), negated)[1].endswith("= 41, times -1: -41")
    twice = lines(sum_of(a, b), sum_of(a, term(1, 5, 7, 2)))[1]
    assert twice.split("= ")[1].split() == ["2*3", "+", "2*5*7"]
    assert "2*delta[0,1]*w[0,0]" in twice


def test_what_was_done_to_the_sum_is_told_in_order() -> None:
    a = term(0, 2, 3)
    assert lines(sum_of(a), sum_of(a, constant=4))[1].endswith("= 6, with 4 added 10")
    assert lines(sum_of(a), sum_of(a, total=0))[1].endswith("= 6, which became 0")
    rounded = lines(sum_of(term(0, 2049, 1)), sum_of(term(0, 2049, 1)), stored=(2048, 2048), dtype="f16")
    assert rounded[1].endswith("= 2049, in float16 2048")


def test_digits_that_are_not_the_whole_number_are_no_equality() -> None:
    (line,) = lines(sum_of(term(0, 0.25, 3)))
    assert "=" in line
    (line,) = lines(sum_of(term(0, 1 / 3, 3)))
    assert "=" not in line
    assert "~ 0.333333333*3 ~ 1" in line
    (line,) = lines(sum_of(term(0, 0.1, 3)))  # the factors are, their product is not
    assert line.endswith("~ 0.1*3 ~ 0.3")


def long_sums(n: int, wrong: int) -> tuple[Sum, Sum]:
    terms = [term(k, k + 1, 2) for k in range(n)]
    others = [term(k, k + 1, 2 if k != wrong else -2) for k in range(n)]
    return sum_of(*terms), sum_of(*others)


def test_long_sums_take_a_line_a_term_and_the_middle_is_added_up() -> None:
    right, got = long_sums(30, wrong=14)
    text = lines(right, got)
    assert max(map(len, text)) <= WIDTH
    assert (
        len(text) == 1 + MOST_TERMS + 2 + 1
    )  # head, terms, what is left out before and after the wrong one, sum
    for k, sum_ in enumerate((right, got)):
        products = [
            float(found[k]) for line in text[1:] if len(found := re.findall(r"= +(-?\d+)", line)) == 2
        ]
        assert sum(products[:-1]) == products[-1] == sum_.total
    (different,) = [line for line in text if "delta[0,14]" in line]
    assert re.findall(r"15\*\S+", different) == ["15*2", "15*(-2)"]


def test_of_a_long_sum_alone_both_ends_are_shown() -> None:
    right, _ = long_sums(30, wrong=14)
    elements = re.findall(r"delta\[0,(\d+)\]|\.\.\. (\d+) more", "\n".join(lines(right)))
    assert elements == [*((str(k), "") for k in range(4)), ("", "22"), *((str(k), "") for k in range(26, 30))]


def test_in_a_column_the_first_term_that_is_there_has_no_plus() -> None:
    right, got = long_sums(9, wrong=0)
    text = lines(right, sum_of(*got.terms[1:]))
    elements = [re.findall(r"(\+?) delta\[0,(\d)\]", line) for line in text]
    assert elements[1:4] == [[("", "0")], [("+", "1"), ("", "1")], [("+", "2"), ("+", "2")]]


def test_columns_that_are_too_wide_for_a_line_stand_below_one_another() -> None:
    names = Names(g=Geometry(batch=2, channels=2, maps=2, size=(9, 9, 9), kernel=(2, 2, 2)))
    factors = [
        (
            Factor(name="delta", index=(1, 1, 1, 1, k), value=1 / 3),
            Factor(name="w", index=(1, 1, 1, 1, 1), value=-1 / 7),
        )
        for k in range(9)
    ]
    sum_ = sum_of(*(Term(factors=f) for f in factors))
    told = [Told(head=head, sum=sum_, stored=sum_.total) for head in ("dx should be", "got")]
    text = counted(names, told, DTYPES["f64"])
    assert max(map(len, text)) <= WIDTH
    assert text.index("got") > text.index("dx should be") + MOST_TERMS


def test_a_sum_of_single_elements_is_not_told_twice() -> None:
    delta = Factor(name="delta", index=(0, 0, 0, 0), value=2.0)
    assert lines(sum_of(Term(factors=(delta,)))) == ["dx[0,1] should be delta[0,0] = 2"]


def test_what_a_mistake_made_of_an_operand_stands_under_it() -> None:
    made = Factor(name="delta'", index=(0, 0, 0, 1), value=9.0)
    a, b = term(0, 2, 3), term(1, 5, 7)
    primed = Term(factors=(made, b.factors[1]))
    right, got = lines(sum_of(a, b), sum_of(a, primed))
    assert right.index("delta[0,1]") == got.index("delta'[0,1]")
    assert np.isclose(primed.value, 63)
