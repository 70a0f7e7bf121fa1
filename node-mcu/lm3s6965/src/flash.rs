//! Storage for the record: a file that stands in for the chip's flash.
//!
//! QEMU emulates no flash controller on this board, so its flash cannot be written. Through semihosting, the file
//! `board.flash` in the emulator's folder takes the place of three pages of it, with the same words, pages and rules, but
//! no wear. It survives resets and the end of the emulator, and what was written is on the host's disk when a write
//! returns.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use semihosting::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    sys::arm_compat::sys_system,
};

/// Bytes of the pages.
pub(crate) const PAGES: core::ops::Range<u32> = 0..3 * PAGE_SIZE as u32;

const PAGE_SIZE: usize = 1024;
const WORD_SIZE: usize = 4;
const ERASED: u8 = 0xff;

/// The pages.
pub(crate) struct Flash(File);

impl Flash {
    /// Opens the file. A new one is erased, as flash comes from the factory.
    ///
    /// # Errors
    /// [`FlashError`].
    pub(crate) async fn open() -> Result<Self, FlashError> {
        let path = c"board.flash";
        if let Ok(file) = File::options().read(true).write(true).open(path) {
            return Ok(Self(file));
        }
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let mut flash = Self(file.map_err(|_| FlashError::Host)?);
        flash.erase(PAGES.start, PAGES.end).await?;
        Ok(flash)
    }

    fn read_at(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.0.seek(SeekFrom::Start(offset.into())).map_err(|_| FlashError::Host)?;
        self.0.read_exact(bytes).map_err(|_| FlashError::Host)
    }

    fn write_at(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.seek(SeekFrom::Start(offset.into())).map_err(|_| FlashError::Host)?;
        self.0.write_all(bytes).map_err(|_| FlashError::Host)
    }
}

/// Why the flash fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub(crate) enum FlashError {
    /// A mistake of the caller.
    NotAligned,
    /// A mistake of the caller.
    OutOfBounds,
    /// The host does not read, write or sync the file.
    Host,
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::Host => NorFlashErrorKind::Other,
        }
    }
}

impl ErrorType for Flash {
    type Error = FlashError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check(offset, bytes.len(), Self::READ_SIZE)?;
        self.read_at(offset, bytes)
    }

    fn capacity(&self) -> usize {
        PAGES.end as usize
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD_SIZE;
    const ERASE_SIZE: usize = PAGE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        check(from, to.checked_sub(from).ok_or(FlashError::OutOfBounds)? as usize, PAGE_SIZE)?;
        for page in (from..to).step_by(PAGE_SIZE) {
            self.write_at(page, &[ERASED; PAGE_SIZE])?;
        }
        sync()
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check(offset, bytes.len(), WORD_SIZE)?;
        for (word, at) in bytes.chunks(WORD_SIZE).zip((offset..).step_by(WORD_SIZE)) {
            let mut old = [0; WORD_SIZE];
            self.read_at(at, &mut old)?;
            for (old, new) in old.iter_mut().zip(word) {
                // Flash clears bits, and only an erasure sets them.
                *old &= new;
            }
            self.write_at(at, &old)?;
        }
        sync()
    }
}

fn check(offset: u32, length: usize, unit: usize) -> Result<(), FlashError> {
    let offset = offset as usize;
    if !offset.is_multiple_of(unit) || !length.is_multiple_of(unit) {
        return Err(FlashError::NotAligned);
    }
    offset.checked_add(length).filter(|end| *end <= PAGES.end as usize).map(|_| ()).ok_or(FlashError::OutOfBounds)
}

/// Semihosting knows files but no sync, so the host's own command does it.
fn sync() -> Result<(), FlashError> {
    (sys_system(c"sync board.flash") == 0).then_some(()).ok_or(FlashError::Host)
}
