//! Errors of the database as answers.

use std::time::Duration;

use axum::http::StatusCode;
use symphony_adapters::{
    database::{DatabaseError, Token},
    http::{Problem, api::LeaderInfo},
};

use super::{WebState, authority};

/// When to try a busy database again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The answer to a read that failed.
pub(super) fn of_read(error: &DatabaseError) -> Problem {
    match error {
        DatabaseError::Invalid(detail) => Problem::bad_request(detail),
        error => unavailable(error),
    }
}

/// The answer to a write that failed. A fence that has moved on ends this node's promotion.
pub(super) fn of_write(web: &WebState, token: &Token, error: &DatabaseError) -> Problem {
    match error {
        DatabaseError::Fenced(at) => {
            web.leadership.fenced(token);
            let later = at.as_ref().map(|leader| LeaderInfo {
                term: leader.token.term,
                node: leader.token.holder,
                url: Some(leader.url.clone()),
            });
            let term = later.as_ref().map_or(token.term, |leader| leader.term);
            authority::count_misdirected(token.holder);
            Problem::not_leader(term, later.as_ref()).with_detail("the database knows a later leader")
        }
        DatabaseError::Invalid(detail) => Problem::content(StatusCode::UNPROCESSABLE_ENTITY, detail),
        error => unavailable(error),
    }
}

fn unavailable(error: &DatabaseError) -> Problem {
    tracing::warn!(%error, "the database did not do as asked");
    Problem::unavailable("the database is unavailable", RETRY_AFTER)
}
