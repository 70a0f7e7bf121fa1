//! Who may write: only a request made for the term that this node leads.

use axum::{
    RequestExt,
    extract::{FromRequest, Request},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use symphony_adapters::{
    database::Token,
    http::{Problem, api::TERM_HEADER},
};

use super::{WebState, leadership::Leadership};

/// A body that was read only after the request proved to be for this leader and term, with what its writes carry.
pub(super) struct Authorized<T>(pub(super) Token, pub(super) T);

impl<T: FromRequest<WebState>> FromRequest<WebState> for Authorized<T> {
    type Rejection = Response;

    async fn from_request(request: Request, web: &WebState) -> Result<Self, Response> {
        match authorize(&web.leadership.current(), request.headers()) {
            Ok(token) => {
                let body = T::from_request(request, web).await.map_err(IntoResponse::into_response)?;
                Ok(Self(token, body))
            }
            Err(problem) => {
                discard_body(request).await;
                Err(problem.into_response())
            }
        }
    }
}

/// The token for this node's writes, if the request is for the term that this node leads.
pub(super) fn authorize(leadership: &Leadership, headers: &HeaderMap) -> Result<Token, Problem> {
    let Some(token) = &leadership.promoted else {
        return Err(misdirected(leadership, "this node does not lead"));
    };
    let Some(term) = headers.get(TERM_HEADER) else {
        return Err(Problem::bad_request(format!("header {TERM_HEADER} is missing")));
    };
    let Some(term) = term.to_str().ok().and_then(|term| term.parse::<u64>().ok()) else {
        return Err(Problem::bad_request(format!("header {TERM_HEADER} is not a term")));
    };
    if term != token.term {
        return Err(misdirected(leadership, &format!("the request is for term {term}")));
    }
    Ok(token.clone())
}

/// Counts an answer with status 421.
pub(super) fn count_misdirected(node: u16) {
    metrics::counter!("symphony_misdirected_requests_total", "node" => node.to_string()).increment(1);
}

fn misdirected(leadership: &Leadership, detail: &str) -> Problem {
    count_misdirected(leadership.me);
    Problem::not_leader(leadership.term, leadership.info().as_ref()).with_detail(detail)
}

/// Reads what is left of a body, up to the route's limit: closing on a client that still writes could cost it the answer.
async fn discard_body(request: Request) {
    let mut body = request.into_limited_body().into_data_stream();
    while let Some(Ok(_)) = body.next().await {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leadership(promoted: bool) -> Leadership {
        Leadership {
            term: 5,
            leader: Some(1),
            me: 1,
            promoted: promoted.then_some(Token { term: 5, holder: 1 }),
            leader_url: Some("http://one".into()),
        }
    }

    fn headers(term: &str) -> HeaderMap {
        HeaderMap::from_iter([(TERM_HEADER.parse().unwrap(), term.parse().unwrap())])
    }

    #[test]
    fn only_a_request_for_the_promoted_term_may_write() {
        assert_eq!(authorize(&leadership(true), &headers("5")), Ok(Token { term: 5, holder: 1 }));
        for term in ["4", "6"] {
            let problem = authorize(&leadership(true), &headers(term)).unwrap_err();
            assert_eq!((problem.status, problem.term()), (421, Some(5)), "for term {term}");
        }
    }

    #[test]
    fn a_node_that_is_not_promoted_names_the_leader_it_knows() {
        let problem = authorize(&leadership(false), &headers("5")).unwrap_err();
        assert_eq!(problem.status, 421);
        assert_eq!(problem.leader().unwrap().url.as_deref(), Some("http://one"));
    }

    #[test]
    fn a_request_without_a_usable_term_is_bad() {
        assert_eq!(authorize(&leadership(true), &HeaderMap::new()).unwrap_err().status, 400);
        assert_eq!(authorize(&leadership(true), &headers("five")).unwrap_err().status, 400);
    }
}
