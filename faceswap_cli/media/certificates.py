"""The certificate and the private key that sign results: made here, or the user's own."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509.oid import NameOID

from faceswap_cli.errors import ConfigError, FaceswapError, WorkspaceError
from faceswap_cli.files import expand_user
from faceswap_cli.media.local_certificate import make_chain, write_once

CERTIFICATE_FILE, KEY_FILE = "cert.pem", "key.pem"
MAX_PEM_BYTES = 2**20
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_WAYS = "EC P-256, P-384 or P-521, RSA of 2048 bits or more, Ed25519"
_SIGNING = ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey

Told = Callable[[str, Path, str], FaceswapError]
"""Makes an error of what is wrong, where, and what mends it."""


@dataclass(frozen=True)
class SigningKey:
    """What signs a file.

    Args:
        chain_pem: The certificate of the key, then those of who issued it.
        key_pem: PKCS#8, not encrypted.
        algorithm: As C2PA names it: es256, es384, es512, ps256 or ed25519.
        name: Of the signer, as the certificate has it.
    """

    chain_pem: bytes
    key_pem: bytes = field(repr=False)
    algorithm: str
    name: str


def find_key(certificate: str, private_key: str, folder: Path) -> SigningKey:
    """Return the user's own key, or else the one of this workspace, which is made if need be.

    Args:
        certificate: PEM file of the chain; empty: the one of the workspace.
        private_key: PEM file of its key.
        folder: Of the certificate and the key that are made here.

    Raises:
        ConfigError: The user's files are not there, or do not make a key that can sign.
        WorkspaceError: Those of the workspace do not, or cannot be written.
    """
    if not certificate and not private_key:
        return local_key(folder)
    if not certificate or not private_key:
        missing = "private_key" if certificate else "certificate"
        raise ConfigError(
            f"a certificate signs with its private key, but {missing} is empty",
            seen_in=f"video.{missing}",
            fix="give both --certificate and --private-key, or neither",
        )
    return own_key(expand_user(certificate), expand_user(private_key))


def own_key(certificate: Path, private_key: Path) -> SigningKey:
    """Read the user's own key, or raise ConfigError that says what is wrong with which file."""
    return _read_key(certificate, private_key, _told_of_own)


def read_anchors(path: Path) -> str:
    """Return certificates to trust, PEM without what stands between them, or raise ConfigError."""
    certificates = _load_certificates(path, _told_of_own)
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates).decode()


def local_key(folder: Path) -> SigningKey:
    """Return the key of a workspace; it is made once, and never overwritten.

    Raises:
        WorkspaceError: The key is lost, or is not that of the certificate, or has run out; or
            the folder cannot be written.
    """
    certificate, private_key = folder / CERTIFICATE_FILE, folder / KEY_FILE
    if certificate.exists() and not private_key.exists():
        raise _told_of_local(f"{KEY_FILE} is lost, {CERTIFICATE_FILE} is there", folder, "")
    if not private_key.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        write_once(private_key, _pem_of_key(made))
    if not certificate.exists():  # also where a kill came between the two
        key = _load_key(private_key, _told_of_local)
        if not isinstance(key, _SIGNING):
            raise _told_of_local(f"a kind of key that cannot sign, not {_WAYS}", private_key, "")
        write_once(certificate, make_chain(key.public_key()))
    return _read_key(certificate, private_key, _told_of_local)


def _told_of_own(what: str, where: Path, fix: str) -> FaceswapError:
    return ConfigError(what, seen_in=where, fix=fix)


def _told_of_local(what: str, where: Path, _: str) -> FaceswapError:
    folder = where if where.is_dir() else where.parent
    fix = (
        f"put the file back, or move the folder {folder.name} away: a new pair is made, and what"
        " is signed already stays valid"
    )
    return WorkspaceError(what, seen_in=where, fix=fix)


def _read_key(certificate: Path, private_key: Path, told: Told) -> SigningKey:
    key = _load_key(private_key, told)
    algorithm = _algorithm(key)
    if algorithm is None:
        raise told(f"a kind of key that C2PA does not know, not {_WAYS}", private_key, "use one")
    certificates = _load_certificates(certificate, told)
    chain = _chain_of(key.public_key(), certificates)
    if not chain:
        raise told(
            f"{private_key.name} is not the key of the certificate",
            certificate,
            f"give the key that was made with {certificate.name}",
        )
    _check_dates(chain[0], certificate, told)
    return SigningKey(
        b"".join(part.public_bytes(serialization.Encoding.PEM) for part in chain),
        _pem_of_key(key),
        algorithm,
        _name_of(chain[0], certificate, told),
    )


def _name_of(certificate: x509.Certificate, path: Path, told: Told) -> str:
    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else certificate.subject.rfc4514_string()
    except ValueError as error:
        raise told("the certificate's subject is damaged", path, "have it issued again") from error


def _load_key(path: Path, told: Told) -> PrivateKeyTypes:
    data = _read(path, told)
    try:
        return serialization.load_pem_private_key(data, password=None)
    except TypeError as error:  # it wants a password
        fix = f"openssl pkey -in {path.name} -out open.pem && chmod 600 open.pem, and give that"
        raise told("the private key is encrypted, and nobody is asked", path, fix) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        fix = "give a file that begins with -----BEGIN PRIVATE KEY-----"
        raise told("not a private key in PEM", path, fix) from error


def _load_certificates(path: Path, told: Told) -> list[x509.Certificate]:
    data = _read(path, told)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        fix = "give a file that begins with -----BEGIN CERTIFICATE-----"
        raise told("not a certificate in PEM", path, fix) from error


def _read(path: Path, told: Told) -> bytes:
    try:
        if not path.is_file():
            raise told("no such file", path, "check the path")
        if path.stat().st_size > MAX_PEM_BYTES:
            raise told("too large for a PEM file", path, "check the path")
        return path.read_bytes()
    except OSError as error:
        raise told(f"cannot be read: {error.strerror}", path, f"chmod u+r {path}") from error


def _algorithm(key: PrivateKeyTypes) -> str | None:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVES.get(key.curve.name)
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256" if key.key_size >= 2048 else None
    return "ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else None


def _chain_of(key: PublicKeyTypes, certificates: list[x509.Certificate]) -> list[x509.Certificate]:
    """Return the certificate of the key and those above it, in whatever order they were given."""
    rest = list(certificates)
    chain: list[x509.Certificate] = []
    found = next((certificate for certificate in rest if _is_of(key, certificate)), None)
    while found is not None:
        chain.append(found)
        rest.remove(found)
        found = next((other for other in rest if _has_issued(other, chain[-1])), None)
    return chain


def _is_of(key: PublicKeyTypes, certificate: x509.Certificate) -> bool:
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    try:
        return certificate.public_key().public_bytes(*form) == key.public_bytes(*form)
    except (ValueError, UnsupportedAlgorithm):  # of a kind of key that is not ours
        return False


def _has_issued(issuer: x509.Certificate, issued: x509.Certificate) -> bool:
    try:
        issued.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_dates(certificate: x509.Certificate, path: Path, told: Told) -> None:
    now = datetime.datetime.now(datetime.UTC)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        raise told(f"the certificate ran out on {end:%Y-%m-%d}", path, "renew it")
    if now < start:
        what = f"the certificate is valid from {start:%Y-%m-%d} on, and today is {now:%Y-%m-%d}"
        raise told(what, path, "set the clock of this machine, or wait")


def _pem_of_key(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
