//! The cluster's keys: one to send with, and during a change another to receive with.

use zeroize::Zeroize as _;

use super::aead::KEY_SIZE;

/// A random secret that all members share, and its number in datagrams.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: u8,
    secret: [u8; KEY_SIZE],
}

impl Key {
    /// A key of 32 bytes from a generator of secrets; never a passphrase. Keys in use at one time differ in `id`.
    #[must_use]
    pub const fn new(id: u8, secret: [u8; KEY_SIZE]) -> Self {
        Self { id, secret }
    }

    /// Its number in datagrams.
    #[must_use]
    pub const fn id(&self) -> u8 {
        self.id
    }

    pub(super) const fn secret(&self) -> &[u8; KEY_SIZE] {
        &self.secret
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// The keys of a node. To change the key of a cluster without a gap, give every member the new one beside the old; when
/// all have it, let every member send with the new one; when all do, take the old one away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing {
    sending: Key,
    receiving: Option<Key>,
}

impl KeyRing {
    /// One key, to send and receive with.
    #[must_use]
    pub const fn new(key: Key) -> Self {
        Self { sending: key, receiving: None }
    }

    /// The same, and another key to receive with. It replaces the one of that kind, and the one to send with stays if the
    /// other has its id.
    #[must_use]
    pub fn also_receiving(self, key: Key) -> Self {
        Self { receiving: (key.id != self.sending.id).then_some(key), ..self }
    }

    pub(super) const fn sending(&self) -> &Key {
        &self.sending
    }

    /// The key of a datagram, by its id alone: no key is tried in vain.
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(super) fn find(&self, id: u8) -> Option<&Key> {
        [Some(&self.sending), self.receiving.as_ref()].into_iter().flatten().find(|key| key.id == id)
    }
}
