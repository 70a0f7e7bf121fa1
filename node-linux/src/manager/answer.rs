//! What the leader's refusals mean.

/// Whether an HTTP status blames what was sent, rather than who sent it, where or when.
///
/// Only then is the content to blame for good; everything else (a missing permission, an unknown path) is the
/// machines' fault, and the content waits until it is mended.
pub(super) fn speaks_of_content(status: u16) -> bool {
    matches!(status, 400 | 409 | 413 | 422)
}
