//! Fields as words, 32 bits little-endian: one check of the length for all of them.

use crate::types::Boot;

/// Reads the words at the beginning of `bytes`.
pub(super) fn read<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    let (chunks, _) = bytes.as_chunks();
    Some(chunks.first_chunk::<N>()?.map(u32::from_le_bytes))
}

/// Writes words to the beginning of `bytes`.
pub(super) fn write<const N: usize>(bytes: &mut [u8], words: [u32; N]) -> Option<()> {
    let (chunks, _) = bytes.as_chunks_mut();
    *chunks.first_chunk_mut::<N>()? = words.map(u32::to_le_bytes);
    Some(())
}

/// Words as bytes, of which there are four times as many.
pub(super) fn bytes<const N: usize, const BYTES: usize>(words: [u32; N]) -> [u8; BYTES] {
    const { assert!(BYTES == 4 * N) };
    let mut bytes = [0; BYTES];
    let _ = write(&mut bytes, words);
    bytes
}

/// One word of two halves, the first one lower.
pub(super) fn joined(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

/// The halves of a word, the lower one first.
pub(super) const fn halves(word: u32) -> [u16; 2] {
    [word as u16, (word >> 16) as u16]
}

/// A salt and a boot.
pub(super) const fn of_start([a, b, c, d, e, f, g, h]: [u8; 8], boot: Boot) -> [u32; 3] {
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]), boot.0]
}

/// The salt and the boot that [`of_start`] has made words of.
pub(super) const fn start([low, high, boot]: [u32; 3]) -> ([u8; 8], Boot) {
    let ([a, b, c, d], [e, f, g, h]) = (low.to_le_bytes(), high.to_le_bytes());
    ([a, b, c, d, e, f, g, h], Boot(boot))
}
