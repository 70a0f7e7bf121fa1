//! The list of files.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use symphony_adapters::database::{Page as Rows, StoredFile};
use url::form_urlencoded::Serializer;

use super::{
    Page,
    layout::{self, Frame, Section},
    time, value,
};
use crate::web::WebState;

/// The query of an address; what is not ours in it is none of our business.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PageQuery {
    cursor: Option<String>,
}

/// `GET /app/files`.
pub(super) async fn page(State(web): State<WebState>, Query(query): Query<PageQuery>) -> Page {
    let frame = Frame::new(&web.leadership.current(), Section::Files);
    let cursor = query.cursor.as_deref().filter(|cursor| !cursor.is_empty());
    match web.database.files(cursor, None).await {
        Ok(rows) => Page::ok(layout::page(&frame, "Files", &render(cursor, &rows, time::now_ms()))),
        Err(error) => Page::database_error(&frame, &error),
    }
}

fn render(cursor: Option<&str>, page: &Rows<StoredFile>, now_ms: i64) -> Markup {
    html! {
        div.heading {
            h1 { "Files" }
            p.muted { "Processed data, as fetched from the FTP server" }
        }
        @if page.rows.is_empty() {
            div.notice {
                h2 { @if cursor.is_some() { "Nothing further" } @else { "No files yet" } }
                p { "They appear here once the scraper has uploaded some and the manager has fetched them." }
            }
        } @else {
            (table(&page.rows, now_ms))
        }
        nav.pages aria-label="Pages" {
            @if cursor.is_some() { a.button.quiet href="/app/files" { "← First page" } }
            @if let Some(next) = &page.next { a.button rel="next" href=(address(next)) { "Next page →" } }
        }
    }
}

fn table(rows: &[StoredFile], now_ms: i64) -> Markup {
    html! {
        table.items {
            thead {
                tr {
                    th scope="col" { "File" }
                    th.number scope="col" { "Size" }
                    th.moment scope="col" { "Stored" }
                }
            }
            tbody {
                @for file in rows {
                    tr {
                        td.title {
                            a href={ "/app/files/" (file.sha256) } download { (name(file)) }
                            ul.facts {
                                li { (file.content_type) }
                                li { span.name { "From" } " " (file.path) }
                                li { span.name { "SHA-256" } " " code { (file.sha256.get(..12).unwrap_or(&file.sha256)) "…" } }
                            }
                        }
                        td.number { (value::size(file.size)) }
                        td.moment { (time::ago(file.stored_at_ms, now_ms)) }
                    }
                }
            }
        }
    }
}

fn name(file: &StoredFile) -> &str {
    file.path.rsplit('/').find(|name| !name.is_empty()).unwrap_or(&file.path)
}

fn address(cursor: &str) -> String {
    format!("/app/files?{}", Serializer::new(String::new()).append_pair("cursor", cursor).finish())
}
