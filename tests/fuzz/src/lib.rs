//! What the fuzz targets hold the core to: the module that the core's own property tests use.
//!
//! `cargo fuzz run raw_bytes`, `messages` or `operations` in `tests/fuzz` goes on until it finds something;
//! `.ci/steps/fuzz` runs each for a minute. `cargo test -p symphony-core --test corpus` replays the kept corpus.

#[path = "../../../core/tests/common/operations.rs"]
pub mod operations;
#[path = "../../../core/tests/common/subject.rs"]
pub mod subject;
