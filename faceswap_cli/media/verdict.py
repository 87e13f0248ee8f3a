"""What content credentials say, told from the JSON of the reference reader.

The words in it come from whoever signed the file: they are cut and made harmless to a terminal.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["valid", "invalid", "none"]
UNTRUSTED = "signingCredential.untrusted"
"""The reader's word for a certificate that none of the known authorities has issued."""
LONGEST = 200
MOST = 50
"""Actions, ingredients and failures told."""
_IN_WORDS = {
    "assertion.bmffHash.mismatch": "the file was changed after it was signed",
    "assertion.dataHash.mismatch": "the file was changed after it was signed",
    "assertion.boxesHash.mismatch": "the file was changed after it was signed",
    "assertion.hashedURI.mismatch": "what the credentials say was changed after they were signed",
    "claimSignature.mismatch": "the signature does not fit what the credentials say",
    "signingCredential.expired": "the certificate had run out",
    "signingCredential.invalid": "the certificate may not sign content credentials",
    "claim.missing": "the claim is missing",
    "assertion.missing": "a part of the credentials is missing",
}


@dataclass(frozen=True)
class Deed:
    """Something that was done to a file."""

    action: str
    """As C2PA names it: c2pa.opened, c2pa.edited, ..."""
    source_type: str
    """The tail of the IPTC digital source type; empty if none is told."""
    tool: str
    when: str
    description: str


@dataclass(frozen=True)
class Ingredient:
    """What a file was made from."""

    title: str
    relationship: str
    signed: bool
    """It had content credentials itself, and they are kept."""
    failures: tuple[str, ...]
    """What was wrong with them when it was taken up."""


@dataclass(frozen=True)
class Verdict:
    """What the content credentials of a file say, and whether it is as it was signed.

    Args:
        state: valid: not a byte was changed since. none: nothing was found.
        kept_in: "the file", or the name of the sidecar.
        is_trusted: An authority that was named as trusted stands behind the certificate.
        reason: Why there are none.
    """

    state: State
    kept_in: str = ""
    signer: str = ""
    is_trusted: bool = False
    signed_at: str = ""
    """By a timestamp authority; empty if none was asked."""
    title: str = ""
    tool: str = ""
    deeds: tuple[Deed, ...] = ()
    ingredients: tuple[Ingredient, ...] = ()
    failures: tuple[str, ...] = field(default=())
    reason: str = ""


def read_verdict(report: Any, *, kept_in: str) -> Verdict:
    """Return what a report of the reference reader says; missing parts are empty."""
    report = _dict(report)
    manifest = _dict(_dict(report.get("manifests")).get(report.get("active_manifest")))
    signature = _dict(manifest.get("signature_info"))
    state = report.get("validation_state")
    signed_by = [clean(signature.get(key)) for key in ("common_name", "issuer")]
    return Verdict(
        state="valid" if state in ("Valid", "Trusted") else "invalid",
        kept_in=kept_in,
        signer=", ".join(dict.fromkeys(filter(None, signed_by))),
        is_trusted=state == "Trusted",
        signed_at=clean(signature.get("time")),
        title=clean(manifest.get("title")),
        tool=", ".join(_agent(one) for one in _list(manifest.get("claim_generator_info"))),
        deeds=tuple(_deeds(manifest)),
        ingredients=tuple(_ingredient(one) for one in _list(manifest.get("ingredients"))),
        failures=_failures(report.get("validation_results")),
    )


def clean(text: Any) -> str:
    """Return text that cannot steer a terminal, and fits on a few lines."""
    if not isinstance(text, str):
        return ""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:LONGEST]
    )


def _deeds(manifest: dict[str, Any]) -> Iterator[Deed]:
    for assertion in _list(manifest.get("assertions")):
        if not str(_dict(assertion).get("label")).startswith("c2pa.actions"):
            continue
        for action in _list(_dict(_dict(assertion).get("data")).get("actions")):
            told = _dict(action)
            yield Deed(
                clean(told.get("action")),
                clean(told.get("digitalSourceType")).rpartition("/")[2],
                _agent(told.get("softwareAgent")),
                clean(told.get("when")),
                clean(told.get("description")),
            )


def _ingredient(one: Any) -> Ingredient:
    told = _dict(one)
    return Ingredient(
        clean(told.get("title")),
        clean(told.get("relationship")),
        signed=bool(told.get("active_manifest")),
        failures=_failures(told.get("validation_results")),
    )


def _failures(results: Any) -> tuple[str, ...]:
    """Return what is wrong, in words; that nobody known issued the certificate is no fault."""
    told = _dict(results)
    parts = [told.get("activeManifest")]
    parts += [_dict(delta).get("validationDeltas") for delta in _list(told.get("ingredientDeltas"))]
    found = [
        _in_words(_dict(failure)) for part in parts for failure in _list(_dict(part).get("failure"))
    ]
    return tuple(dict.fromkeys(filter(None, found)))


def _in_words(failure: dict[str, Any]) -> str:
    code = clean(failure.get("code"))
    if code == UNTRUSTED:
        return ""
    return f"{_IN_WORDS.get(code) or clean(failure.get('explanation'))} ({code})"


def _agent(one: Any) -> str:
    """Return the name and the version of a program; older files have a plain name."""
    if isinstance(one, str):
        return clean(one)
    return " ".join(filter(None, (clean(_dict(one).get(key)) for key in ("name", "version"))))


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value[:MOST] if isinstance(value, list) else []
