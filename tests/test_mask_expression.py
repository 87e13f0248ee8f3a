"""The mask language: what it means, how it is written out, what it says of what it cannot read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceswap_cli.config_merge import LookConfig
from faceswap_cli.errors import ConfigError
from faceswap_cli.mask_expression import MAX_CHARS, MAX_NESTING, NAMES, parse
from faceswap_cli.settings import load_config
from faceswap_cli.types import FloatImage

expressions = st.recursive(
    st.sampled_from([*NAMES, "0", "1", "0.25"]),
    lambda inner: st.builds("({} {}{})".format, inner, st.sampled_from("+-*"), inner),
    max_leaves=6,
)


def made(value: float) -> FloatImage:
    return np.full((2, 3), value, np.float32)


VALUES = {
    "hull": made(0.8),
    "learned_src": made(0.5),
    "learned_dst": made(0.25),
    "seg_src": made(0.9),
    "seg_dst": made(0.1),
}


def value_of(text: str) -> float:
    return float(parse(text).evaluate(VALUES).flat[0])


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hull", 0.8),
        ("full", 1.0),
        ("0.3", 0.3),
        ("hull*learned_src", 0.4),
        ("learned", 0.25),  # the smaller of both, not their product
        ("learned_src*learned_dst", 0.125),
        ("learned_src+learned_dst", 0.5),  # the larger of both
        ("hull-seg_dst", 0.72),
        ("full-hull", 0.2),
        ("seg_dst+hull*learned_src", 0.4),  # products first
        ("(seg_dst+hull)*learned_src", 0.4),
        ("hull*(seg_dst+learned_src)", 0.4),
        ("(seg_dst+seg_src)*learned_dst", 0.225),
        ("full-seg_dst-learned_src", 0.45),  # from the left
        ("full-(hull-learned_src)", 0.6),
    ],
)
def test_value(text: str, expected: float) -> None:
    assert value_of(text) == pytest.approx(expected)


def test_a_union_with_itself_is_itself_so_that_soft_edges_stay_soft() -> None:
    assert value_of("learned_src + learned_src") == value_of("learned_src")


def test_what_is_not_given_counts_as_everywhere() -> None:
    values = {"hull": made(0.8), "learned_dst": made(0.25)}
    np.testing.assert_array_equal(parse("hull*seg_dst").evaluate(values), values["hull"])
    np.testing.assert_array_equal(parse("learned").evaluate(values), values["learned_dst"])
    np.testing.assert_array_equal(parse("learned").evaluate({}), 1.0)
    np.testing.assert_array_equal(parse("learned").evaluate({"learned": made(0.7)}), made(0.7))


@given(expressions)
def test_every_value_is_of_the_range_and_its_canonical_text_means_the_same(text: str) -> None:
    expression = parse(text)
    result = expression.evaluate(VALUES)
    assert 0.0 <= float(result.min()) <= float(result.max()) <= 1.0
    again = parse(expression.shown_as)
    assert again == expression
    assert hash(again) == hash(expression)
    assert len(again.shown_as) <= len(text)
    np.testing.assert_array_equal(again.evaluate(VALUES), result)


@given(expressions, st.sampled_from(["hull", "seg_dst"]))
def test_what_is_within_a_mask_is_zero_where_that_is(text: str, name: str) -> None:
    expression = parse(text)
    if expression.is_within(name):
        assert not expression.evaluate(VALUES | {name: made(0.0)}).any()


def test_default_is_within_the_hull_and_a_union_is_not() -> None:
    assert parse("hull*learned").is_within("hull")
    assert parse("(hull+0)*full-seg_src").is_within("hull")
    for text in ("learned", "hull+learned", "full-hull", "0.5"):
        assert not parse(text).is_within("hull")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (" hull *\tlearned\n", "hull*learned"),
        ("((hull))*(learned)", "hull*learned"),
        ("HULL*Learned_DST", "hull*learned_dst"),
        ("(hull*learned)+(seg_src-full)", "hull*learned+(seg_src-full)"),
        ("(hull+learned)*seg_dst", "(hull+learned)*seg_dst"),
        ("0.50*hull", "0.5*hull"),
        ("1.0-0.0", "1-0"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert parse(text).shown_as == canonical
    assert parse(text) == parse(canonical)


def test_names_and_what_has_to_be_made_for_them() -> None:
    expression = parse("hull*learned+seg_dst-0.5*full")
    assert expression.names == {"hull", "learned", "seg_dst", "full"}
    assert expression.needed == {"hull", "learned_src", "learned_dst", "seg_dst"}


def test_one_mask_in_two_spellings_is_one_key() -> None:
    assert {parse("hull * LEARNED"): 1}[parse("hull*learned")] == 1


@pytest.mark.parametrize(
    ("text", "at", "why"),
    [
        ("hull*lerned", 5, "no mask is called lerned (did you mean learned?)"),
        ("hull + xyz", 7, "there are hull, learned, learned_src"),
        ("", 0, "expected the name of a mask"),
        ("hull *  ", 6, "expected the name of a mask"),
        ("hull**learned", 5, "expected the name of a mask"),
        ("-hull", 0, "expected the name of a mask"),
        ("()", 1, "expected the name of a mask"),
        ("hull learned", 5, "expected + - * or the end before this"),
        ("hull(learned)", 4, "expected + - * or the end before this"),
        ("0.12345", 6, "expected + - * or the end before this"),
        ("hull)", 4, "this parenthesis was never opened"),
        ("hull*((learned)", 5, "this parenthesis is never closed"),
        ("hull /learned", 5, "this means nothing here"),
        ("hull*é", 5, "this means nothing here"),
        ("2*hull", 0, "numbers are from 0 to 1"),
    ],
)
def test_message_shows_the_place(text: str, at: int, why: str) -> None:
    lines = refused(text).splitlines()
    assert lines[1] == "    " + text
    assert lines[2] == "    " + " " * at + "^"
    assert why in lines[3]
    assert lines[4].startswith("fix: ")


def test_hostile_text_is_refused_in_time_and_does_not_reach_the_terminal() -> None:
    assert f"at most {MAX_CHARS}" in refused("(" * 100_000)
    assert f"at most {MAX_NESTING} nested" in refused("(" * MAX_CHARS)
    deepest = "(" * MAX_NESTING + "hull" + ")" * MAX_NESTING
    assert parse(deepest).shown_as == "hull"
    message = refused("hull*\x1b[2J\r\nhull")
    assert not {"\x1b", "\r"} & set(message)
    assert len(message.splitlines()) == 5
    refused("__import__('os')")


@given(st.text(max_size=MAX_CHARS + 10))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        parse(text)
    except ConfigError as error:
        assert "mask" in error.what


def test_settings_keep_the_canonical_text_and_refuse_what_is_none() -> None:
    assert LookConfig(mask="learned * hull").mask == "learned*hull"
    with pytest.raises(ConfigError) as caught:
        load_config(flags={"merge": {"mask": "hull*lerned"}})
    message = str(caught.value)
    assert "merge.mask: not a mask:\n    hull*lerned\n         ^\n" in message
    assert "did you mean learned?" in message
