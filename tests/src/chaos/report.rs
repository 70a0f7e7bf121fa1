//! The figures.

use std::time::Duration;

use serde::Serialize;

use super::{account::Account, world::Before};

/// One fault, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Which.
    pub fault: String,
    /// How often it was struck.
    pub strikes: u32,
    /// Time of striking, settling and counting, seconds.
    pub seconds: f64,
    /// New or changed items that the scraper found meanwhile.
    pub scraped: u64,
    /// Of those, stored.
    pub stored: u64,
    /// Terms that began meanwhile.
    pub terms: u64,
    /// Messages that came again and were recognised, as far as nodes that still run have counted.
    pub recognised: u64,
    /// Everything since the start.
    pub account: Account,
    /// Nothing lost, nothing twice, nothing stale, nothing left over, since the start.
    pub right: bool,
}

impl Figures {
    pub(super) fn new(
        fault: &str,
        strikes: u32,
        time: Duration,
        before: &Before,
        after: &Before,
        account: Account,
    ) -> Self {
        Self {
            fault: fault.to_owned(),
            strikes,
            seconds: time.as_secs_f64(),
            scraped: account.scraped - before.scraped,
            stored: account.stored.saturating_sub(before.stored),
            terms: after.terms - before.terms,
            recognised: after.recognised.saturating_sub(before.recognised),
            right: account.is_right(),
            account,
        }
    }

    /// One line.
    #[must_use]
    pub fn text(&self) -> String {
        let Account { missing, foreign, doubled, stale, mails_lost, queued, bad, dead, .. } = &self.account;
        let verdict = if self.right { "right" } else { "WRONG" };
        format!(
            "{:<30} {:>3} strikes {:>6.1} s {:>6} scraped {:>6} stored {:>3} terms {:>4} recognised; so far {missing} \
             missing, {foreign} foreign, {doubled} doubled, {stale} stale, {mails_lost} mails lost, {queued} queued, \
             {dead} of {bad} dead: {verdict}",
            self.fault, self.strikes, self.seconds, self.scraped, self.stored, self.terms, self.recognised
        )
    }
}

/// All faults.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What moments, kinds and victims were drawn from.
    pub seed: u64,
    /// Time of all faults, seconds.
    pub seconds: f64,
    /// In their order.
    pub faults: Vec<Figures>,
    /// Every account is right.
    pub right: bool,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, seconds: 0.0, faults: Vec::new(), right: true }
    }

    pub(super) fn add(&mut self, figures: Figures) {
        self.right &= figures.right;
        self.faults.push(figures);
    }

    /// Times that every one of this many faults was struck.
    pub(super) fn rounds(&self, faults: usize) -> u32 {
        u32::try_from(self.faults.len() / faults.max(1)).unwrap_or(u32::MAX).max(1)
    }
}
