//! Which, and how many, of several things an operator means.

use serde::Deserialize;
use symphony_adapters::http::Problem;

/// `id=…` or `all=true`, one of the two: nobody does something to all by leaving something out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which<T> {
    id: Option<T>,
    #[serde(default)]
    all: bool,
}

impl<T> Which<T> {
    /// The one; none for all.
    ///
    /// # Errors
    /// 400 if the query says neither, or both.
    pub(super) fn one(self) -> Result<Option<T>, Problem> {
        match self {
            Self { id: Some(id), all: false } => Ok(Some(id)),
            Self { id: None, all: true } => Ok(None),
            _ => Err(Problem::bad_request("say which: id=… or all=true")),
        }
    }
}

/// `limit=…`, up to `LIMIT_MAX`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HowMany {
    limit: Option<usize>,
}

impl HowMany {
    /// Things in one answer, unless told, and at most.
    const LIMIT: usize = 50;
    const LIMIT_MAX: usize = 1000;

    /// The limit.
    ///
    /// # Errors
    /// 400 if it is none of the allowed ones.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(Self::LIMIT);
        if (1..=Self::LIMIT_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(Problem::bad_request(format!("limit is from 1 to {}", Self::LIMIT_MAX)))
        }
    }
}
