#!/usr/bin/env python3
"""Seals and opens the datagrams of this folder with nothing of Symphony's: what core/src/secure.rs says is enough.

XChaCha20-Poly1305 is libsodium's (PyNaCl); Ascon-AEAD128 is written out below from NIST SP 800-232.
"""

import json
import pathlib
import struct
import sys

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt as xchacha_open,
    crypto_aead_xchacha20poly1305_ietf_encrypt as xchacha_seal,
)
from nacl.exceptions import CryptoError

KINDS = {"message": 0, "hello": 1, "hello_reply": 2}
BODIES = ["Heartbeat", "HeartbeatReply", "PreVote", "PreVoteReply", "Vote", "VoteReply", "TimeoutNow"]
VERDICTS = ["Granted", "HeardLeader", "StaleTerm", "AlreadyVoted", "NotEligible"]


# Header and text


def header(vector, suite):
    sender, receiver = vector["sender"], vector["receiver"]
    head = bytes([suite << 4 | KINDS[vector["kind"]], vector["key_id"]])
    head += struct.pack("<HH", sender["id"], receiver["id"])
    head += bytes.fromhex(vector["cluster"])[:2]
    head += struct.pack("<III", sender["session"], receiver["session"], vector["counter"])
    if vector["kind"] != "message":
        head += bytes.fromhex(sender["salt"]) + struct.pack("<II", sender["boot"], vector["echo"])
    return head


def text(vector):
    if vector["kind"] == "message":
        ((name, fields),) = vector["message"]["body"].items()
        return varint(vector["message"]["term"]) + varint(BODIES.index(name)) + b"".join(map(field, fields.values()))
    hello = vector["hello"]
    known = bytes.fromhex(hello["salt"]) + struct.pack("<II", hello["boot"], hello["session"])
    return struct.pack("<BI", hello["asks"], hello["members"]) + known + struct.pack("<Q", hello["voted"])


def field(value):
    """Postcard: a truth value is a byte, a number a varint, a verdict the number of its kind and its fields."""
    if isinstance(value, bool):
        return bytes([value])
    if isinstance(value, int):
        return varint(value)
    if isinstance(value, str):
        return varint(VERDICTS.index(value))
    ((name, fields),) = value.items()
    return varint(VERDICTS.index(name)) + b"".join(map(field, fields.values()))


def varint(number):
    """Seven bits a byte, the lowest first; the high bit says that more follow."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def nonce(vector):
    sender = vector["sender"]
    return (
        bytes.fromhex(sender["salt"])
        + struct.pack("<IHH", sender["boot"], sender["id"], vector["receiver"]["id"])
        + struct.pack("<II", sender["session"], vector["counter"])
    )


def associated(vector, head):
    receiver = vector["receiver"]
    ends = bytes(12) if vector["kind"] == "hello" else bytes.fromhex(receiver["salt"]) + struct.pack("<I", receiver["boot"])
    return head + bytes.fromhex(vector["cluster"]) + ends


# Ciphers: each gives (seal, open)


def xchacha(key, nonce):
    def unseal(sealed, aad):
        try:
            return xchacha_open(sealed, aad, nonce, key)
        except CryptoError:
            return None

    return lambda plain, aad: xchacha_seal(plain, aad, nonce, key), unseal


def ascon(key, nonce):
    pair_key = ascon_run(key[:16], nonce[:16], key[16:], b"", False)
    rest = nonce[16:] + bytes(8)

    def unseal(sealed, aad):
        opened = ascon_run(pair_key, rest, aad, sealed[:-16], True)
        return opened[:-16] if opened[-16:] == sealed[-16:] else None

    return lambda plain, aad: ascon_run(pair_key, rest, aad, plain, False), unseal


def ascon_run(key, nonce, aad, text, is_sealed):
    """Encrypts or decrypts, and puts the tag behind."""
    (k0, k1), (n0, n1) = struct.unpack("<QQ", key), struct.unpack("<QQ", nonce)
    state = permute([0x00001000808C0001, k0, k1, n0, n1], 12)
    state[3] ^= k0
    state[4] ^= k1
    if aad:
        for word0, word1 in blocks(aad):
            state[0] ^= word0
            state[1] ^= word1
            permute(state, 8)
    state[4] ^= 1 << 63
    output = b""
    for at in range(0, len(text) + 1, 16):
        block = text[at : at + 16]
        rate = struct.pack("<QQ", state[0], state[1])
        turned = bytes(a ^ b for a, b in zip(block, rate))
        output += turned
        ((word0, word1), *_) = blocks(turned if is_sealed else block)
        state[0] ^= word0
        state[1] ^= word1
        if len(block) == 16:
            permute(state, 8)
    state[2] ^= k0
    state[3] ^= k1
    permute(state, 12)
    return output + struct.pack("<QQ", state[3] ^ k0, state[4] ^ k1)


def blocks(data):
    padded = data + b"\x01" + bytes(15 - len(data) % 16)
    return [struct.unpack_from("<QQ", padded, at) for at in range(0, len(padded), 16)]


def permute(s, rounds):
    mask = (1 << 64) - 1
    rotate = lambda word, by: (word >> by | word << (64 - by)) & mask
    for number in range(12 - rounds, 12):
        s[2] ^= 0xF0 - number * 0x0F
        s[0] ^= s[4]
        s[4] ^= s[3]
        s[2] ^= s[1]
        t = [~s[i] & mask & s[(i + 1) % 5] for i in range(5)]
        for i in range(5):
            s[i] ^= t[(i + 1) % 5]
        s[1] ^= s[0]
        s[0] ^= s[4]
        s[3] ^= s[2]
        s[2] ^= mask
        for i, (one, two) in enumerate([(19, 28), (61, 39), (1, 6), (10, 17), (7, 41)]):
            s[i] ^= rotate(s[i], one) ^ rotate(s[i], two)
    return s


def check(vector, suite, cipher):
    head, plain = header(vector, suite), text(vector)
    datagram = bytes.fromhex(vector["datagram"])
    assert plain.hex() == vector["text"], "the text is another"
    seal, unseal = cipher(bytes.fromhex(vector["key"]), nonce(vector))
    aad = associated(vector, head)
    assert head + seal(plain, aad) == datagram, "sealed, it is another datagram"
    assert unseal(datagram[len(head) :], aad) == plain, "it does not open"
    for at in (0, len(head), len(datagram) - 1):
        changed = bytearray(datagram)
        changed[at] ^= 1
        changed_aad = associated(vector, bytes(changed[: len(head)]))
        assert unseal(bytes(changed[len(head) :]), changed_aad) is None, f"it opens although byte {at} was changed"


def main():
    folder = pathlib.Path(__file__).parent
    for name, suite, cipher in [("xchacha20-poly1305", 1, xchacha), ("ascon-aead128", 2, ascon)]:
        vectors = json.loads((folder / f"{name}.json").read_text())
        for vector in vectors:
            try:
                check(vector, suite, cipher)
            except AssertionError as error:
                sys.exit(f"{name}, {vector['name']}: {error}")
        seen = {body for vector in vectors if "message" in vector for body in vector["message"]["body"]}
        if missing := set(BODIES) - seen | set(KINDS) - {vector["kind"] for vector in vectors}:
            sys.exit(f"{name}: no vector of {missing}")
        print(f"{name}: {len(vectors)} vectors sealed and opened")


if __name__ == "__main__":
    main()
