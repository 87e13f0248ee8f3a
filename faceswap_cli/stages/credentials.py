"""What the content credentials of a file say, in words."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.media.credentials import verify
from faceswap_cli.media.verdict import Deed, Ingredient, Verdict

_STATES = {
    "valid": "valid: the file is as it was signed",
    "invalid": "INVALID",
    "none": "no content credentials",
}


@dataclass(frozen=True)
class CredentialsReport:
    """A verdict about a file, for people and for programs."""

    path: Path
    verdict: Verdict

    @property
    def exit_code(self) -> int:
        """0 valid, 4 invalid, 3 none: what was asked for is not there."""
        codes = {"valid": 0, "invalid": MediaError.exit_code, "none": WorkspaceError.exit_code}
        return codes[self.verdict.state]

    def summary(self) -> str:
        """Return what is printed."""
        return "\n".join([f"{self.path.name}: {_STATES[self.verdict.state]}", *self._lines()])

    def _lines(self) -> Iterator[str]:
        verdict = self.verdict
        if verdict.reason:
            yield f"  {verdict.reason}"
        for failure in verdict.failures:
            yield f"  FAILED: {failure}"
        if verdict.signer:
            known = "a trusted authority issued" if verdict.is_trusted else "nobody vouches for"
            yield f"  signed by: {verdict.signer} ({known} the certificate)"
            yield f"  signed at: {_time(verdict)}"
        if verdict.tool:
            yield f"  made with: {verdict.tool}"
        yield from (f"  done: {_deed(deed)}" for deed in verdict.deeds)
        yield from (f"  made from: {_ingredient(one)}" for one in verdict.ingredients)
        if verdict.kept_in:
            yield f"  kept in: {verdict.kept_in}"

    def as_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return {"file": str(self.path), **asdict(self.verdict)}


def run_show(path: Path, *, anchors: Path | None = None) -> CredentialsReport:
    """Read and check the content credentials of a file; nothing is written.

    Args:
        path: A video or a picture, or its sidecar.
        anchors: PEM file of the certificates of authorities to trust.

    Raises:
        MediaError: The file is not there or cannot be read.
        ConfigError: The anchors cannot be read.
    """
    return CredentialsReport(path, verify(path, anchors=anchors))


def _time(verdict: Verdict) -> str:
    if verdict.signed_at:
        return f"{verdict.signed_at}, says a timestamp authority"
    own = [deed.when for deed in verdict.deeds if deed.when]
    return f"{own[-1]}, by the signer's own clock" if own else "nobody says"


def _deed(deed: Deed) -> str:
    told = ", ".join(filter(None, (deed.source_type, deed.tool)))
    return " ".join(filter(None, (deed.action, deed.description, f"({told})" if told else "")))


def _ingredient(one: Ingredient) -> str:
    if not one.signed:
        own = "it had no credentials"
    elif one.failures:
        own = f"its own credentials were not valid: {'; '.join(one.failures)}"
    else:
        own = "its own credentials are kept"
    return f"{one.title} ({one.relationship}; {own})"
