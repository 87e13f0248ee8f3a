import base64
import datetime
import json
import logging
import os
import random
import resource
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import c2pa
import cv2
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from faceswap_cli.commands.credentials import credentials
from faceswap_cli.errors import ConfigError, FaceswapError, MediaError, WorkspaceError
from faceswap_cli.faces.metadata import read_comment, with_comment
from faceswap_cli.imaging import decode_image, encode_image, read_image
from faceswap_cli.media import signing
from faceswap_cli.media.certificates import SigningKey, find_key, local_key, own_key
from faceswap_cli.media.credentials import prepare_key, sign_file, verify
from faceswap_cli.media.provenance import DIGITAL_SOURCE_TYPE, with_synthetic_mark
from faceswap_cli.media.reference_reader import can_embed, sidecar_of
from faceswap_cli.media.signing import Signing
from faceswap_cli.media.verdict import read_verdict
from faceswap_cli.stages.credentials import run_show
from tests.clips import noise_images, write_clip

PICTURES = noise_images(3, (64, 48))
EMBEDDING = (".mp4", ".mov", ".m4v", ".gif", ".png", ".jpg", ".webp", ".tiff")
CHANGED = "changed after it was signed"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return local_key(tmp_path_factory.mktemp("key") / "credentials")


def made(path: Path) -> Path:
    """Write a tiny picture or video of that suffix."""
    encoders = {".webm": ("libvpx-vp9", "yuv420p"), ".gif": ("gif", "rgb8")}
    if path.suffix in (".png", ".jpg", ".webp", ".tiff"):
        path.write_bytes(bytes(cv2.imencode(path.suffix, PICTURES[0])[1]))
        return path
    encoder, pix_fmt = encoders.get(path.suffix, ("libx264", "yuv420p"))
    options: dict[str, str] | None = None if encoder == "libx264" else {}
    return write_clip(path, PICTURES, encoder=encoder, pix_fmt=pix_fmt, options=options)


def signed(path: Path, key: SigningKey, parent: Path | None = None) -> Path:
    """Write such a file, and sign it."""
    unsigned = made(path.with_stem(f"unsigned_{path.stem}"))
    sign_file(unsigned, path, title=path.name, parent=parent, key=key, tool_version="1.2")
    return path


def flip(path: Path, at: int) -> Path:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    return path


def pem_of(key: Any, *, password: bytes | None = None) -> bytes:
    hidden = serialization.BestAvailableEncryption(password) if password else None
    return bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            hidden or serialization.NoEncryption(),
        )
    )


def certify(key: Any, *, days: tuple[int, int] = (-1, 9), purpose: bool = True) -> bytes:
    """Return a certificate that signs itself."""
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ann")])
    begin, end = (now + datetime.timedelta(days=number) for number in days)
    usage = x509.KeyUsage(True, *[False] * 8)
    builder = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), begin, end
        )
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    )
    if purpose:
        emails = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(emails, critical=False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM)


def own_pair(folder: Path, key: Any = None, **how: Any) -> tuple[Path, Path]:
    key = key or ec.generate_private_key(ec.SECP256R1())
    certificate, private_key = folder / "my.pem", folder / "my-key.pem"
    certificate.write_bytes(certify(key, **how))
    private_key.write_bytes(pem_of(key))
    return certificate, private_key


@pytest.mark.parametrize("suffix", EMBEDDING)
def test_a_signed_file_says_what_was_done_and_from_what(
    tmp_path: Path, key: SigningKey, suffix: str
) -> None:
    assert can_embed(suffix)
    parent = made(tmp_path / "footage.mkv")
    path = signed(tmp_path / f"result{suffix}", key, parent)
    verdict = verify(path)
    assert (verdict.state, verdict.kept_in, verdict.failures) == ("valid", "the file", ())
    assert verdict.title == path.name
    assert verdict.signer == "faceswap-cli local signer, faceswap-cli"
    assert not verdict.is_trusted
    assert [deed.action for deed in verdict.deeds] == ["c2pa.opened", "c2pa.edited"]
    edited = verdict.deeds[1]
    assert edited.source_type == DIGITAL_SOURCE_TYPE
    assert (edited.tool, edited.description) == ("faceswap-cli 1.2", "A face was replaced.")
    assert abs(
        datetime.datetime.fromisoformat(edited.when) - datetime.datetime.now(datetime.UTC)
    ) < datetime.timedelta(minutes=1)
    [ingredient] = verdict.ingredients
    assert (ingredient.title, ingredient.relationship) == ("footage.mkv", "parentOf")
    assert not ingredient.signed
    assert sorted(other.name for other in tmp_path.iterdir()) == sorted(["footage.mkv", path.name])
    assert b"c2pa.thumbnail" not in path.read_bytes()  # it would be larger than the picture


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_a_format_that_holds_none_gets_a_sidecar_and_stays_as_it_is(
    tmp_path: Path, key: SigningKey, suffix: str
) -> None:
    assert not can_embed(suffix)
    unsigned = made(tmp_path / f"unsigned{suffix}")
    data, path = unsigned.read_bytes(), tmp_path / f"result{suffix}"
    done = sign_file(unsigned, path, title="r", parent=None, key=key, tool_version="1")
    assert done.sidecar == tmp_path / f"result{suffix}.c2pa" == sidecar_of(path)
    assert path.read_bytes() == data
    assert not unsigned.exists()
    for shown in (path, done.sidecar):
        assert (verify(shown).state, verify(shown).kept_in) == ("valid", done.sidecar.name)
    for at in (0, len(data) // 2, len(data) - 1):
        assert CHANGED in verify(flip(path, at)).failures[0]
        flip(path, at)
    path.write_bytes(data + b"x")
    assert verify(path).state == "invalid"
    done.sidecar.unlink()
    assert verify(path).state == "none"


def test_a_sidecar_named_as_others_do_is_found(tmp_path: Path, key: SigningKey) -> None:
    path = signed(tmp_path / "result.mkv", key)
    sidecar_of(path).rename(tmp_path / "result.c2pa")
    assert (verify(path).state, verify(path).kept_in) == ("valid", "result.c2pa")
    assert verify(made(tmp_path / "result.png")).state == "none"  # it would hold its own


def test_every_byte_of_the_picture_counts(tmp_path: Path, key: SigningKey) -> None:
    path = signed(tmp_path / "result.mp4", key)
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    for at in range(start, len(data), len(data) // 12):
        verdict = verify(flip(path, at))
        assert verdict.state == "invalid"
        assert any(CHANGED in failure for failure in verdict.failures)
        flip(path, at)
    assert verify(path).state == "valid"


def test_what_the_credentials_say_cannot_be_changed(tmp_path: Path, key: SigningKey) -> None:
    path = signed(tmp_path / "result.mp4", key)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"A face was replaced.", b"Nothing was changed."))
    verdict = verify(path)
    assert verdict.state == "invalid"
    assert "what the credentials say was changed" in " ".join(verdict.failures)


def test_credentials_outlive_a_copy_but_not_a_remux(tmp_path: Path, key: SigningKey) -> None:
    path = signed(tmp_path / "result.mp4", key)
    copy, remuxed = tmp_path / "copy.mp4", tmp_path / "remuxed.mp4"
    shutil.copyfile(path, copy)
    with av.open(str(path)) as source, av.open(str(remuxed), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert verify(copy).state == "valid"
    assert verify(remuxed).state == "none"
    assert "no sidecar" in verify(remuxed).reason


def test_a_signed_video_shows_the_same_frames(tmp_path: Path, key: SigningKey) -> None:
    path = signed(tmp_path / "result.mp4", key)

    def frames(clip: Path) -> list[Any]:
        with av.open(str(clip)) as container:
            return [(f.pts, f.to_ndarray().tobytes()) for f in container.decode(video=0)]

    assert frames(path) == frames(made(tmp_path / "again.mp4"))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_credentials_of_the_footage_are_kept(tmp_path: Path, key: SigningKey, suffix: str) -> None:
    first = signed(tmp_path / f"first{suffix}", key)
    [ingredient] = verify(signed(tmp_path / "second.mp4", key, first)).ingredients
    assert (ingredient.signed, ingredient.failures) == (True, ())
    flip(first, len(first.read_bytes()) - 9)
    verdict = verify(signed(tmp_path / "third.mp4", key, first))
    assert verdict.state == "valid"
    assert CHANGED in verdict.ingredients[0].failures[0]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_unreadable_credentials_of_the_footage_stop_nothing(
    tmp_path: Path, key: SigningKey, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    parent = signed(tmp_path / f"parent{suffix}", key)
    kept = parent if suffix == ".mp4" else sidecar_of(parent)
    kept.write_bytes(kept.read_bytes().replace(b"jumb", b"jumx"))
    with caplog.at_level(logging.WARNING):
        verdict = verify(signed(tmp_path / "result.mp4", key, parent))
    assert (verdict.state, verdict.ingredients[0].title) == ("valid", parent.name)
    assert not verdict.ingredients[0].signed
    assert "its own credentials cannot be read" in caplog.text


def test_without_a_parent_the_file_was_created(tmp_path: Path, key: SigningKey) -> None:
    verdict = verify(signed(tmp_path / "result.mp4", key))
    assert [deed.action for deed in verdict.deeds] == ["c2pa.created", "c2pa.edited"]
    assert verdict.deeds[0].source_type == DIGITAL_SOURCE_TYPE
    assert verdict.ingredients == ()


def test_pictures_are_signed_in_memory_and_keep_their_marks(
    tmp_path: Path, key: SigningKey
) -> None:
    batch = Signing(key, parent=made(tmp_path / "footage.mp4"), tool_version="1")
    for suffix in (".png", ".jpg"):
        data = with_comment(encode_image(PICTURES[0], suffix), "kept")
        marked = with_synthetic_mark(data, "1")
        assert with_synthetic_mark(marked, "1") == marked
        for number in range(2):
            path = tmp_path / f"{number}{suffix}"
            path.write_bytes(batch.sign_picture(marked, suffix, title=path.name))
            assert (verify(path).state, verify(path).title) == ("valid", path.name)
            assert read_comment(path.read_bytes()) == "kept"
            assert DIGITAL_SOURCE_TYPE.encode() + b'"/>' in path.read_bytes()
            assert (read_image(path) == decode_image(data, path)).all()


def test_only_pictures_we_write_are_marked() -> None:
    with pytest.raises(MediaError, match="neither a JPEG nor a PNG"):
        with_synthetic_mark(b"GIF89a", "1")


def test_a_file_is_signed_in_its_place(tmp_path: Path, key: SigningKey) -> None:
    for path in (made(tmp_path / "still.png"), made(tmp_path / "clip.mkv")):
        sign_file(path, path, title="a", parent=None, key=key, tool_version="1")
        assert verify(path).state == "valid"


def test_nothing_tells_of_the_machine(tmp_path: Path, key: SigningKey) -> None:
    home = tmp_path / "home of ann"
    home.mkdir()
    path = signed(home / "result.mp4", key, made(home / "footage.mp4"))
    chain = x509.load_pem_x509_certificates(key.chain_pem)
    names = {name.value for one in chain for name in (*one.subject, *one.issuer)}
    assert names == {"faceswap-cli", "faceswap-cli local signer", "faceswap-cli local root"}
    for secret in (b"home of ann", os.fsencode(tmp_path.name)):
        assert secret not in path.read_bytes()


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, key: SigningKey) -> None:
    old, unsigned = tmp_path / "result.mp4", made(tmp_path / "unsigned.mp4")
    old.write_bytes(b"old")
    unsigned.write_bytes(unsigned.read_bytes() + b"\0\0\x40\0free" + bytes(0x4000 - 8))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        with pytest.raises(WorkspaceError, match=r"cannot write .*result\.mp4.*: File too large"):
            sign_file(unsigned, old, title="a", parent=None, key=key, tool_version="1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert old.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.mp4", "unsigned.mp4"]


def test_what_cannot_be_signed_is_told_and_left(tmp_path: Path, key: SigningKey) -> None:
    unsigned = tmp_path / "unsigned.mp4"
    unsigned.write_text("no video")
    with pytest.raises(MediaError, match=r"result cannot be signed.*\nfix: --no-credentials"):
        sign_file(
            unsigned, tmp_path / "r.mp4", title="result", parent=None, key=key, tool_version="1"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["unsigned.mp4"]


def test_copies_of_large_files_are_made_beside_them(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    sign = c2pa.Builder.sign
    monkeypatch.setattr(signing, "IN_MEMORY_MB", 0)
    monkeypatch.setenv("TMPDIR", "/mine")

    def watched(*arguments: Any) -> Any:
        seen.append(os.environ["TMPDIR"])
        return sign(*arguments)

    monkeypatch.setattr(c2pa.Builder, "sign", watched)
    signed(tmp_path / "result.mp4", key)
    assert seen == [str(tmp_path)]
    assert os.environ["TMPDIR"] == "/mine"


@pytest.mark.parametrize("parent", [False, True])
def test_nothing_is_fetched(tmp_path: Path, key: SigningKey, parent: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        info = c2pa.C2paSignerInfo(b"es256", key.chain_pem, key.key_pem, None)
        created = {"action": "c2pa.created", "digitalSourceType": "http://c2pa.org/x"}
        claim = {"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}]}
        builder = c2pa.Builder(claim)
        builder.set_no_embed()
        builder.set_remote_url(f"http://127.0.0.1:{server.getsockname()[1]}/m.c2pa")
        plain, remote = made(tmp_path / "plain.jpg"), tmp_path / "remote.jpg"
        with plain.open("rb") as source, remote.open("w+b") as target:
            builder.sign(c2pa.Signer.from_info(info), "jpg", source, target)
        if parent:
            assert verify(signed(tmp_path / "result.jpg", key, remote)).state == "valid"
        else:
            verdict = verify(remote)
            assert verdict.state == "none"
            assert "nothing is fetched" in verdict.reason
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("content", [b"", b"hello\n", bytes(range(256)) * 9, b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize("suffix", [".mp4", ".txt", ".png", ".mkv", ".c2pa", ""])
def test_a_file_of_anything_is_never_valid(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"any{suffix}"
    path.write_bytes(content)
    try:
        assert verify(path).state in ("none", "invalid")
    except MediaError as error:
        assert suffix == ".c2pa"
        assert "says nothing without its file" in str(error)


def test_damaged_files_are_told_not_crashed_on(tmp_path: Path, key: SigningKey) -> None:
    rng = random.Random(0)
    paths = [signed(tmp_path / f"a{suffix}", key) for suffix in (".mp4", ".png", ".jpg", ".mkv")]
    whole = {path: path.read_bytes() for path in (*paths[:3], sidecar_of(paths[3]))}
    for _ in range(120):
        path, data = rng.choice(list(whole.items()))
        cut = bytearray(data[: rng.randrange(len(data))] if rng.random() < 0.5 else data)
        for _ in range(4 * bool(cut)):
            cut[rng.randrange(min(len(cut), 4000))] = rng.randrange(256)
        path.write_bytes(cut)
        state = verify(path).state  # changes to the padding in the credentials mean nothing
        assert state != "valid" or len(cut) == len(data)
        path.write_bytes(data)


def test_no_such_file_and_folders_are_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone.mp4"):
        with pytest.raises(MediaError, match="no such file"):
            verify(path)


def test_words_of_others_cannot_steer_the_terminal(tmp_path: Path) -> None:
    manifest = {
        "title": "a\x1b[2Jb\n" + "c" * 5000,
        "signature_info": {"common_name": "\x07Ann", "issuer": 7},
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": [{"action": "\x1b]0;x\x07"}]}}
        ],
        "ingredients": ["x", {"title": None}],
    }
    report = {"active_manifest": "m", "manifests": {"m": manifest}, "validation_state": "Valid"}
    verdict = read_verdict(report, kept_in="x")
    told = json.dumps([verdict.title, verdict.signer, verdict.deeds[0].action])
    assert "\\u001b" not in told
    assert "\\n" not in told
    assert "\\u0007" not in told
    assert len(verdict.title) <= 200


@pytest.mark.parametrize("report", [None, [], {}, {"manifests": 3}, {"validation_state": "valid"}])
def test_a_report_of_another_shape_is_not_valid(report: Any) -> None:
    assert read_verdict(report, kept_in="x").state == "invalid"


def test_an_authority_must_be_named_to_be_trusted(tmp_path: Path, key: SigningKey) -> None:
    path, root = signed(tmp_path / "result.png", key), tmp_path / "root.pem"
    other = local_key(tmp_path / "other")
    for chain, is_trusted in ((key.chain_pem, True), (other.chain_pem, False)):
        last = x509.load_pem_x509_certificates(chain)[-1]
        root.write_bytes(last.public_bytes(serialization.Encoding.PEM))
        assert verify(path, anchors=root).is_trusted is is_trusted
    root.write_bytes("# Ämter und Behörden\n".encode() + key.chain_pem)
    assert verify(path, anchors=root).is_trusted
    for text in (b"nothing", b"-----BEGIN CERTIFICATE-----\nxxx\n"):
        root.write_bytes(text)
        with pytest.raises(ConfigError, match="not a certificate in PEM"):
            verify(path, anchors=root)
    root.write_bytes(bytes(2**21))
    with pytest.raises(ConfigError, match="too large for a PEM file"):
        verify(path, anchors=root)


def test_authorities_that_the_library_refuses_are_told(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root.pem"
    root.write_bytes(key.chain_pem)
    monkeypatch.setattr("faceswap_cli.media.credentials.read_anchors", lambda _: "-----BEGIN C")
    with pytest.raises(ConfigError, match=r"to trust cannot be used(.*\n)+.*root\.pem"):
        verify(signed(tmp_path / "result.png", key), anchors=root)


def test_the_certificate_is_made_once_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    first = find_key("", "", folder)
    assert {path.name for path in folder.iterdir()} == {"cert.pem", "key.pem"}
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert find_key("", "", folder) == first
    assert "PRIVATE" not in repr(first)
    leaf = x509.load_pem_x509_certificates(first.chain_pem)[0]
    left = leaf.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert 3640 < left.days < 3660


def test_a_lost_certificate_is_made_again_for_its_key(tmp_path: Path) -> None:
    first = local_key(tmp_path)
    (tmp_path / "cert.pem").unlink()
    assert local_key(tmp_path).key_pem == first.key_pem


def lose_the_key(folder: Path) -> None:
    (folder / "key.pem").unlink()


def take_another_key(folder: Path) -> None:
    (folder / "key.pem").write_bytes(pem_of(ec.generate_private_key(ec.SECP256R1())))


def cut_the_certificate(folder: Path) -> None:
    (folder / "cert.pem").write_text("-----BEGIN CERT")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lose_the_key, "key.pem is lost"),
        (take_another_key, "key.pem is not the key of the certificate"),
        (cut_the_certificate, "not a certificate in PEM"),
    ],
)
def test_a_broken_pair_is_told_and_never_overwritten(
    tmp_path: Path, harm: Callable[[Path], None], told: str
) -> None:
    local_key(tmp_path)
    harm(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(WorkspaceError, match=rf"{told}(.*\n)+.*move the folder .* away"):
        local_key(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


KEYS: dict[str, Callable[[], Any]] = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "es512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_key_of_ones_own_signs(tmp_path: Path, algorithm: str) -> None:
    certificate, private_key = own_pair(tmp_path, KEYS[algorithm]())
    key = prepare_key(str(certificate), str(private_key), tmp_path / "credentials")
    assert (key.algorithm, key.name) == (algorithm, "Ann")
    assert not (tmp_path / "credentials").exists()
    assert verify(signed(tmp_path / "a.png", key)).signer == "Ann"


def test_a_chain_may_stand_in_any_order(tmp_path: Path) -> None:
    key = local_key(tmp_path)
    chain = x509.load_pem_x509_certificates(key.chain_pem)
    stranger = certify(ec.generate_private_key(ec.SECP256R1()))
    pems = [one.public_bytes(serialization.Encoding.PEM) for one in reversed(chain)]
    unknown = rewrite(tmp_path / "cert.pem", P256, NO_CURVE)
    (tmp_path / "mixed.pem").write_bytes(b"".join([unknown, stranger, *pems]))
    assert own_key(tmp_path / "mixed.pem", tmp_path / "key.pem") == key


def encrypt(certificate: Path, private_key: Path) -> None:
    key = serialization.load_pem_private_key(private_key.read_bytes(), None)
    private_key.write_bytes(pem_of(key, password=b"x"))


def swap(certificate: Path, private_key: Path) -> None:
    private_key.write_bytes(pem_of(ec.generate_private_key(ec.SECP256R1())))


def drop(certificate: Path, private_key: Path) -> None:
    certificate.unlink()


def garble(certificate: Path, private_key: Path) -> None:
    private_key.write_bytes(b"\0\1\2")


def run_out(certificate: Path, private_key: Path) -> None:
    own_pair(certificate.parent, days=(-9, -2))


def lie_ahead(certificate: Path, private_key: Path) -> None:
    own_pair(certificate.parent, days=(2, 9))


def take_an_odd_curve(certificate: Path, private_key: Path) -> None:
    own_pair(certificate.parent, ec.generate_private_key(ec.SECP256K1()))


def forget_the_purpose(certificate: Path, private_key: Path) -> None:
    own_pair(certificate.parent, purpose=False)


def rewrite(certificate: Path, old: bytes, new: bytes) -> bytes:
    """Return the certificate with other bytes in it, as PEM."""
    data = x509.load_pem_x509_certificates(certificate.read_bytes())[0].public_bytes(
        serialization.Encoding.DER
    )
    assert old in data
    begin, end = (f"-----{word} CERTIFICATE-----\n".encode() for word in ("BEGIN", "END"))
    return begin + base64.encodebytes(data.replace(old, new)) + end


P256 = bytes.fromhex("06082a8648ce3d030107")
NO_CURVE = bytes.fromhex("06082a8648ce3d03017f")


def take_an_unknown_curve(certificate: Path, private_key: Path) -> None:
    certificate.write_bytes(rewrite(certificate, P256, NO_CURVE))


def break_the_name(certificate: Path, private_key: Path) -> None:
    certificate.write_bytes(rewrite(certificate, b"\x0c\x03Ann", b"\x0c\x03\xff\xfe\xfd"))


def inflate(certificate: Path, private_key: Path) -> None:
    certificate.write_bytes(bytes(2**21))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (encrypt, r"the private key is encrypted(.*\n)+fix: openssl pkey"),
        (swap, "my-key.pem is not the key of the certificate"),
        (drop, r"no such file\nseen in: .*my.pem"),
        (garble, "not a private key in PEM"),
        (run_out, "the certificate ran out on 20"),
        (lie_ahead, "the certificate is valid from 20"),
        (take_an_odd_curve, "a kind of key that C2PA does not know"),
        (take_an_unknown_curve, "my-key.pem is not the key of the certificate"),
        (break_the_name, r"the certificate's subject is damaged\nseen in: .*my.pem"),
        (forget_the_purpose, r"cannot sign content credentials(.*\n)+.*emailProtection"),
        (inflate, "too large for a PEM file"),
    ],
)
def test_a_key_that_cannot_sign_is_told_before_the_work(
    tmp_path: Path, harm: Callable[[Path, Path], None], told: str
) -> None:
    certificate, private_key = own_pair(tmp_path)
    harm(certificate, private_key)
    with pytest.raises(ConfigError, match=told):
        prepare_key(str(certificate), str(private_key), tmp_path)


@pytest.mark.parametrize("given", [("x.pem", ""), ("", "x.pem")])
def test_certificate_and_key_go_together(tmp_path: Path, given: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="give both --certificate and --private-key"):
        find_key(*given, tmp_path)


def test_show_tells_people_and_programs(tmp_path: Path, key: SigningKey) -> None:
    path = signed(tmp_path / "result.mp4", key, made(tmp_path / "footage.mp4"))

    def show(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(credentials, ["show", str(path), *arguments])
        return result.exit_code, result.output

    code, text = show()
    assert code == 0
    for words in (
        "result.mp4: valid",
        "faceswap-cli local signer",
        "nobody vouches",
        "by the signer's own clock",
        "A face was replaced.",
        DIGITAL_SOURCE_TYPE,
        "made from: footage.mp4",
    ):
        assert words in text
    assert json.loads(show("--json")[1])["state"] == "valid"
    flip(path, -20)
    code, text = show()
    assert code == MediaError.exit_code
    assert "INVALID" in text
    assert CHANGED in text
    made(path)
    code, text = show("--json")
    assert (code, json.loads(text)["state"]) == (WorkspaceError.exit_code, "none")
    assert "no content credentials" in run_show(path).summary()


def test_a_missing_file_is_one_of_our_errors(tmp_path: Path) -> None:
    result = CliRunner().invoke(credentials, ["show", str(tmp_path / "gone.mp4")])
    assert isinstance(result.exception, FaceswapError)


def test_a_key_that_cannot_sign_is_told_before_it_gets_a_certificate(tmp_path: Path) -> None:
    pem = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "key.pem").write_bytes(pem)
    with pytest.raises(WorkspaceError, match=r"a kind of key that cannot sign[\s\S]*a new pair"):
        local_key(tmp_path)
    assert (tmp_path / "key.pem").read_bytes() == pem
    assert not (tmp_path / "cert.pem").exists()
