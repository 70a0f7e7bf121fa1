//! What happened: a hash of all of it, and on demand one readable line for each event.

use std::fmt;

/// The record of one run.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace, with lines or with the hash alone.
    #[must_use]
    pub fn new(readable: bool) -> Self {
        Self { hash: 0xCBF2_9CE4_8422_2325, lines: readable.then(Vec::new) }
    }

    /// Notes an event at a node: `kind` and `bytes` go into the hash, `line` to the reader.
    pub fn note(&mut self, now_us: u64, node: usize, kind: &str, bytes: &[u8], line: impl FnOnce() -> String) {
        self.mix(now_us);
        self.mix(node as u64);
        self.mix_bytes(kind.as_bytes());
        self.mix_bytes(bytes);
        if let Some(lines) = &mut self.lines {
            let (ms, us) = (now_us / 1_000, now_us % 1_000);
            lines.push(format!("{ms:>9}.{us:03} ms  n{}  {kind:<8} {}", node + 1, line()));
        }
    }

    /// The hash of everything noted so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The readable lines, if there are any.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    fn mix(&mut self, value: u64) {
        self.hash = (self.hash ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }

    fn mix_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 59);
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
