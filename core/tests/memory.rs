//! What the front page says of memory.

use symphony_core::{Endpoint, Saved};

const FRONT_PAGE: &str = include_str!("../src/lib.rs");

/// A node holds no pointers, so it is as large here as on a board.
fn row<const PEERS: usize>() -> String {
    let digits = size_of::<Endpoint<PEERS>>().to_string();
    let (thousands, rest) = digits.split_at(digits.len() - 3);
    let size = if thousands.is_empty() { rest.to_owned() } else { format!("{thousands},{rest}") };
    format!("//! | {PEERS} | {size} | {} |\n", Saved::<PEERS>::SIZE_MAX)
}

#[test]
fn the_front_page_has_the_size_of_a_node_and_of_its_record() {
    for row in [row::<1>(), row::<2>(), row::<4>(), row::<8>()] {
        assert!(FRONT_PAGE.contains(&row), "{row}");
    }
}
