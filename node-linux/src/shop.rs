//! Demonstration shop: a few hundred products in eight categories whose prices change over time, so that there is
//! always something to scrape. The same settings and the same age give the same pages.

mod catalogue;
mod conditional;
mod listing;
mod page;
mod picture;
mod price;
mod product;
mod words;

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use symphony_adapters::http::{self, Health, Listener, operations};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::config;
use catalogue::Catalogue;
use conditional::Document;
use price::Clock;

/// Serves the shop on `listener`, with health and metrics beside it, until `shutdown` is cancelled.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: impl Into<Listener>,
    settings: config::Shop,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let listener = listener.into();
    let address = listener.local_addr()?;
    tracing::info!(%address, products = settings.products, "shop open");
    let router = router(&settings).merge(operations(&Health::new()));
    http::serve(listener, router, shutdown).await
}

/// How to scrape this shop: what the scraper's configuration says about it when it is served at `url`.
#[must_use]
pub fn site(url: &str) -> config::Site {
    let url = url.trim_end_matches('/');
    let field = |selector: &str, attribute: Option<&str>, kind, required| config::Field {
        selector: Some(selector.to_owned()),
        attribute: attribute.map(str::to_owned),
        kind,
        required,
    };
    config::Site {
        name: "shop".to_owned(),
        start: vec![format!("{url}/")],
        follow: Some("/(category|product)/".to_owned()),
        next: Some("a[rel=next]".to_owned()),
        item: Some("article.product".to_owned()),
        items_on: Some("/product/".to_owned()),
        key: Some("sku".to_owned()),
        title: Some("name".to_owned()),
        fields: [
            ("name", field("h1", None, config::FieldKind::Text, true)),
            ("sku", field("[itemprop=sku]", None, config::FieldKind::Text, true)),
            ("category", field("[itemprop=category]", None, config::FieldKind::Text, false)),
            ("price", field(".price", None, config::FieldKind::Money, true)),
            ("old_price", field(".old-price", None, config::FieldKind::Money, false)),
            ("rating", field("[itemprop=ratingValue]", None, config::FieldKind::Number, false)),
            ("reviews", field("[itemprop=reviewCount]", None, config::FieldKind::Number, false)),
            ("stock", field(".stock", Some("data-stock"), config::FieldKind::Number, false)),
            ("description", field("[itemprop=description]", None, config::FieldKind::Text, false)),
            ("image", field("img[itemprop=image]", Some("src"), config::FieldKind::Url, false)),
        ]
        .into_iter()
        .map(|(name, field)| (name.to_owned(), field))
        .collect(),
        pages_max: 10_000,
        concurrency: 4,
        delay: Duration::ZERO,
        retries: 3,
    }
}

struct Shop {
    catalogue: Catalogue,
    clock: Clock,
}

fn router(settings: &config::Shop) -> Router {
    let shop = Arc::new(Shop {
        catalogue: Catalogue::new(settings.products),
        clock: Clock::start(OffsetDateTime::now_utc(), settings.price_change_every),
    });
    Router::new()
        .route("/", get(home))
        .route("/category/{slug}", get(category))
        .route("/product/{slug}", get(product_page))
        .route("/image/{file}", get(image))
        .route("/cart", get(cart))
        .route("/style.css", get(style))
        .route("/robots.txt", get(robots))
        .route("/sitemap.xml", get(sitemap))
        .fallback(missing)
        .with_state(shop)
}

#[derive(Deserialize)]
struct Position {
    page: Option<usize>,
}

async fn home(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let now = shop.clock.now();
    Document::html(listing::home(&shop.catalogue, now), shop.clock.changed_at(shop.catalogue.products(), now))
        .answer(&headers)
}

async fn category(
    State(shop): State<Arc<Shop>>,
    Path(slug): Path<String>,
    Query(position): Query<Position>,
    headers: HeaderMap,
) -> Response {
    let now = shop.clock.now();
    let number = position.page.unwrap_or(1);
    match listing::category(&shop.catalogue, &slug, number, now) {
        Some((html, products)) => Document::html(html, shop.clock.changed_at(products, now)).answer(&headers),
        None => not_found(&shop.catalogue),
    }
}

async fn product_page(State(shop): State<Arc<Shop>>, Path(slug): Path<String>, headers: HeaderMap) -> Response {
    let now = shop.clock.now();
    match shop.catalogue.by_slug(&slug) {
        Some(product) => {
            let html = product::page(&shop.catalogue, product, now);
            Document::html(html, shop.clock.changed_at([product], now)).answer(&headers)
        }
        None => not_found(&shop.catalogue),
    }
}

async fn image(State(shop): State<Arc<Shop>>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    match file.strip_suffix(".svg").and_then(|sku| shop.catalogue.by_sku(sku)) {
        Some(product) => {
            Document::new("image/svg+xml", picture::svg(product), shop.clock.opened_at()).lasting().answer(&headers)
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn cart(State(shop): State<Arc<Shop>>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], axum::response::Html(page::cart(&shop.catalogue))).into_response()
}

async fn style(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let css = include_str!("shop/style.css").to_owned();
    Document::new("text/css; charset=utf-8", css, shop.clock.opened_at()).answer(&headers)
}

async fn robots(State(shop): State<Arc<Shop>>, request: Request) -> Response {
    let text = format!("User-agent: *\nDisallow: /cart\n\nSitemap: {}/sitemap.xml\n", base(request.headers()));
    Document::new("text/plain; charset=utf-8", text, shop.clock.opened_at()).answer(request.headers())
}

async fn sitemap(State(shop): State<Arc<Shop>>, request: Request) -> Response {
    let now = shop.clock.now();
    let xml =
        listing::sitemap(&shop.catalogue, &base(request.headers()), |product| shop.clock.changed_at([product], now));
    Document::new("application/xml; charset=utf-8", xml, shop.clock.changed_at(shop.catalogue.products(), now))
        .answer(request.headers())
}

async fn missing(State(shop): State<Arc<Shop>>) -> Response {
    not_found(&shop.catalogue)
}

fn not_found(catalogue: &Catalogue) -> Response {
    (StatusCode::NOT_FOUND, axum::response::Html(page::not_found(catalogue))).into_response()
}

/// The shop's own base URL as the visitor named it, for the places that need absolute URLs.
fn base(headers: &HeaderMap) -> String {
    let plain = |host: &&str| host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(plain).unwrap_or("localhost");
    format!("http://{host}")
}
