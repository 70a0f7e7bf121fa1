//! Prices that change over time: each a function of the product and of the number of periods since the shop opened.

use std::time::Duration;

use time::OffsetDateTime;

use super::catalogue::Product;

/// Number of price periods since the shop opened.
pub(super) type Period = u64;

/// Turns the wall clock into periods and back.
pub(super) struct Clock {
    opened_at: OffsetDateTime,
    every: Duration,
}

impl Clock {
    pub(super) fn start(opened_at: OffsetDateTime, every: Duration) -> Self {
        Self { opened_at, every: every.max(Duration::from_millis(1)) }
    }

    pub(super) fn opened_at(&self) -> OffsetDateTime {
        self.opened_at
    }

    pub(super) fn now(&self) -> Period {
        let age = Duration::try_from(OffsetDateTime::now_utc() - self.opened_at).unwrap_or_default();
        Period::try_from(age.as_millis() / self.every.as_millis().max(1)).unwrap_or(Period::MAX)
    }

    /// When the latest of the products' prices last changed.
    pub(super) fn changed_at<'a>(
        &self,
        products: impl IntoIterator<Item = &'a Product>,
        now: Period,
    ) -> OffsetDateTime {
        let period = products.into_iter().map(|product| last_change(product, now)).max().unwrap_or(0);
        let age = u32::try_from(period).ok().and_then(|period| self.every.checked_mul(period)).unwrap_or_default();
        self.opened_at.checked_add(age.try_into().unwrap_or_default()).unwrap_or(self.opened_at)
    }
}

/// What a product costs in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Price {
    pub(super) cents: u64,
    /// Regular price, while the product is on sale.
    pub(super) old_cents: Option<u64>,
}

impl Price {
    pub(super) fn of(product: &Product, now: Period) -> Self {
        // Even revisions are regular prices, odd ones are sales: neighbours always differ.
        let revision = revision(product, now) + u64::from(product.seed.is_multiple_of(5));
        let regular = regular_cents(product, revision / 2);
        if revision.is_multiple_of(2) {
            return Self { cents: regular, old_cents: None };
        }
        let percent_off = 10 + 5 * (mix(product.seed, revision) % 5);
        Self { cents: neat(regular * (100 - percent_off) / 100), old_cents: Some(regular) }
    }

    /// Saving in whole percent, while the product is on sale.
    pub(super) fn percent_off(self) -> Option<u64> {
        let old = self.old_cents?;
        (old.saturating_sub(self.cents) * 100 + old / 2).checked_div(old)
    }
}

/// `€1,234.50`
pub(super) fn format_cents(cents: u64) -> String {
    let euros = cents / 100;
    let cents = cents % 100;
    if euros >= 1000 {
        format!("€{},{:03}.{cents:02}", euros / 1000, euros % 1000)
    } else {
        format!("€{euros}.{cents:02}")
    }
}

/// A well-spread number for each pair of inputs (the finaliser of SplitMix64).
pub(super) fn mix(seed: u64, salt: u64) -> u64 {
    let mut z = seed.wrapping_add(salt.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Periods between two changes of the product's price: a few percent of the products change in each period.
fn interval(product: &Product) -> u64 {
    20 + mix(product.seed, 1) % 21
}

fn offset(product: &Product) -> u64 {
    mix(product.seed, 2) % interval(product)
}

fn revision(product: &Product, now: Period) -> u64 {
    now.saturating_add(offset(product)) / interval(product)
}

fn last_change(product: &Product, now: Period) -> Period {
    (revision(product, now) * interval(product)).saturating_sub(offset(product))
}

fn regular_cents(product: &Product, step: u64) -> u64 {
    let percent = if step == 0 { 100 } else { 98 + mix(product.seed, step.wrapping_add(1000)) % 9 };
    neat(product.base_cents * percent / 100)
}

/// Shops like prices that end in 0 or 5.
fn neat(cents: u64) -> u64 {
    cents / 5 * 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::catalogue::Catalogue;

    #[test]
    fn a_few_percent_of_the_products_change_in_each_period_and_no_other() {
        let catalogue = Catalogue::new(240);
        let mut most = 0;
        for now in 1..200 {
            let changed = catalogue
                .products()
                .iter()
                .filter(|product| {
                    let changed = Price::of(product, now) != Price::of(product, now - 1);
                    assert_eq!(changed, last_change(product, now) == now, "{} at {now}", product.sku);
                    changed
                })
                .count();
            most = most.max(changed);
        }
        assert!((4..=24).contains(&most), "{most} of 240 at most");
    }

    #[test]
    fn a_sale_is_cheaper_than_the_old_price() {
        for product in Catalogue::new(500).products() {
            for now in 0..100 {
                let price = Price::of(product, now);
                assert!(price.cents >= 100, "{} {price:?}", product.sku);
                assert!(price.old_cents.is_none_or(|old| old > price.cents), "{} {price:?}", product.sku);
            }
        }
    }

    #[test]
    fn prices_look_like_prices() {
        assert_eq!(format_cents(5), "€0.05");
        assert_eq!(format_cents(1290), "€12.90");
        assert_eq!(format_cents(123_450), "€1,234.50");
    }
}
