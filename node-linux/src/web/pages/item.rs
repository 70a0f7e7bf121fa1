//! One item with everything that is known of it.

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use maud::{Markup, html};
use serde_json::Value;
use symphony_adapters::database::{ItemQuery, StoredItem};

use super::{
    Page, items,
    layout::{self, Frame, Section},
    time, value,
};
use crate::web::WebState;

/// Longest value that is worth looking for in other items, in bytes.
const SHARED_SIZE_MAX: usize = 60;

/// `GET /app/items/{id}`.
pub(super) async fn page(State(web): State<WebState>, Path(id): Path<String>) -> Page {
    let frame = Frame::new(&web.leadership.current(), Section::Items);
    match web.database.item(&id).await {
        Ok(Some(item)) => Page::ok(layout::page(&frame, items::title(&item), &render(&item, time::now_ms()))),
        Ok(None) => {
            let advice = "It may have been stored under another address.";
            Page::error(&frame, StatusCode::NOT_FOUND, "There is no such item", advice)
        }
        Err(error) => Page::database_error(&frame, &error),
    }
}

fn render(row: &StoredItem, now_ms: i64) -> Markup {
    let item = &row.item;
    // The title stands above already.
    let fields: Vec<_> = item.fields.iter().filter(|(_, field)| field.as_str() != Some(&item.title)).collect();
    html! {
        nav.path aria-label="Breadcrumb" { a href="/app/" { "Items" } " / " (site_link(&item.site)) }
        article.item {
            div.heading {
                h1 { (items::title(row)) }
                @if let Some((_, price)) = items::price(row) { p.price { (price) } }
            }
            p { (value::source(&item.url)) }
            section aria-labelledby="fields" {
                h2 #fields { "Fields" }
                @if fields.is_empty() {
                    p.muted { "None but the title." }
                } @else {
                    dl {
                        @for (name, field) in fields {
                            dt { (items::humanize(name)) }
                            dd { (value::full(field)) (similar(name, field)) }
                        }
                    }
                }
            }
            section aria-labelledby="history" {
                h2 #history { "History" }
                dl {
                    dt { "First stored" }
                    dd { (time::full(row.first_stored_at_ms)) }
                    dt { "Last changed" }
                    dd { (time::full(row.stored_at_ms)) " (" (time::ago(row.stored_at_ms, now_ms)) ")" }
                    dt { "Revision" }
                    dd { (value::count(row.revision)) ", under term " (row.term) }
                    dt { "Last scraped" }
                    dd { (time::full(item.scraped_at_ms)) }
                    dt { "Identity" }
                    dd { code { (item.id) } }
                }
            }
            p { a href={ "/app/items/" (items::path_segment(&item.id)) "/json" } { "This item as JSON" } }
        }
    }
}

fn site_link(site: &str) -> Markup {
    let query = ItemQuery { site: Some(site.to_owned()), ..ItemQuery::default() };
    html! { a href=(items::address(&query, None)) { (site) } }
}

/// The way to other items with the same short text, such as a category.
fn similar(name: &str, field: &Value) -> Markup {
    let Some(text) = field.as_str().filter(|text| text.len() <= SHARED_SIZE_MAX && value::short(field).is_some())
    else {
        return html! {};
    };
    let query = ItemQuery { field: Some(name.to_owned()), value: Some(text.to_owned()), ..ItemQuery::default() };
    html! { " " a.similar href=(items::address(&query, None)) aria-label={ "Items with the same " (items::humanize(name)) } { "see all" } }
}
