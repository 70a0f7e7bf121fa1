//! Messages and the record as the numbers that postcard writes: every field in its order, each a varint, and bytes as
//! they are.
//!
//! What serde derives for them writes the same bytes in several times the code, with a branch and a visitor for every
//! kind and every type of number.

use postcard::{Serializer, ser_flavors, ser_flavors::Flavor as _};
use serde::Serialize as _;

/// Writes numbers one after the other.
pub(crate) struct Writer<'a> {
    serializer: Serializer<ser_flavors::Slice<'a>>,
    /// There was no room for one of them.
    failed: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { serializer: Serializer { output: ser_flavors::Slice::new(buffer) }, failed: false }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn put(&mut self, number: u64) {
        self.failed |= number.serialize(&mut self.serializer).is_err();
    }

    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        self.failed |= self.serializer.output.try_extend(bytes).is_err();
    }

    /// The part of the buffer that is used, if there was room for all.
    pub(crate) fn finish(self) -> Option<&'a mut [u8]> {
        let used = self.serializer.output.finalize().ok()?;
        (!self.failed).then_some(used)
    }
}

/// Reads numbers one after the other.
pub(crate) struct Reader<'a> {
    /// What has not been read; none after a number that was missing or out of its range, which has been read as 0.
    rest: Option<&'a [u8]>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: Some(bytes) }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn take(&mut self) -> u64 {
        let taken = self.rest.and_then(|rest| postcard::take_from_bytes(rest).ok());
        self.rest = taken.map(|(_, rest)| rest);
        taken.map_or(0, |(number, _)| number)
    }

    /// A number of `0..=max`.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn take_up_to(&mut self, max: u32) -> u32 {
        match u32::try_from(self.take()) {
            Ok(number) if number <= max => number,
            _ => {
                self.rest = None;
                0
            }
        }
    }

    pub(crate) fn take_u32(&mut self) -> u32 {
        self.take_up_to(u32::MAX)
    }

    pub(crate) fn take_flag(&mut self) -> bool {
        self.take_up_to(1) != 0
    }

    pub(crate) fn take_bytes<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.rest.and_then(<[u8]>::split_first_chunk);
        self.rest = taken.map(|(_, rest)| rest);
        taken.map_or([0; N], |(bytes, _)| *bytes)
    }

    /// Whether all numbers were good, and no byte is left.
    pub(crate) fn ends_well(&self) -> bool {
        self.rest.is_some_and(<[u8]>::is_empty)
    }
}
