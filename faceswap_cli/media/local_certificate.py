"""Making a certificate on this machine.

It proves that a file is as it was signed, not who signed it: no authority stands behind it, and
it names neither user nor machine.
"""

import datetime
import os
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from faceswap_cli.files import explain_write_error

SIGNER_NAME = "faceswap-cli local signer"
VALID = datetime.timedelta(days=3650)
CLOCK_ERROR = datetime.timedelta(hours=1)
"""A certificate is valid this much before it was made, for machines whose clock is behind."""


def make_chain(public_key: CertificatePublicKeyTypes) -> bytes:
    """Return a certificate for the key, and the root that issued it, whose key is forgotten."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _certify(root_key.public_key(), root_key, is_root=True)
    leaf = _certify(public_key, root_key, is_root=False)
    return b"".join(part.public_bytes(serialization.Encoding.PEM) for part in (leaf, root))


def _certify(
    public_key: CertificatePublicKeyTypes, root_key: ec.EllipticCurvePrivateKey, *, is_root: bool
) -> x509.Certificate:
    """Sign a certificate with the extensions that C2PA's certificate profile asks for."""
    now = datetime.datetime.now(datetime.UTC)
    issuer = _name("faceswap-cli local root")
    made = (
        x509.CertificateBuilder()
        .subject_name(issuer if is_root else _name(SIGNER_NAME))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_ERROR)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(is_root, 0 if is_root else None), critical=True)
        .add_extension(_usage(is_root=is_root), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
    )
    if is_root:
        identifier = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
        made = made.add_extension(identifier, critical=False)
    else:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        made = made.add_extension(purpose, critical=False)
    return made.sign(root_key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "faceswap-cli"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _usage(*, is_root: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_root,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_root,
        crl_sign=is_root,
        encipher_only=False,
        decipher_only=False,
    )


def write_once(path: Path, data: bytes) -> None:
    """Write a file only its owner may read; one that is there meanwhile stays."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _publish(partial, path)
    except OSError as error:
        raise explain_write_error(error, path) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _publish(partial: Path, path: Path) -> None:
    try:
        path.hardlink_to(partial)  # unlike a rename, it fails where there is a file
    except FileExistsError:
        return
    except OSError:  # a file system without links
        if not path.exists():
            partial.replace(path)
