//! The record that must survive a crash, in flash.
//!
//! Records are appended to a ring of pages, so that a page is erased once for every time round; a record that was cut
//! short by a loss of power fails its checksum, and the one before it is read: nothing that rests on it has left the
//! board. A record that decays later on is passed over in the same way, and then something may rest on it: a vote. The
//! peers tell a node that starts of the latest vote it gave them, so it finds out, unless it reaches none of them before
//! it votes again.
//!
//! # Wear
//!
//! A node saves at most twice in a term (when the term rises and when it votes, once if both happen at the same moment),
//! once at every start of its own, and once when it meets another start of a peer. Nothing is saved while a leader leads.
//! A record takes 9 bytes and its own size, rounded up to words, so a page of 1 KiB with words of 4 bytes holds
//! [`SAVES_PER_PAGE`] or more, and a ring of P such pages that bear E erasures takes `E × P × SAVES_PER_PAGE` saves:
//!
//! | | RP2040 with W25Q16 | STM32F429 |
//! |---|---|---|
//! | ring, and erasures it bears | 16 KiB, 100 000 | 64 KiB, 10 000 |
//! | saves | 12 800 000 | 5 120 000 |
//! | lasts, at an election an hour | 730 years | 292 years |
//! | while a peer is restarted every second | 148 days | 59 days |
//! | while the board itself fails at every start (the watchdog restarts it after 8 s, 30 s) | 3 years | 5 years |
//! | while saves fail (repeated after 1 s, then less and less often down to every 10 min) | 243 years | 97 years |
//!
//! So whatever restarts servers that fail should wait between two starts: 30 s make the 59 days five years.

use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::{
    Error,
    cache::{Cache, Uncached},
    map::{MapConfig, MapConfigError, MapStorage},
};
use symphony_core::Saved;

use crate::start::PEERS_MAX;

/// Records of the largest size in a page of 1 KiB with words of 4 bytes.
pub const SAVES_PER_PAGE: usize = (1024 - 8) / (8 + (1 + RECORD_SIZE_MAX).next_multiple_of(4));

const _: () = assert!(SAVES_PER_PAGE == 8, "the documentation counts with it");

const RECORD_SIZE_MAX: usize = Saved::<PEERS_MAX>::SIZE_MAX;

/// The only key.
const KEY: u8 = 0;

/// Key and record, rounded up to the largest word of any flash.
const BUFFER_SIZE: usize = (1 + RECORD_SIZE_MAX).next_multiple_of(32);

/// Why a record could not be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
#[non_exhaustive]
pub enum RecordError<E> {
    /// The range of flash does not serve.
    Range,
    /// The flash failed.
    Flash(E),
    /// What is in flash is no record. The board must be provisioned anew, under another id.
    Unreadable,
    /// The record was not taken, or was read back as another. The flash is worn, or too small.
    Unwritable,
}

/// A ring of pages of flash.
pub struct Record<F: NorFlash> {
    map: MapStorage<u8, F, Cache<Uncached, Uncached, Uncached, u8>>,
}

impl<F: NorFlash> Record<F> {
    /// Takes a range of flash, in bytes from its start: whole pages, two at least.
    ///
    /// # Errors
    /// [`RecordError::Range`].
    pub fn new(flash: F, range: core::ops::Range<u32>) -> Result<Self, RecordError<F::Error>> {
        let config = MapConfig::try_new(range).map_err(|_: MapConfigError| RecordError::Range)?;
        Ok(Self { map: MapStorage::new(flash, config, Cache::new_uncached()) })
    }

    /// The record saved last; none in flash that is erased, as it comes from the factory.
    ///
    /// # Errors
    /// [`RecordError`]: the board must not take part.
    pub async fn load(&mut self) -> Result<Option<Saved<PEERS_MAX>>, RecordError<F::Error>> {
        let mut buffer = [0; BUFFER_SIZE];
        let bytes: Option<&[u8]> =
            self.map.fetch_item(&mut buffer, &KEY).await.map_err(or_flash(RecordError::Unreadable))?;
        bytes.map(|bytes| Saved::decode(bytes).map_err(|_| RecordError::Unreadable)).transpose()
    }

    /// Writes a record, and reads it back.
    ///
    /// # Errors
    /// [`RecordError`]: the record before it, or this one, will be read.
    pub async fn save(&mut self, saved: &Saved<PEERS_MAX>) -> Result<(), RecordError<F::Error>> {
        let mut encoded = [0; RECORD_SIZE_MAX];
        let encoded: &[u8] = saved.encode(&mut encoded).map_err(|_| RecordError::Unwritable)?;
        let mut buffer = [0; BUFFER_SIZE];
        self.map.store_item(&mut buffer, &KEY, &encoded).await.map_err(or_flash(RecordError::Unwritable))?;
        match self.load().await? {
            Some(read) if read == *saved => Ok(()),
            _ => Err(RecordError::Unwritable),
        }
    }
}

/// What the flash says, or else this.
fn or_flash<E>(otherwise: RecordError<E>) -> impl FnOnce(Error<E>) -> RecordError<E> {
    |error| match error {
        Error::Storage { value, .. } => RecordError::Flash(value),
        _ => otherwise,
    }
}
