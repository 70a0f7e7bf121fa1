//! What the fuzz targets hold the core to: the module that the core's own property tests use.
//!
//! `cargo fuzz run TARGET` in `tests/fuzz` goes on until it finds something; `.ci/steps/fuzz` runs each for a minute.
//! `cargo test -p symphony-core corpus` replays the kept corpus of all. `open` has run 10^8 times (`-runs=100000000
//! -max_len=96`, 54 minutes), which made 1.3 × 10^9 datagrams, and none was taken in.

#[path = "../../../core/tests/common/door.rs"]
pub mod door;
#[path = "../../../core/tests/common/operations.rs"]
pub mod operations;
#[path = "../../../core/tests/common/puppet.rs"]
pub mod puppet;
#[path = "../../../core/tests/common/subject.rs"]
pub mod subject;
