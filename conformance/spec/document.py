"""SPEC.md, generated from the registry; regenerate with ``python -m conformance.spec.document``."""

from __future__ import annotations

from pathlib import Path

from conformance.spec.registry import CHAPTERS, REGISTRY, Clause

__all__ = ["QUESTIONS", "described", "text"]

QUESTIONS = {
    7: "Why rotate by 180 degrees for the gradient, and what are the sizes (9x9 input, 5x5 delta)?",
    8: "And what about the update of biases?",
    10: "Are the values in the picture right: convolution or correlation? Does it matter?",
    11: "Can a 'full correlation' by the unrotated kernel replace the convolution by the rotated one?",
    12: "Does the reverse convolution use the stride of the forward one?",
    13: "Which layer's activations does the convolution read: z of l or of l-1?",
    14: "Does a bias belong to a position or to the filter?",
    15: "The feedforward equation, read again (as 13)",
    16: "Filter and input of one size: is anything shared at all?",
    18: "Why has w a subscript under the convolution, if each element is used at every position?",
    19: "How does a 1-deep delta go back through a 10-deep filter?",
}
"""The seed's readers' questions, by the number of the comment, in short."""

_HEAD = """\
# The specification

What a conforming implementation of a convolutional layer computes, clause by clause. Generated from the executable
clauses in `conformance/spec/` (`python -m conformance.spec.document`); a test checks that it is fresh.

An id never changes. MUST decides conformance, SHOULD is reported, INFO is measured; an optional chapter is asked of those
who offer its operation. Every clause is judged exactly where no sum can round, and against a proven bound elsewhere; there
is no tolerance.

## Notation

| name | is | shape |
|---|---|---|
| `x` | input of the layer (the seed's activation of the layer before) | (N, C, *I) |
| `w` | kernel; w' = w for correlation, ROT180(w) for convolution (every spatial axis reversed) | (M, C/G, *K) |
| `b` | bias, tied or untied (the seed's b_{x,y}) | (M,) or (M, *O) |
| `y` | output before activation (the seed's z) | (N, M, *O) |
| `delta` | dC/dy, the error that comes from above | as y |
| `dx`, `dw`, `db` | dC/dx, dC/dw, dC/db | as x, w, b |
| `u`, `v`, `r` | directions of x, w and b, in the chapters SEC and JVP | as x, w, b |
| s, p_lo, p_hi, d, G | stride, padding before and after, dilation, groups | one an axis (G: one) |

In a network, layer l = 1 ... L computes z^l = conv(a^{l-1}, w^l) + b^l and a^l = sigma(z^l), a^0 = x; C, the sum of the
costs of all batch items, compares a^L with a target; delta^l = dC/dz^l has the shape of z^l. (.) multiplies elements.

x~ is x with zeros outside; g(m) is m's group. Source: G. Gwardys, "Convolutional Neural Networks backpropagation: from
intuition to derivation" ("the seed"), and its readers' comments.
"""


def described(clause: Clause) -> str:
    """One clause in words."""
    lines = [
        f"{clause.id} ({clause.severity}) {clause.text}",
        f"    {clause.equation}",
        f"    source: {clause.source}",
    ]
    if clause.falls_with:
        lines.append(f"    falls with: {', '.join(clause.falls_with)}")
    return "\n".join(lines)


def text() -> str:
    """The whole of SPEC.md."""
    parts = [_HEAD]
    for chapter, title in CHAPTERS.items():
        parts.append(
            f"\n## {chapter}: {title}\n\n| id | | sentence | equation | source |\n|---|---|---|---|---|\n"
        )
        parts += [_row(c) for c in REGISTRY.values() if c.chapter == chapter]
    parts.append("\n## Readers' questions\n\n| reader | question | answered by |\n|---|---|---|\n")
    for reader, question in QUESTIONS.items():
        answers = ", ".join(c.id for c in REGISTRY.values() if reader in c.readers)
        parts.append(f"| {reader} | {question} | {answers} |\n")
    return "".join(parts)


def _row(c: Clause) -> str:
    cells = (c.id, c.severity, c.text, f"`{c.equation}`", c.source)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    Path("SPEC.md").write_text(text(), encoding="utf-8")
