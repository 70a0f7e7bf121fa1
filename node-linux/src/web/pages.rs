//! Pages for people, under `/app`: rendered here, without scripts, and with nothing from elsewhere.

mod files;
mod item;
mod items;
mod layout;
mod time;
mod value;

use std::sync::LazyLock;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use maud::{Markup, html};
use sha2::{Digest, Sha256};
use symphony_adapters::database::DatabaseError;

use self::layout::{Frame, Section};
use super::WebState;

/// What a page may load and do: its own style sheet and icon, its own forms, and nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                                       base-uri 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("pages/style.css");
/// Where the style sheet is: another address when it has changed, so that no browser styles a page with an old one.
static STYLE_ADDRESS: LazyLock<String> = LazyLock::new(|| {
    let hash = hex::encode(Sha256::digest(STYLE));
    format!("/app/style.css?{}", hash.get(..12).unwrap_or(&hash))
});
const ICON: &str = include_str!("pages/icon.svg");

/// All pages. Nothing outside `/app` but the way in.
pub(super) fn routes() -> Router<WebState> {
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/app/") }))
        .route("/app", get(|| async { Redirect::temporary("/app/") }))
        .route("/app/", get(items::page))
        .route("/app/items/{id}", get(item::page))
        .route("/app/items/{id}/json", get(super::items::one))
        .route("/app/files", get(files::page))
        .route("/app/files/{sha256}", get(super::files::content))
        .route("/app/style.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route("/app/icon.svg", get(|| async { asset("image/svg+xml", ICON) }))
        .route("/app/{*other}", get(missing))
}

/// A page, ready to be sent.
struct Page {
    status: StatusCode,
    markup: Markup,
}

impl Page {
    fn ok(markup: Markup) -> Self {
        Self { status: StatusCode::OK, markup }
    }

    /// The page that says what went wrong, and where to go from there.
    fn error(frame: &Frame, status: StatusCode, title: &str, advice: &str) -> Self {
        let body = html! {
            div.notice {
                h1 { (title) }
                p { (advice) }
                p { a.button href="/app/" { "All items" } }
            }
        };
        Self { status, markup: layout::page(frame, title, &body) }
    }

    fn database_error(frame: &Frame, error: &DatabaseError) -> Self {
        match error {
            DatabaseError::Invalid(detail) => Self::error(
                frame,
                StatusCode::BAD_REQUEST,
                "This address does not work",
                &format!("The database did not understand it: {detail}."),
            ),
            error => {
                tracing::warn!(%error, "cannot show a page");
                Self::error(
                    frame,
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The database does not answer",
                    "Nothing is lost. Please load the page again in a moment.",
                )
            }
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        (self.status, headers, self.markup.into_string()).into_response()
    }
}

fn asset(media_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "max-age=86400")], text)
}

async fn missing(State(web): State<WebState>, uri: Uri) -> Page {
    let frame = Frame::new(&web.leadership.current(), Section::Other);
    let advice = format!("Nothing is at {}.", uri.path());
    Page::error(&frame, StatusCode::NOT_FOUND, "There is no such page", &advice)
}
