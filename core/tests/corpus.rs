//! What the fuzz targets have found worth keeping, played again on every run of the tests.

#![allow(clippy::unwrap_used, reason = "a corpus that cannot be read fails the test")]

use crate::common::door;
use crate::common::subject;
use std::{fs, path::Path};

/// Plays every file of a target's corpus.
fn replay(target: &str, hold: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(target);
    let mut played = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        hold(&fs::read(path).unwrap());
        played += 1;
    }
    assert!(played > 10, "the corpus is kept with the code");
}

#[test]
fn raw_bytes() {
    replay("raw_bytes", subject::hold_raw_bytes);
}

#[test]
fn messages() {
    replay("messages", |bytes| subject::read(bytes).iter().for_each(subject::hold_messages));
}

#[test]
fn operation_sequences() {
    replay("operations", |bytes| subject::read(bytes).iter().for_each(subject::hold_operations));
}

#[test]
fn open() {
    replay("open", door::hold_shut);
}

#[test]
fn sealed() {
    replay("sealed", door::hold_sealed);
}
