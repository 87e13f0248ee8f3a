"""The language that says where a face is painted: `hull*learned`, `full - (hull + 0.5*seg_dst)`.

    sum      product, then any number of: + product (either of both), - product (but not there)
    product  operand, then any number of: * operand (both)
    operand  a name, a number from 0 to 1, or a sum in parentheses

`a + b` is the larger of both: a sum that is cut off at 1 would make the soft edge of two masks
that nearly agree, as learned_src and learned_dst do, wider and harder than either's.
`a - b` is `a * (1 - b)`.
"""

# numpy is imported where it is used: settings are read without it.

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from faceswap_cli.errors import ConfigError

if TYPE_CHECKING:
    from faceswap_cli.types import FloatImage

FULL, LEARNED = "full", "learned"
LEARNED_OF = ("learned_src", "learned_dst")
"""`learned` is the smaller of these."""
NAMES = ("hull", LEARNED, *LEARNED_OF, "seg_src", "seg_dst", FULL)
MAX_CHARS = 200
MAX_NESTING = 20
_TOKEN = re.compile(r"[ \t\r\n]*([A-Za-z_][A-Za-z_0-9]*|[0-9](?:\.[0-9]{1,4})?|[-+*()])")
_RANKS = {"+": 1, "-": 1, "*": 2}
_TIGHTEST = max(_RANKS.values()) + 1
_FIX = f"join {', '.join(NAMES)} by + - * and parentheses, e.g. hull*learned"


@dataclass(frozen=True)
class MaskExpression:
    """What was understood; equal if the canonical texts are."""

    shown_as: str
    """Canonical: no spaces, no parentheses that change nothing."""
    steps: tuple[str, ...]
    """Reverse Polish: names, numbers, and the operators after their two operands."""

    @property
    def names(self) -> frozenset[str]:
        """Those of NAMES that it is made of, as they were written."""
        return frozenset(self.steps) & frozenset(NAMES)

    @property
    def needed(self) -> frozenset[str]:
        """The masks that have to be made: without `full`, `learned` as what it consists of."""
        needed = self.names - {FULL, LEARNED}
        return needed | set(LEARNED_OF) if LEARNED in self.names else needed

    def is_within(self, name: str) -> bool:
        """Return whether it is 0 wherever that mask is 0, whatever the others are."""
        stack: list[bool] = []
        for step in self.steps:
            if step not in _RANKS:
                stack.append(step == name or (_is_number(step) and float(step) == 0.0))
                continue
            right, left = stack.pop(), stack.pop()
            stack.append({"*": left or right, "+": left and right, "-": left}[step])
        return stack[0]

    def evaluate(self, values: Mapping[str, "FloatImage"]) -> "FloatImage":
        """Compute the mask.

        Args:
            values: (H, W) each, 0..1, by name: all of `needed`, or `learned` itself. What is
                not there counts as everywhere: 1.

        Returns:
            (H, W), 0..1; a single number, (), if none of its masks are in `values`.
        """
        import numpy as np

        known = dict(values)
        if LEARNED not in known:
            parts = [known[name] for name in LEARNED_OF if name in known]
            known |= {LEARNED: np.minimum.reduce(parts)} if parts else {}
        one = np.ones((), np.float32)
        stack: list[FloatImage] = []
        for step in self.steps:
            if step not in _RANKS:
                stack.append(np.float32(step) * one if _is_number(step) else known.get(step, one))
                continue
            right, left = stack.pop(), stack.pop()
            if step == "+":
                stack.append(np.maximum(left, right))
            else:
                stack.append(left * (one - right if step == "-" else right))
        return np.asarray(stack[0], np.float32)


class _Token(NamedTuple):
    text: str
    at: int
    """Where it begins."""


@lru_cache(maxsize=256)
def parse(text: str) -> MaskExpression:
    """Understand a mask expression.

    Raises:
        ConfigError: The text is longer than MAX_CHARS, nested deeper than MAX_NESTING, or
            no such expression. The message shows the text, with a caret under the place,
            what was expected there, and for a misspelt name the nearest one.
    """
    if len(text) > MAX_CHARS:
        raise ConfigError(f"the mask has {len(text)} characters, at most {MAX_CHARS}", fix=_FIX)
    steps = tuple(_postfix(text))
    return MaskExpression(_canonical(steps), steps)


def _postfix(text: str) -> list[str]:
    """Return operands and operators, an operator after what it joins: no recursion."""
    steps: list[str] = []
    waiting: list[_Token] = []  # operators and opening parentheses
    wants_operand = True
    for token in _tokens(text):
        if wants_operand and token.text == "(":
            waiting.append(token)
            if sum(other.text == "(" for other in waiting) > MAX_NESTING:
                raise _refused(text, token.at, f"at most {MAX_NESTING} nested parentheses")
        elif wants_operand:
            steps.append(_operand(token, text))
            wants_operand = False
        else:
            _join(token, text, steps, waiting)
            wants_operand = token.text != ")"
    if wants_operand:
        raise _refused(text, len(text.rstrip()), "expected the name of a mask")
    while waiting:
        if waiting[-1].text == "(":
            raise _refused(text, waiting[-1].at, "this parenthesis is never closed")
        steps.append(waiting.pop().text)
    return steps


def _join(token: _Token, text: str, steps: list[str], waiting: list[_Token]) -> None:
    """Take an operator or a closing parenthesis, or raise ConfigError."""
    if token.text not in (*_RANKS, ")"):
        raise _refused(text, token.at, "expected + - * or the end before this")
    rank = _RANKS.get(token.text, 1)  # a parenthesis ends all that began within it
    while waiting and _RANKS.get(waiting[-1].text, 0) >= rank:
        steps.append(waiting.pop().text)
    if token.text != ")":
        waiting.append(token)
    elif waiting:
        waiting.pop()
    else:
        raise _refused(text, token.at, "this parenthesis was never opened")


def _tokens(text: str) -> Iterator[_Token]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise _refused(text, at, "this means nothing here")
        yield _Token(found[1], found.start(1))
        at = found.end()


def _operand(token: _Token, text: str) -> str:
    """Return its canonical text, or raise ConfigError."""
    if _is_number(token.text):
        if float(token.text) > 1.0:
            raise _refused(text, token.at, f"{token.text}: numbers are from 0 to 1")
        return f"{float(token.text):.4f}".rstrip("0").rstrip(".")
    name = token.text.lower()
    if name in NAMES:
        return name
    if not (name[0].isalpha() or name[0] == "_"):
        raise _refused(text, token.at, "expected the name of a mask")
    near = get_close_matches(name, NAMES, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(NAMES)}"
    raise _refused(text, token.at, f"no mask is called {token.text} ({hint})")


def _canonical(steps: tuple[str, ...]) -> str:
    stack: list[tuple[str, int]] = []  # text, and how tightly its loosest operator binds
    for step in steps:
        if step not in _RANKS:
            stack.append((step, _TIGHTEST))
            continue
        rank = _RANKS[step]
        (right, right_rank), (left, left_rank) = stack.pop(), stack.pop()
        left = left if left_rank >= rank else f"({left})"
        right = right if right_rank > rank else f"({right})"
        stack.append((f"{left}{step}{right}", rank))
    return stack[0][0]


def _is_number(step: str) -> bool:
    return step[0] in "0123456789"


def _refused(text: str, at: int, why: str) -> ConfigError:
    # One character for one, or the caret is off; none that a terminal would obey.
    seen = "".join(char if char.isprintable() else " " for char in text)
    return ConfigError(f"not a mask:\n    {seen}\n    {' ' * at}^\n    {why}", fix=_FIX)
