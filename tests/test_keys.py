"""Keys and signatures against the vectors of the Go programs."""

from __future__ import annotations

import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.errors import InvalidKey
from skywire.keys import PubKey, SecKey, Signature, derive_key_pair
from tests.vectors_io import Vector, load

CIPHER = load("cipher.json")
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ALICE = SecKey.from_hex("1e2306919f7afb647a4f9633647066986fdf0dca47d25bcc2ce5e8d7b6bc3b85")

secret_keys = st.integers(1, ORDER - 1).map(lambda k: SecKey(k.to_bytes(32, "big")))


@pytest.mark.parametrize("case", CIPHER.many("secret_keys"))
def test_secret_keys(case: Vector) -> None:
    if case.flag("valid"):
        assert SecKey(case.data("sk")).public == PubKey.from_hex(case.text("pk"))
    else:
        with pytest.raises(InvalidKey):
            SecKey(case.data("sk"))


@pytest.mark.parametrize("case", CIPHER.many("public_keys"))
def test_public_keys(case: Vector) -> None:
    if case.flag("valid"):
        assert PubKey(case.data("pk")).hex() == case.text("pk")
    else:
        with pytest.raises(InvalidKey):
            PubKey(case.data("pk"))


@pytest.mark.parametrize("case", CIPHER.many("public_key_text"))
def test_public_key_text(case: Vector) -> None:
    text, value = case.text("text"), case.text("unmarshal_text_value")
    if case.flag("set_ok"):
        assert PubKey.from_hex(text).hex() == value
    else:
        with pytest.raises(InvalidKey):
            PubKey.from_hex(text)
    if case.flag("unmarshal_text_ok"):
        key = PubKey.from_optional_hex(text)
        assert (key.hex() if key else "00" * 33) == value
    else:
        with pytest.raises(InvalidKey):
            PubKey.from_optional_hex(text)


@pytest.mark.parametrize("case", CIPHER.many("deterministic_key_pairs"))
def test_derived_key_pairs(case: Vector) -> None:
    pair = derive_key_pair(case.data("seed"))
    assert pair.secret_key == SecKey.from_hex(case.text("sk"))
    assert pair.secret_key.public.hex() == case.text("pk")


def test_derivation_chains() -> None:
    pair = derive_key_pair(b"alice")
    assert pair.secret_key == ALICE
    assert pair.next_seed.hex() == "882a89198acc24a4bc3ce0cd41a18dd35af81f3820b27be769c56114d4d861d6"
    with pytest.raises(InvalidKey, match="seed"):
        derive_key_pair(b"")


@pytest.mark.parametrize("case", CIPHER.many("ecdh"))
def test_ecdh(case: Vector) -> None:
    a, b = SecKey.from_hex(case.text("sk_a")), SecKey.from_hex(case.text("sk_b"))
    assert a.public.hex() == case.text("pk_a")
    assert a.ecdh(b.public) == b.ecdh(a.public) == case.data("shared_sha256")
    assert hashlib.sha256(case.data("point_compressed")).digest() == case.data("shared_sha256")


@pytest.mark.parametrize("case", CIPHER.many("sign_fixed_nonce"))
def test_signatures_of_the_go_signer(case: Vector) -> None:
    key, signature, digest = (
        SecKey.from_hex(case.text("sk")),
        Signature.from_hex(case.text("sig")),
        case.data("hash"),
    )
    assert key.public.verify_digest(signature, digest)
    assert signature.recover(digest) == key.public
    repeat = case.one("message_repeat") if "message_repeat" in case else None
    message = repeat.data("byte") * repeat.number("count") if repeat else case.data("message")
    if hashlib.sha256(message).digest() == digest:
        assert key.public.verify(signature, message)
    assert key.public.verify(key.sign(message), message)
    # The signer's own arithmetic, from (key, digest, nonce): s is made low, and the recovery id follows.
    k = SecKey(case.data("nonce"))
    r = int.from_bytes(k.public.raw[1:], "big") % ORDER
    s = pow(int(case.text("nonce"), 16), -1, ORDER) * (int.from_bytes(digest, "big") + r * int(case.text("sk"), 16))
    s %= ORDER
    recovery_id = k.public.raw[0] & 1
    if s > ORDER // 2:
        s, recovery_id = ORDER - s, recovery_id ^ 1
    assert signature.raw == r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([recovery_id])


@pytest.mark.parametrize("case", CIPHER.many("verify"))
def test_verification_verdicts(case: Vector) -> None:
    signature, digest = Signature(case.data("sig")), case.data("hash")
    try:
        key = PubKey(case.data("pk"))
    except InvalidKey:
        assert not case.flag("valid")
    else:
        assert key.verify_digest(signature, digest) is case.flag("valid")


@pytest.mark.parametrize("case", CIPHER.many("recover"))
def test_recovery(case: Vector) -> None:
    recovered = Signature(case.data("sig")).recover(case.data("hash"))
    assert recovered is not None
    assert recovered.hex() == case.text("pk")


@given(secret_keys, st.binary(max_size=200))
def test_own_signatures_verify_and_are_low(key: SecKey, message: bytes) -> None:
    signature = key.sign(message)
    assert key.public.verify(signature, message)
    assert int.from_bytes(signature.raw[32:64], "big") <= ORDER // 2
    assert signature == key.sign_digest(hashlib.sha256(message).digest())
    assert not key.public.verify(signature, message + b"x")
    assert Signature.from_hex(signature.hex()) == signature
    assert bytes(signature).hex() == str(signature)


@given(st.binary(min_size=65, max_size=65), st.binary(min_size=32, max_size=32))
def test_any_65_bytes_get_a_verdict(raw: bytes, digest: bytes) -> None:
    assert not ALICE.public.verify_digest(Signature(raw), digest)


@given(secret_keys)
def test_text_forms_round_trip(key: SecKey) -> None:
    assert PubKey.from_hex(key.public.hex().upper()) == key.public
    assert PubKey.from_optional_hex(str(key.public)) == key.public
    assert bytes(key.public) == key.public.raw
    assert SecKey.from_hex(key.expose_hex()) == key
    assert key.public.hex() in repr(key.public)


@pytest.mark.parametrize("digest", [bytes(32), b"short", b""], ids=["zero", "short", "empty"])
def test_what_is_no_digest_is_neither_signed_nor_recovered(digest: bytes) -> None:
    with pytest.raises(InvalidKey, match="digest"):
        ALICE.sign_digest(digest)
    assert ALICE.sign(b"").recover(digest) is None


@pytest.mark.parametrize("text", ["", "12", "zz" * 32, "0x" + "11" * 31, " " + "11" * 32, "１" * 64])
def test_bad_secret_key_text_is_refused_and_never_quoted(text: str) -> None:
    with pytest.raises(InvalidKey) as caught:
        SecKey.from_hex(text)
    assert not text or text not in str(caught.value)


def test_signature_text_and_size_are_checked() -> None:
    for bad in (b"", bytes(64), bytes(66)):
        with pytest.raises(InvalidKey, match="65 bytes"):
            Signature(bad)
    with pytest.raises(InvalidKey):
        Signature.from_hex("00" * 64)


def test_a_secret_key_does_not_show_itself() -> None:
    secret = ALICE.expose_hex()
    for text in (repr(ALICE), str(ALICE), f"{ALICE}", repr([ALICE]), repr({"key": ALICE})):
        assert secret not in text
        assert repr(ALICE.secret) not in text
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(ALICE)


def test_types_are_distinct() -> None:
    other = SecKey.generate()
    assert other != ALICE
    assert SecKey(ALICE.secret) == ALICE
    assert hash(SecKey(ALICE.secret)) == hash(ALICE)
    for key, raw in ((ALICE, ALICE.secret), (ALICE.public, ALICE.public.raw)):
        assert key not in (raw, raw.hex())
    assert sorted([other.public, ALICE.public], key=bytes) == sorted([other.public, ALICE.public])
