//! The cipher: XChaCha20-Poly1305, or Ascon-AEAD128 under the feature `ascon`. In place, with a detached tag.

use zeroize::Zeroize as _;

use super::nonce::Nonce;

/// Bytes of a key.
pub const KEY_SIZE: usize = 32;

/// Bytes of a tag.
pub(crate) const TAG_SIZE: usize = 16;

#[cfg(feature = "ascon")]
use ascon as suite;
pub(crate) use suite::SUITE;

/// Encrypts `text` in place and returns its tag.
pub(crate) fn seal(key: &[u8; KEY_SIZE], nonce: &Nonce, associated: &[u8], text: &mut [u8]) -> Option<[u8; TAG_SIZE]> {
    suite::seal(key, nonce, associated, text)
}

/// Decrypts `text` in place if its tag is right, in constant time. Otherwise the text is of no use and is wiped.
pub(crate) fn open(
    key: &[u8; KEY_SIZE],
    nonce: &Nonce,
    associated: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG_SIZE],
) -> bool {
    let opened = suite::open(key, nonce, associated, text, tag).is_some();
    if !opened {
        text.zeroize();
    }
    opened
}

#[cfg(not(feature = "ascon"))]
mod suite {
    use chacha20::{
        ChaChaCore, KeyIvInit as _, R20,
        cipher::{StreamCipherCore as _, array::Array, consts::U32},
        variants::Ietf,
    };
    use poly1305::{
        Poly1305,
        universal_hash::{KeyInit as _, UniversalHash as _},
    };
    use zeroize::Zeroize as _;

    use super::{super::words, KEY_SIZE, Nonce, TAG_SIZE};

    /// High half of a datagram's first byte: version of the format, and cipher.
    pub(crate) const SUITE: u8 = 1;

    /// Bytes of key stream that come at a time.
    const BLOCK_SIZE: usize = 64;

    /// First row of the cipher's state (RFC 8439, section 2.3).
    const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

    type Stream = ChaChaCore<R20, Ietf>;

    /// The key stream under a key and the last row of the state: a counter and three words of nonce.
    #[cfg_attr(target_os = "none", inline(never))]
    fn stream(key: &[u8; KEY_SIZE], [counter, nonce @ ..]: [u32; 4]) -> Stream {
        let mut stream = Stream::new(key.into(), &words::bytes(nonce).into());
        stream.set_block_pos(counter);
        stream
    }

    /// A key of its own for what stays the same in nonces: HChaCha20 (draft-irtf-cfrg-xchacha-03, section 2.2), the rounds
    /// of the cipher alone. A block is what they make of a state, plus that state; what is added to its first and last
    /// row is known here, so a board needs the rounds only once.
    fn derive_key(key: &[u8; KEY_SIZE], same: [u32; 4]) -> [u8; KEY_SIZE] {
        let mut block = Array::default();
        stream(key, same).write_keystream_block(&mut block);
        let [a, b, c, d, .., e, f, g, h] = words::read::<{ BLOCK_SIZE / 4 }>(&block).unwrap_or_default();
        block.zeroize();
        let mut derived = [a, b, c, d, e, f, g, h];
        for (word, added) in derived.iter_mut().zip([CONSTANTS, same].as_flattened()) {
            *word = word.wrapping_sub(*added);
        }
        let bytes = words::bytes(derived);
        derived.zeroize();
        bytes
    }

    /// The construction of RFC 8439, section 2.8, from the parts of the crate `chacha20poly1305`. That crate's own asserts
    /// that the key stream has not ended, which links a panic; a datagram needs three blocks of it.
    struct Cipher {
        stream: Stream,
        hash: Poly1305,
    }

    impl Cipher {
        #[cfg_attr(target_os = "none", inline(never))]
        fn new(key: &[u8; KEY_SIZE], nonce: &Nonce) -> Self {
            let mut derived = derive_key(key, nonce.same);
            let [session, counter] = nonce.changing;
            let mut stream = stream(&derived, [0, 0, session, counter]);
            derived.zeroize();
            let mut block = Array::default();
            stream.write_keystream_block(&mut block);
            let hash = Poly1305::new(block.split_ref::<U32>().0);
            block.zeroize();
            Self { stream, hash }
        }

        /// Hashes associated data and encrypted text.
        #[cfg_attr(target_os = "none", inline(never))]
        fn absorb(&mut self, aad: &[u8], sealed: &[u8]) {
            let sizes = [aad.len(), sealed.len()].map(|size| (size as u64).to_le_bytes());
            for part in [aad, sealed, sizes.as_flattened()] {
                self.hash.update_padded(part);
            }
        }
    }

    /// Encrypts, or decrypts.
    #[cfg_attr(target_os = "none", inline(never))]
    fn apply(stream: &mut Stream, text: &mut [u8]) {
        for chunk in text.chunks_mut(BLOCK_SIZE) {
            let mut block = Array::default();
            stream.write_keystream_block(&mut block);
            for (byte, key) in chunk.iter_mut().zip(&block) {
                *byte ^= key;
            }
            block.zeroize();
        }
    }

    pub(super) fn seal(key: &[u8; KEY_SIZE], nonce: &Nonce, aad: &[u8], text: &mut [u8]) -> Option<[u8; TAG_SIZE]> {
        let mut cipher = Cipher::new(key, nonce);
        apply(&mut cipher.stream, text);
        cipher.absorb(aad, text);
        Some(cipher.hash.finalize().into())
    }

    pub(super) fn open(
        key: &[u8; KEY_SIZE],
        nonce: &Nonce,
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_SIZE],
    ) -> Option<()> {
        let mut cipher = Cipher::new(key, nonce);
        cipher.absorb(aad, text);
        cipher.hash.verify(tag.into()).ok()?;
        apply(&mut cipher.stream, text);
        Some(())
    }
}

/// Its nonce has room for what changes with every datagram. What stays the same for a pair of nodes and a boot goes into
/// a key of its own, much as `XChaCha20` does it: the tag of an empty text under the key's first half, with the second
/// half as associated data.
#[cfg(feature = "ascon")]
mod ascon {
    use ascon_aead::{
        AsconAead128,
        aead::{AeadInOut as _, KeyInit as _},
    };
    use zeroize::Zeroize as _;

    use super::{super::words, KEY_SIZE, Nonce, TAG_SIZE};

    /// High half of a datagram's first byte: version of the format, and cipher.
    pub(crate) const SUITE: u8 = 2;

    /// The cipher under that key, and the nonce for it: what changes, filled up with zeros.
    fn cipher(key: &[u8; KEY_SIZE], nonce: &Nonce) -> Option<(AsconAead128, [u8; 16])> {
        let prefix: [u8; 16] = words::bytes(nonce.same);
        let [session, counter] = nonce.changing;
        let changing = words::bytes([session, counter, 0, 0]);
        let (first, second) = key.split_first_chunk::<16>()?;
        let outer = AsconAead128::new(first.into());
        let mut inner = outer.encrypt_inout_detached((&prefix).into(), second, (&mut [][..]).into()).ok()?;
        let cipher = AsconAead128::new(&inner);
        inner.zeroize();
        Some((cipher, changing))
    }

    pub(super) fn seal(key: &[u8; KEY_SIZE], nonce: &Nonce, aad: &[u8], text: &mut [u8]) -> Option<[u8; TAG_SIZE]> {
        let (cipher, nonce) = cipher(key, nonce)?;
        cipher.encrypt_inout_detached((&nonce).into(), aad, text.into()).ok().map(Into::into)
    }

    pub(super) fn open(
        key: &[u8; KEY_SIZE],
        nonce: &Nonce,
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_SIZE],
    ) -> Option<()> {
        let (cipher, nonce) = cipher(key, nonce)?;
        cipher.decrypt_inout_detached((&nonce).into(), aad, text.into(), tag.into()).ok()
    }
}
