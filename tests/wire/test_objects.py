"""Addresses and signed objects against the vectors, as tables, and as properties."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywire.errors import InvalidAddress, LocalProtocolError, ProtocolError
from skywire.keys import PubKey, SecKey, derive_key_pair
from skywire.wire.dmsg_errors import DmsgError, ErrorCode
from skywire.wire.gob import BYTES, UINT, Codec, Encoder, Field, GobError, GobValue, Struct, TypeIds
from skywire.wire.gob import Array as GobArray
from skywire.wire.objects import (
    MAX_SIGNED_OBJECT,
    DmsgAddr,
    SignedObject,
    StreamRequest,
    StreamResponse,
)
from tests.vectors_io import Vector, load

GOB_STREAM = load("gob_stream.json")
GOB_DECODE = load("gob_decode.json")
SIGNED_OBJECTS = load("signed_objects.json")
SOURCE_KEY = SecKey(SIGNED_OBJECTS.data("src_sk"))
DESTINATION_KEY = SecKey(SIGNED_OBJECTS.data("dst_sk"))
ALICE = derive_key_pair(b"alice").secret_key
BOB = derive_key_pair(b"bob").secret_key


def recorded_request(case: Vector) -> StreamRequest:
    return StreamRequest(
        case.number("timestamp"),
        DmsgAddr(PubKey.from_optional_hex(case.text("src_pk")), case.number("src_port")),
        DmsgAddr(PubKey.from_optional_hex(case.text("dst_pk")), case.number("dst_port")),
        case.flag("ip_info"),
        case.data("noise_msg"),
    )


def recorded_response(case: Vector) -> StreamResponse:
    return StreamResponse(
        case.data("req_hash"),
        case.flag("accepted"),
        case.data("ip"),
        case.number("err_code"),
        case.data("noise_msg"),
    )


@pytest.mark.parametrize("case", GOB_STREAM.many("requests"), ids=lambda case: case.text("name"))
def test_recorded_requests(case: Vector) -> None:
    request = recorded_request(case)
    assert request.encode() == case.data("gob")
    for name in case.fields:
        if name.startswith("gob"):
            assert StreamRequest.decode(case.data(name)) == request


@pytest.mark.parametrize("case", GOB_STREAM.many("responses"), ids=lambda case: case.text("name"))
def test_recorded_responses(case: Vector) -> None:
    response = recorded_response(case)
    assert StreamResponse.decode(response.encode()) == response
    for name in case.fields:
        if name.startswith("gob"):
            assert StreamResponse.decode(case.data(name)) == response
    if "gob_response_first" in case:
        assert response.encode() == case.data("gob_response_first")


STRICTER_THAN_GO = {"byte 63 xor 01", "byte 126 xor 01"}
"""See test_gob.py for why."""


@pytest.mark.parametrize("case", GOB_DECODE.many("decode_request"), ids=lambda case: case.text("note"))
def test_recorded_verdicts_on_requests(case: Vector) -> None:
    if case.flag("ok") and case.text("note") not in STRICTER_THAN_GO:
        assert StreamRequest.decode(case.data("gob")) == recorded_request(case.one("value"))
    else:
        with pytest.raises(GobError):
            StreamRequest.decode(case.data("gob"))


def code_of(case: Vector) -> int | None:
    """The code in a recorded verdict; None when the object was no gob at all."""
    words = case.text("error").split()
    return int(words[2]) if words[:2] == ["dmsg", "error"] else None


@pytest.mark.parametrize("case", SIGNED_OBJECTS.many("requests"), ids=lambda case: case.text("note"))
def test_recorded_verdicts_on_signed_requests(case: Vector) -> None:
    raw = case.data("object")
    assert hashlib.sha256(raw).digest() == case.data("hash")

    def receive() -> StreamRequest:
        signed = SignedObject.parse(raw)
        assert signed.hash == case.data("hash")
        assert signed.signature.raw + signed.body == signed.raw == raw
        return StreamRequest.open(signed, case.number("last_timestamp"))

    if case.flag("ok"):
        assert receive() == StreamRequest.decode(raw[65:])
        return
    with pytest.raises(ProtocolError) as caught:
        receive()
    if isinstance(caught.value, DmsgError):
        assert caught.value.code == code_of(case)
        assert case.text("error").startswith(caught.value.code.text)
    else:
        assert isinstance(caught.value, GobError)
        assert code_of(case) is None


@pytest.mark.parametrize("case", SIGNED_OBJECTS.many("responses"), ids=lambda case: case.text("note"))
def test_recorded_verdicts_on_signed_responses(case: Vector) -> None:
    request = SignedObject.parse(SIGNED_OBJECTS.data("response_of_request"))
    assert request.hash == SIGNED_OBJECTS.data("response_of_request_hash")
    assert StreamRequest.open(request).destination.pk == DESTINATION_KEY.public
    signed = SignedObject.parse(case.data("object"))
    if case.flag("ok"):
        assert StreamResponse.open(signed, request.hash, DESTINATION_KEY.public).accepted
        return
    with pytest.raises(DmsgError) as caught:
        StreamResponse.open(signed, request.hash, DESTINATION_KEY.public)
    assert caught.value.code == code_of(case)
    assert case.text("error").startswith(caught.value.code.text)


def test_the_specification_of_a_signed_request() -> None:
    request = StreamRequest(
        1700000000123456789, DmsgAddr(ALICE.public, 49153), DmsgAddr(BOB.public, 80), noise_message=b"\1\2\3\xc8"
    )
    definitions = bytes.fromhex(
        "5a7f0301010d53747265616d5265717565737401ff80000105010954696d657374616d700104000107537263416464"
        "7201ff820001074473744164647201ff820001064950696e666f01020001084e6f6973654d7367010a000000"
        "23ff81030101044164647201ff820001020102504b01ff84000104506f72740106000000"
        "12ff83060101065075624b657901ff84000000"
    )
    body = request.encode()
    assert body == b"".join(
        (
            definitions,
            bytes.fromhex("63ff8001f82f2f39fc7b0b9a2a010121"),
            ALICE.public.raw,
            bytes.fromhex("01fec00100010121"),
            BOB.public.raw,
            bytes.fromhex("0150000204010203c800"),
        )
    )
    signed = SignedObject.parse(
        bytes.fromhex(
            "1838427de27dce4e81eb55bc867ff17cdfec695e3e328ce840308e11c70ba5f016ce3f51d5ee4ab509f06a915eafb5970268fa618c"
            "31505ed584c9a10791e9c301"
        )
        + body
    )
    assert signed.hash.hex() == "5d3441b2aa6866cee5ac2e8cda707a2745cb5f7e2f20b602709df6f6d35f93f9"
    assert StreamRequest.open(signed) == request
    look_up = replace(request, ip_info=True, noise_message=b"").encode()
    assert look_up == body.replace(b"\x63\xff\x80", b"\x5f\xff\x80").removesuffix(b"\2\4\1\2\3\xc8\0") + b"\1\1\0"
    assert StreamRequest(0, DmsgAddr(), DmsgAddr()).encode() == definitions + bytes.fromhex("07ff800200010000")
    assert StreamResponse(bytes(32), False, error_code=306).encode().hex() == (
        "557f0301010e53747265616d526573706f6e736501ff8000010501075265714861736801ff82000108416363657074656401020001"
        "024950010a000107457272436f646501060001084e6f6973654d7367010a00000016ff810101010653484132353601ff8200010601"
        "40000029ff8001" + "20" + "00" * 32 + "03fe013200"
    )


def refused_as(code: ErrorCode, request: StreamRequest) -> None:
    with pytest.raises(DmsgError) as caught:
        StreamRequest.open(SignedObject.make(BOB, request.encode()))
    assert caught.value.code is code


def test_the_first_fault_of_a_request_counts() -> None:
    request = StreamRequest(0, DmsgAddr(), DmsgAddr())
    refused_as(ErrorCode.REQUEST_SOURCE_KEY, request)
    request = replace(request, source=DmsgAddr(ALICE.public))
    refused_as(ErrorCode.REQUEST_SOURCE_PORT, request)
    request = replace(request, source=DmsgAddr(ALICE.public, 1))
    refused_as(ErrorCode.REQUEST_DESTINATION_KEY, request)
    request = replace(request, destination=DmsgAddr(BOB.public))
    refused_as(ErrorCode.REQUEST_DESTINATION_PORT, request)
    request = replace(request, destination=DmsgAddr(BOB.public, 1))
    refused_as(ErrorCode.REQUEST_TIMESTAMP, request)
    request = replace(request, timestamp_ns=1)
    refused_as(ErrorCode.REQUEST_SIGNATURE, request)
    assert StreamRequest.open(SignedObject.make(ALICE, request.encode())) == request


def test_what_a_server_and_a_responder_verify_besides() -> None:
    request = StreamRequest(1, DmsgAddr(ALICE.public, 1), DmsgAddr(BOB.public, 1))
    request.require_source(ALICE.public)
    request.require_destination(BOB.public)
    with pytest.raises(DmsgError, match="302"):
        request.require_source(BOB.public)
    with pytest.raises(DmsgError, match="303"):
        request.require_destination(ALICE.public)


@pytest.mark.parametrize("code", [*ErrorCode, 0, 1, 9999, 65535])
def test_a_refusal_names_its_reason(code: int) -> None:
    refusal = SignedObject.make(BOB, StreamResponse(bytes(32), False, error_code=code).encode())
    with pytest.raises(DmsgError) as caught:
        StreamResponse.open(refusal, bytes(32), BOB.public)
    assert caught.value.code == (code if code in list(ErrorCode) else 352)


def test_sizes_of_signed_objects() -> None:
    for size in (0, 65, MAX_SIGNED_OBJECT + 1):
        with pytest.raises(DmsgError, match=f"370 .*: it has {size} bytes"):
            SignedObject.parse(bytes(size))
    for size in (66, MAX_SIGNED_OBJECT):
        assert SignedObject.parse(bytes(size)).body == bytes(size - 65)
    for size in (0, MAX_SIGNED_OBJECT - 64):
        with pytest.raises(LocalProtocolError):
            SignedObject.make(ALICE, bytes(size))
    largest = SignedObject.make(ALICE, bytes(MAX_SIGNED_OBJECT - 65))
    assert SignedObject.parse(largest.raw) == largest
    assert ALICE.public.verify(largest.signature, largest.body)


RESPONSE_WIRE = Struct(
    "StreamResponse", (Field("ReqHash", GobArray(UINT, 32)), Field("ErrCode", UINT), Field("NoiseMsg", BYTES))
)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (((255,) * 31 + (256,), 0, b""), "a byte of a hash"),
        (((0,) * 32, 65536, b""), "error code 65536"),
    ],
)
def test_numbers_of_a_response_that_are_too_wide(value: GobValue, reason: str) -> None:
    with pytest.raises(GobError, match=reason):
        StreamResponse.decode(Codec(RESPONSE_WIRE).encode(value))


def test_an_old_response_lacks_the_ip() -> None:
    encoded = Encoder(TypeIds(1000)).encode(RESPONSE_WIRE, ((7,) * 32, 65535, b"n"))
    assert StreamResponse.decode(encoded) == StreamResponse(b"\7" * 32, False, b"", 65535, b"n")


@pytest.mark.parametrize(
    "response",
    [
        StreamResponse(bytes(31), True),
        StreamResponse(bytes(32), True, error_code=65536),
        StreamResponse(bytes(32), True, error_code=-1),
    ],
)
def test_a_response_that_cannot_be_sent(response: StreamResponse) -> None:
    with pytest.raises(LocalProtocolError):
        response.encode()


def test_a_request_that_cannot_be_sent() -> None:
    with pytest.raises(LocalProtocolError):
        StreamRequest(2**63, DmsgAddr(), DmsgAddr()).encode()


HEX = ALICE.public.hex()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (f"{HEX}:80", DmsgAddr(ALICE.public, 80)),
        (f"  {HEX.upper()} :\t80 ", DmsgAddr(ALICE.public, 80)),
        (f"{HEX}:0", DmsgAddr(ALICE.public)),
        (f"{HEX}:~", DmsgAddr(ALICE.public)),
        (f"{HEX}:", DmsgAddr(ALICE.public)),
        (HEX, DmsgAddr(ALICE.public)),
        (":00080", DmsgAddr(None, 80)),
        (":65535", DmsgAddr(None, 65535)),
        (":", DmsgAddr()),
    ],
)
def test_address_text(text: str, address: DmsgAddr) -> None:
    assert DmsgAddr.parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        ":65536",
        ":-1",
        ":+1",
        ":1_0",
        ":8 0",
        ":²",
        ":٨",
        ":000080",
        "80",
        "~",
        HEX[1:],
        f"{HEX}:80:",
        "0" * 66,
    ],
)
def test_text_that_is_no_address(text: str) -> None:
    with pytest.raises(InvalidAddress):
        DmsgAddr.parse(text)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range(port: int) -> None:
    with pytest.raises(InvalidAddress, match="0 to 65535"):
        DmsgAddr(None, port)


def test_address_forms() -> None:
    assert str(DmsgAddr(ALICE.public, 80)) == f"{HEX}:80"
    assert str(DmsgAddr(ALICE.public)) == f"{HEX}:~"
    assert str(DmsgAddr(None, 80)) == ":80"


addresses = st.builds(DmsgAddr, st.sampled_from([None, ALICE.public, BOB.public]), st.integers(0, 65535))
requests = st.builds(
    StreamRequest,
    st.integers(-(2**63), 2**63 - 1),
    addresses,
    addresses,
    st.booleans(),
    st.binary(max_size=300),
)
responses = st.builds(
    StreamResponse,
    st.binary(min_size=32, max_size=32),
    st.booleans(),
    st.binary(max_size=16),
    st.integers(0, 65535),
    st.binary(max_size=300),
)


@given(addresses)
def test_an_address_reads_back(address: DmsgAddr) -> None:
    assert DmsgAddr.parse(str(address)) == address


@given(requests)
def test_a_request_reads_back(request: StreamRequest) -> None:
    assert StreamRequest.decode(request.encode()) == request


@given(responses)
def test_a_response_reads_back(response: StreamResponse) -> None:
    assert StreamResponse.decode(response.encode()) == response


VALID = [
    *(case.data("object") for case in SIGNED_OBJECTS.many("requests")),
    *(case.data("object") for case in SIGNED_OBJECTS.many("responses")),
]


def open_response(request_hash: bytes, signed: SignedObject) -> StreamResponse:
    return StreamResponse.open(signed, request_hash, DESTINATION_KEY.public)


@given(st.sampled_from(VALID), st.integers(0, 400), st.binary(max_size=3), st.booleans())
def test_damage_is_noticed(raw: bytes, place: int, put: bytes, cut: bool) -> None:
    damaged = raw[:place] + put + (b"" if cut else raw[place + len(put) :])
    request_hash = SIGNED_OBJECTS.data("response_of_request_hash")
    for receive in (StreamRequest.open, functools.partial(open_response, request_hash)):
        try:
            receive(SignedObject.parse(damaged))
        except ProtocolError:
            continue
        assert damaged == raw


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(data: bytes) -> None:
    for decode in (StreamRequest.decode, StreamResponse.decode):
        with contextlib.suppress(GobError):
            decode(data)
