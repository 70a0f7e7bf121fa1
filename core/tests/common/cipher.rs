//! The cipher of the datagrams, and how they are sealed, as `symphony_core::secure` specifies it, without its code: for all
//! who seal and open some beside the core. What wraps the cipher's crate is written for itself.

#![allow(unreachable_pub, reason = "every user of this module has its own part of it")]
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test that goes wrong may panic")]

#[cfg(feature = "ascon")]
use ascon_aead::{
    AsconAead128,
    aead::{AeadInOut as _, KeyInit as _},
};
#[cfg(not(feature = "ascon"))]
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, aead::AeadInOut as _};

use symphony_core::{ClusterId, Incarnation, NodeId};

/// High half of a datagram's first byte.
pub const SUITE: u8 = if cfg!(feature = "ascon") { 2 } else { 1 };

/// What a datagram with a message of the election is; hellos and their answers have a longer header.
pub const MESSAGE: u8 = 0;

/// A datagram: its text, sealed behind its header. `key` is the number of a key and the key; `counter` and `echo` are those
/// of the header.
pub fn seal(
    (key_id, key): (u8, &[u8; 32]),
    cluster: ClusterId,
    (from, sender): (NodeId, &Incarnation),
    (to, receiver): (NodeId, &Incarnation),
    (kind, counter, echo): (u8, u32, u32),
    text: &[u8],
) -> Vec<u8> {
    let mut datagram = vec![SUITE << 4 | kind, key_id];
    datagram.extend(from.0.to_le_bytes());
    datagram.extend(to.0.to_le_bytes());
    datagram.extend_from_slice(&cluster.0[..2]);
    datagram.extend(sender.session.0.to_le_bytes());
    datagram.extend(receiver.session.0.to_le_bytes());
    datagram.extend(counter.to_le_bytes());
    if kind != MESSAGE {
        datagram.extend(sender.install_salt);
        datagram.extend(sender.boot.0.to_le_bytes());
        datagram.extend(echo.to_le_bytes());
    }
    let mut text = text.to_vec();
    let aad = associated(&datagram, cluster, receiver);
    let tag = encrypt(key, &nonce(sender, from, to, counter), &aad, &mut text);
    datagram.extend(text);
    datagram.extend(tag);
    datagram
}

/// The nonce of the datagram with this number, from a start of one member to another.
pub fn nonce(sender: &Incarnation, from: NodeId, to: NodeId, counter: u32) -> [u8; 24] {
    let mut nonce = sender.install_salt.to_vec();
    nonce.extend(sender.boot.0.to_le_bytes());
    nonce.extend(from.0.to_le_bytes());
    nonce.extend(to.0.to_le_bytes());
    nonce.extend(sender.session.0.to_le_bytes());
    nonce.extend(counter.to_le_bytes());
    nonce.try_into().expect("24 bytes")
}

/// What the seal covers beside the text.
pub fn associated(head: &[u8], cluster: ClusterId, receiver: &Incarnation) -> Vec<u8> {
    let boot = receiver.boot.0.to_le_bytes();
    [head, &cluster.0, &receiver.install_salt, &boot].concat()
}

/// Encrypts in place, and returns the tag.
#[cfg(not(feature = "ascon"))]
pub fn encrypt(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
    let cipher = XChaCha20Poly1305::new(key.into());
    cipher.encrypt_inout_detached(nonce.into(), aad, text.into()).expect("short enough").into()
}

/// Decrypts in place; whether the tag is right.
#[cfg(not(feature = "ascon"))]
pub fn decrypt(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], text: &mut [u8], tag: &[u8; 16]) -> bool {
    let cipher = XChaCha20Poly1305::new(key.into());
    cipher.decrypt_inout_detached(nonce.into(), aad, text.into(), tag.into()).is_ok()
}

/// Encrypts in place, and returns the tag.
#[cfg(feature = "ascon")]
pub fn encrypt(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
    let (cipher, nonce) = pair_cipher(key, nonce);
    cipher.encrypt_inout_detached((&nonce).into(), aad, text.into()).expect("short enough").into()
}

/// Decrypts in place; whether the tag is right.
#[cfg(feature = "ascon")]
pub fn decrypt(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], text: &mut [u8], tag: &[u8; 16]) -> bool {
    let (cipher, nonce) = pair_cipher(key, nonce);
    cipher.decrypt_inout_detached((&nonce).into(), aad, text.into(), tag.into()).is_ok()
}

#[cfg(feature = "ascon")]
fn pair_cipher(key: &[u8; 32], nonce: &[u8; 24]) -> (AsconAead128, [u8; 16]) {
    let outer = AsconAead128::new(key[..16].try_into().expect("16 bytes"));
    let prefix: &[u8; 16] = nonce[..16].try_into().expect("16 bytes");
    let inner = outer.encrypt_inout_detached(prefix.into(), &key[16..], (&mut [][..]).into()).expect("empty");
    let mut rest = [0; 16];
    rest[..8].copy_from_slice(&nonce[16..]);
    (AsconAead128::new(&inner), rest)
}
