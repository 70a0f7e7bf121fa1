//! Items, for machines.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, header},
};
use symphony_adapters::{
    database::{ItemQuery, Outcome, Page, StoredItem},
    http::{
        Problem,
        api::{ItemResult, ItemsRequest, ItemsResponse},
    },
};
use url::form_urlencoded::Serializer;

use super::{WebState, authority::Authorized, failure};

/// Largest body of `POST /v1/items`, in bytes: a full batch of items of 32 KiB each.
pub(super) const BODY_SIZE_MAX: usize = 16 * 1024 * 1024;

/// `POST /v1/items`: stores a batch in one transaction, under the term of the request.
pub(super) async fn store(
    State(web): State<WebState>,
    Authorized(token, Json(request)): Authorized<Json<ItemsRequest>>,
) -> Result<Json<ItemsResponse>, Problem> {
    let entries = request.items.len();
    if entries == 0 || entries > ItemsRequest::ENTRIES_MAX {
        let max = ItemsRequest::ENTRIES_MAX;
        return Err(Problem::unprocessable(format!("{entries} items in one request: 1 to {max} are taken")));
    }
    let outcomes = web.database.store_items(&token, &request.items).await;
    let outcomes = outcomes.map_err(|error| failure::of_write(&web, &token, &error))?;
    let results: Vec<_> = request
        .items
        .into_iter()
        .zip(outcomes)
        .map(|(incoming, outcome)| ItemResult { message_id: incoming.message_id, outcome })
        .collect();
    for result in &results {
        metrics::counter!("symphony_items_received_total", "outcome" => label(result.outcome)).increment(1);
    }
    Ok(Json(ItemsResponse { term: token.term, results }))
}

/// An outcome as a label of a metric.
pub(super) fn label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Stored => "stored",
        Outcome::Duplicate => "duplicate",
        Outcome::Conflict => "conflict",
    }
}

/// `GET /v1/items`: a page, with a link to the next one.
pub(super) async fn list(
    State(web): State<WebState>,
    Query(query): Query<ItemQuery>,
) -> Result<(HeaderMap, Json<Page<StoredItem>>), Problem> {
    let query = without_blanks(query);
    let page = web.database.items(&query).await.map_err(|error| failure::of_read(&error))?;
    let headers = link_to_next("/v1/items", page.next.as_deref(), |link| {
        let limit = query.limit.map(|limit| limit.to_string());
        for (name, value) in [
            ("search", &query.search),
            ("site", &query.site),
            ("field", &query.field),
            ("value", &query.value),
            ("limit", &limit),
        ] {
            if let Some(value) = value {
                link.append_pair(name, value);
            }
        }
    });
    Ok((headers, Json(page)))
}

/// `GET /v1/items/{id}`.
pub(super) async fn one(State(web): State<WebState>, Path(id): Path<String>) -> Result<Json<StoredItem>, Problem> {
    let item = web.database.item(&id).await.map_err(|error| failure::of_read(&error))?;
    item.map(Json).ok_or_else(|| Problem::not_found("there is no item of this id"))
}

/// A form sends a field that was left empty as an empty text, and means nothing by it.
pub(super) fn without_blanks(query: ItemQuery) -> ItemQuery {
    let full = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    ItemQuery {
        search: full(query.search),
        site: full(query.site),
        field: full(query.field),
        value: full(query.value),
        cursor: full(query.cursor),
        limit: query.limit,
    }
}

/// The `Link` header of RFC 8288 to the page at `cursor`, the rest of the query as it was.
pub(super) fn link_to_next(
    path: &str,
    cursor: Option<&str>,
    query: impl FnOnce(&mut Serializer<'_, String>),
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(cursor) = cursor {
        let mut link = Serializer::new(String::new());
        query(&mut link);
        link.append_pair("cursor", cursor);
        if let Ok(value) = HeaderValue::from_str(&format!("<{path}?{}>; rel=\"next\"", link.finish())) {
            headers.insert(header::LINK, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_to_the_next_page_keeps_the_query() {
        let headers = link_to_next("/v1/items", Some("a b"), |link| {
            link.append_pair("search", "tea & \"cake\"\r\n");
        });
        assert_eq!(headers[header::LINK], "</v1/items?search=tea+%26+%22cake%22%0D%0A&cursor=a+b>; rel=\"next\"");
        assert!(link_to_next("/v1/items", None, |_| {}).is_empty());
    }

    #[test]
    fn an_empty_field_of_a_form_asks_for_nothing() {
        let query = ItemQuery { search: Some(" ".into()), site: Some("shop".into()), ..ItemQuery::default() };
        assert_eq!(without_blanks(query), ItemQuery { site: Some("shop".into()), ..ItemQuery::default() });
    }
}
