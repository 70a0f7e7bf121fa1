//! What an operator is told when something behind the manager does not do as asked.

use std::time::Duration;

use symphony_adapters::http::Problem;

/// When to ask again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// 503, with the reason.
pub(super) fn unavailable(reason: impl ToString) -> Problem {
    Problem::unavailable(reason.to_string(), RETRY_AFTER)
}
