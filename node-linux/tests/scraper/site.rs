//! A small site under the test's control.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::net::TcpListener;

/// Answers by path and query; counts who asked for what. Everything has an ETag.
#[derive(Default)]
pub(crate) struct Site {
    pages: Mutex<HashMap<String, String>>,
    redirects: Mutex<HashMap<String, String>>,
    /// Statuses to answer with before the page is given.
    troubles: Mutex<HashMap<String, Vec<u16>>>,
    hits: Mutex<Vec<(String, StatusCode)>>,
    /// What to answer for a path that is not known.
    endless: Option<fn(&str) -> String>,
    url: Mutex<String>,
}

impl Site {
    pub(crate) async fn start() -> Arc<Self> {
        Self::default().serve().await
    }

    pub(crate) async fn start_endless(page: fn(&str) -> String) -> Arc<Self> {
        Self { endless: Some(page), ..Self::default() }.serve().await
    }

    async fn serve(self) -> Arc<Self> {
        let site = Arc::new(self);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        *site.url.lock().unwrap() = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&site));
        tokio::spawn(async move { axum::serve(listener, router).await });
        site
    }

    pub(crate) fn url(&self) -> String {
        self.url.lock().unwrap().clone()
    }

    pub(crate) fn page(&self, path: &str, body: impl Into<String>) -> &Self {
        self.pages.lock().unwrap().insert(path.to_owned(), body.into());
        self
    }

    pub(crate) fn redirect(&self, path: &str, to: &str) -> &Self {
        self.redirects.lock().unwrap().insert(path.to_owned(), to.to_owned());
        self
    }

    pub(crate) fn trouble(&self, path: &str, statuses: &[u16]) -> &Self {
        self.troubles.lock().unwrap().insert(path.to_owned(), statuses.iter().rev().copied().collect());
        self
    }

    /// Requests for a path, with their answers, in order.
    pub(crate) fn hits(&self, path: &str) -> Vec<u16> {
        let hits = self.hits.lock().unwrap();
        hits.iter().filter(|(at, _)| at == path).map(|(_, status)| status.as_u16()).collect()
    }

    /// Requests for anything but robots.txt.
    pub(crate) fn pages_hit(&self) -> usize {
        self.hits.lock().unwrap().iter().filter(|(at, _)| at != "/robots.txt").count()
    }
}

async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let held = request.headers().get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let response = respond(&site, &path, held.as_deref());
    site.hits.lock().unwrap().push((path, response.status()));
    response
}

fn respond(site: &Site, path: &str, held: Option<&str>) -> Response {
    if let Some(status) = site.troubles.lock().unwrap().get_mut(path).and_then(Vec::pop) {
        let status = StatusCode::from_u16(status).unwrap();
        return match status {
            StatusCode::TOO_MANY_REQUESTS => (status, [(header::RETRY_AFTER, "1")]).into_response(),
            _ => status.into_response(),
        };
    }
    if let Some(to) = site.redirects.lock().unwrap().get(path) {
        return (StatusCode::FOUND, [(header::LOCATION, to.clone())]).into_response();
    }
    let page = site.pages.lock().unwrap().get(path).cloned();
    let page = page.or_else(|| site.endless.filter(|_| path != "/robots.txt").map(|endless| endless(path)));
    let Some(body) = page else { return StatusCode::NOT_FOUND.into_response() };
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let tag = format!("\"{:x}\"", hasher.finish());
    if held == Some(&tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let media_type = if path.ends_with(".txt") { "text/plain" } else { "text/html; charset=utf-8" };
    ([(header::ETAG, tag), (header::CONTENT_TYPE, media_type.to_owned())], body).into_response()
}
