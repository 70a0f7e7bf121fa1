//! The web role over real HTTP and a real SQLite database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::{collections::BTreeMap, time::Duration};

use axum::{Json, Router, http::StatusCode, routing::put};
use reqwest::Response;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use symphony::web::{
    self, WebState,
    leadership::{self, Candidate, ElectionView, LeadershipHandle},
};
use symphony_adapters::{
    database::{Database, Incoming, Outcome},
    http::{
        Bearer, ClientError, Health, WebClient,
        api::{ItemsRequest, LeaderInfo, TERM_HEADER},
    },
    item::Item,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What requests that change something carry.
const TOKEN: &str = "token-of-the-tests";

const DEADLINE: Duration = Duration::from_secs(20);

struct Node {
    url: String,
    election: watch::Sender<ElectionView>,
    leadership: LeadershipHandle,
    _stop: DropGuard,
}

impl Node {
    async fn start(id: u16, folder: &TempDir, managers: Vec<String>) -> Self {
        let database = Database::open(&format!("sqlite:{}", folder.path().join("web.db").display())).await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (election, view) = watch::channel(ElectionView::default());
        let stop = CancellationToken::new();
        let candidate = Candidate {
            me: id,
            url: url.clone(),
            managers,
            database: database.clone(),
            client: client(),
            raise: mpsc::channel(1).0,
            health: Health::new(),
        };
        let (leadership, _task) = leadership::start(candidate, view, stop.clone());
        let state = WebState { database, leadership: leadership.clone(), bearer: bearer(), health: Health::new() };
        tokio::spawn(web::serve(listener, state, Router::new(), stop.clone()));
        Self { url, election, leadership, _stop: stop.drop_guard() }
    }

    async fn start_leader(term: u64, folder: &TempDir) -> Self {
        let mut node = Self::start(1, folder, Vec::new()).await;
        node.win(1, term).await;
        node
    }

    async fn win(&mut self, id: u16, term: u64) {
        self.election.send_replace(ElectionView { term, leader: Some(id), is_leader: true, lease_until: None });
        let promoted = async {
            while self.leadership.current().promoted.is_none() {
                self.leadership.promotion_changed().await;
            }
        };
        timeout(DEADLINE, promoted).await.expect("not promoted in time");
    }

    fn follow(&self, leader: u16, term: u64) {
        self.election.send_replace(ElectionView { term, leader: Some(leader), is_leader: false, lease_until: None });
    }

    async fn get(&self, path: &str) -> Response {
        browser().get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "GET {path}");
        response.json().await.unwrap()
    }

    async fn html(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "GET {path}");
        response.text().await.unwrap()
    }

    async fn store(&self, term: u64, items: &[Incoming]) -> Result<Vec<Outcome>, ClientError> {
        let request = ItemsRequest { items: items.to_vec() };
        let response = client().store_items(&self.url, term, &request).await?;
        Ok(response.results.into_iter().map(|result| result.outcome).collect())
    }

    async fn store_file(&self, term: u64, path: &str, content: &[u8]) -> Result<Outcome, ClientError> {
        let hash = hex::encode(Sha256::digest(content));
        let stored = client().store_file(&self.url, term, path, 17, "text/csv", &hash, content.to_vec()).await?;
        assert_eq!((stored.term, stored.sha256), (term, hash));
        Ok(stored.outcome)
    }
}

fn client() -> WebClient {
    WebClient::new(bearer()).unwrap()
}

fn bearer() -> Bearer {
    Bearer::new(TOKEN).unwrap()
}

fn signed(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    request.header("authorization", bearer().header())
}

fn browser() -> reqwest::Client {
    // Installs the provider of TLS that every client needs.
    client();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

fn item(number: u32) -> Incoming {
    let fields = BTreeMap::from([
        ("category".to_owned(), json!(if number.is_multiple_of(2) { "Tea" } else { "Coffee" })),
        ("price".to_owned(), json!({"amount": format!("{number}.50"), "currency": "EUR"})),
    ]);
    let item = Item {
        id: format!("{number:064x}"),
        site: "shop".into(),
        url: format!("https://shop.example/{number}"),
        title: format!("Blend number {number}"),
        fields,
        scraped_at_ms: 1_800_000_000_000,
    };
    Incoming::new(format!("message-{number}"), item)
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let reached = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, reached).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn an_item_is_stored_once_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let leader = Node::start_leader(3, &folder).await;
    assert_eq!(leader.store(3, &[item(1), item(2)]).await.unwrap(), [Outcome::Stored; 2]);
    assert_eq!(leader.store(3, &[item(2), item(3)]).await.unwrap(), [Outcome::Duplicate, Outcome::Stored]);
    let mut other = item(3);
    other.item.title = "Something else".into();
    assert_eq!(leader.store(3, &[other]).await.unwrap(), [Outcome::Conflict]);

    let found = leader.json("/v1/items?search=blend+coffee").await;
    assert_eq!(found["rows"].as_array().unwrap().len(), 2);
    let one = leader.json(&format!("/v1/items/{}", item(2).item.id)).await;
    assert_eq!((&one["title"], &one["term"]), (&json!("Blend number 2"), &json!(3)));
    assert_eq!(leader.get("/v1/items/none").await.status(), 404);
    assert_eq!(leader.json("/v1/status").await["counts"]["items"], 3);
}

#[tokio::test]
async fn pages_link_to_the_next_until_all_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let leader = Node::start_leader(1, &folder).await;
    let items: Vec<_> = (0..25).map(item).collect();
    leader.store(1, &items).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut next = Some("/v1/items?limit=10&search=number".to_owned());
    while let Some(path) = next {
        let response = leader.get(&path).await;
        let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        next = link.map(|link| link.split(['<', '>']).nth(1).unwrap().to_owned());
        let page: Value = response.json().await.unwrap();
        seen.extend(page["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(seen.len(), 25);
    for wrong in ["limit=0", "limit=many", "cursor=nonsense", "unknown=1"] {
        let response = leader.get(&format!("/v1/items?{wrong}")).await;
        assert_eq!(response.status(), 400, "{wrong}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn a_follower_serves_reads_and_names_the_leader_to_writers() {
    let folder = tempfile::tempdir().unwrap();
    let leader = Node::start_leader(2, &folder).await;
    leader.store(2, &[item(1)]).await.unwrap();
    let follower = Node::start(2, &folder, Vec::new()).await;
    follower.follow(1, 2);
    let expected = LeaderInfo { term: 2, node: 1, url: Some(leader.url.clone()) };
    until("the follower knows the leader's URL", async || {
        follower.leadership.current().info() == Some(expected.clone())
    })
    .await;

    assert_eq!(follower.json("/v1/items").await["rows"].as_array().unwrap().len(), 1);
    assert!(follower.html("/app/").await.contains("Blend number 1"));
    let error = follower.store(2, &[item(2)]).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::NotLeader { term: Some(2), leader: Some(known) } if *known == expected),
        "{error}"
    );
    let error = follower.store_file(2, "/out/a.csv", b"x").await.unwrap_err();
    assert!(matches!(error, ClientError::NotLeader { .. }), "{error}");

    assert_eq!(client().leader(&follower.url).await.unwrap(), None);
    assert_eq!(client().leader(&leader.url).await.unwrap(), Some(expected.clone()));
    let told = follower.get("/leader").await;
    assert_eq!(told.status(), 503);
    assert_eq!(told.json::<LeaderInfo>().await.unwrap(), expected);
    let head = browser().head(format!("{}/leader", leader.url)).send().await.unwrap();
    assert_eq!(head.status(), 200);
}

#[tokio::test]
async fn the_refusal_reaches_a_client_that_reads_only_after_it_has_written_everything() {
    let folder = tempfile::tempdir().unwrap();
    let follower = Node::start(2, &folder, Vec::new()).await;
    let body = vec![0_u8; 20 * 1024 * 1024];
    let mut stream = TcpStream::connect(follower.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
}

#[tokio::test]
async fn a_request_for_another_term_is_misdirected() {
    let folder = tempfile::tempdir().unwrap();
    let leader = Node::start_leader(5, &folder).await;
    for term in [4, 6] {
        let error = leader.store(term, &[item(1)]).await.unwrap_err();
        assert!(matches!(error, ClientError::NotLeader { term: Some(5), .. }), "{error}");
    }
    assert_eq!(leader.json("/v1/status").await["counts"]["items"], 0);
}

#[tokio::test]
async fn a_leader_that_was_replaced_unawares_writes_nothing_and_steps_back() {
    let folder = tempfile::tempdir().unwrap();
    let stale = Node::start_leader(1, &folder).await;
    let mut current = Node::start(2, &folder, Vec::new()).await;
    current.win(2, 2).await;
    let error = stale.store(1, &[item(1)]).await.unwrap_err();
    let expected = LeaderInfo { term: 2, node: 2, url: Some(current.url.clone()) };
    assert!(
        matches!(&error, ClientError::NotLeader { term: Some(2), leader: Some(known) } if *known == expected),
        "{error}"
    );
    until("the stale leader steps back", async || {
        client().leader(&stale.url).await.is_ok_and(|leader| leader.is_none())
    })
    .await;
    assert_eq!(current.store(2, &[item(1)]).await.unwrap(), [Outcome::Stored]);
}

#[tokio::test]
async fn nobody_without_the_token_writes_and_everybody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let leader = Node::start_leader(1, &folder).await;
    let other = WebClient::new(Bearer::new("token-of-somebody-else").unwrap()).unwrap();
    let error = other.store_items(&leader.url, 1, &ItemsRequest { items: vec![item(1)] }).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { status: 401, .. }), "{error}");
    // Larger than what fits into the buffers on the way.
    let content = vec![b'x'; 900_000];
    let hash = hex::encode(Sha256::digest(&content));
    let error = other.store_file(&leader.url, 1, "/a", 1, "text/csv", &hash, content).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { status: 401, .. }), "{error}");
    for path in ["/v1/items", "/v1/files", "/v1/items/x", "/v1/status", "/leader"] {
        let bare = browser().post(format!("{}{path}", leader.url)).header(TERM_HEADER, 1).send().await.unwrap();
        assert_eq!(bare.status(), 401, "{path}");
    }
    assert_eq!(leader.json("/v1/status").await["counts"]["items"], 0);
    assert_eq!(leader.json("/v1/items").await["rows"], json!([]));
}

#[tokio::test]
async fn a_batch_has_bounds_and_a_form() {
    let folder = tempfile::tempdir().unwrap();
    let leader = Node::start_leader(1, &folder).await;
    for count in [0, ItemsRequest::ENTRIES_MAX + 1] {
        let error = leader.store(1, &vec![item(1); count]).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused { status: 422, .. }), "{count}: {error}");
    }
    let post = || signed(browser().post(format!("{}/v1/items", leader.url))).header(TERM_HEADER, 1);
    for (request, status) in [
        (post().json(&json!({"items": [], "more": 1})), 422),
        (post().json(&json!({"items": [{"message_id": "a"}]})), 422),
        (post().header("content-type", "application/json").body("{"), 400),
        (post().body("{}"), 415),
        (signed(browser().post(format!("{}/v1/items", leader.url))).json(&json!({"items": []})), 400),
        (signed(browser().delete(format!("{}/v1/items", leader.url))), 405),
        (post().header("content-type", "application/json").body(vec![b' '; 17 * 1024 * 1024]), 413),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{status}");
    }
}

#[tokio::test]
async fn a_file_is_stored_once_and_downloaded_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let leader = Node::start_leader(4, &folder).await;
    // More than is read at once.
    let content = "id,price\n1,2.50\n".repeat(10_000);
    let content = content.as_bytes();
    assert_eq!(leader.store_file(4, "/out/run 1.csv", content).await.unwrap(), Outcome::Stored);
    assert_eq!(leader.store_file(4, "/out/run 1.csv", content).await.unwrap(), Outcome::Duplicate);

    let hash = hex::encode(Sha256::digest(content));
    let file = leader.json(&format!("/v1/files/{hash}")).await;
    assert_eq!((&file["path"], &file["size"], &file["term"]), (&json!("/out/run 1.csv"), &json!(160_000), &json!(4)));
    assert_eq!(leader.json("/v1/files").await["rows"].as_array().unwrap().len(), 1);
    assert_eq!(leader.get("/v1/files/none").await.status(), 404);

    let download = leader.get(&format!("/v1/files/{hash}/content")).await;
    let header = |name: &str| download.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/csv");
    assert_eq!(header("content-length"), "160000");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-disposition"), "attachment; filename=\"run 1.csv\"; filename*=UTF-8''run%201.csv");
    let tag = header("etag");
    assert_eq!(download.bytes().await.unwrap().as_ref(), content);
    let again = browser().get(format!("{}/v1/files/{hash}/content", leader.url)).header("if-none-match", tag);
    assert_eq!(again.send().await.unwrap().status(), 304);
    let page = leader.html("/app/files").await;
    assert!(page.contains("run 1.csv") && page.contains("160 KB"), "{page}");
}

#[tokio::test]
async fn a_file_that_is_not_what_its_form_says_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let leader = Node::start_leader(1, &folder).await;
    let error = client().store_file(&leader.url, 1, "/a", 1, "text/csv", &"0".repeat(64), b"x".to_vec()).await;
    assert!(matches!(error, Err(ClientError::Refused { status: 422, .. })), "{error:?}");
    let hash = hex::encode(Sha256::digest(b"x"));
    let form = |parts: &[(&'static str, &str)]| {
        let form = reqwest::multipart::Form::new();
        parts.iter().fold(form, |form, (name, text)| form.text(*name, (*text).to_owned()))
    };
    let full = [("path", "/a"), ("modified_at_ms", "1"), ("sha256", &hash), ("file", "x")];
    let post = || signed(browser().post(format!("{}/v1/files", leader.url))).header(TERM_HEADER, 1);
    for missing in 0..full.len() {
        let mut parts = full.to_vec();
        parts.remove(missing);
        assert_eq!(post().multipart(form(&parts)).send().await.unwrap().status(), 422, "without {}", full[missing].0);
    }
    for wrong in [("path", "a\nb"), ("modified_at_ms", "soon"), ("path", ""), ("other", "1")] {
        let mut parts = full.to_vec();
        parts.retain(|(name, _)| *name != wrong.0);
        parts.push(wrong);
        assert_eq!(post().multipart(form(&parts)).send().await.unwrap().status(), 422, "{wrong:?}");
    }
    let twice = [full.as_slice(), &full[..1]].concat();
    assert_eq!(post().multipart(form(&twice)).send().await.unwrap().status(), 422);
    assert_eq!(post().body("no form").send().await.unwrap().status(), 400);
    assert_eq!(leader.json("/v1/status").await["counts"]["files"], 0);
    assert_eq!(post().multipart(form(&full)).send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn a_page_shows_what_was_scraped_and_nothing_runs_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let leader = Node::start_leader(1, &folder).await;
    let mut hostile = item(7);
    hostile.item.id = "a/b?c".into();
    hostile.item.title = "<script>alert(1)</script>\"'>".into();
    hostile.item.site = "<b>".into();
    hostile.item.url = "javascript:alert(1)".into();
    hostile.item.fields.insert("<i>".into(), json!("\"><img src=x onerror=alert(1)>"));
    leader.store(1, &[item(2), hostile]).await.unwrap();

    let response = leader.get("/app/?utm_source=elsewhere").await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let list = response.text().await.unwrap();
    assert!(list.contains("Blend number 2") && list.contains("€2.50"));
    let page = leader.html("/app/items/a%2Fb%3Fc").await;
    let found = leader.html("/app/?search=%3Cscript%3E&site=%3Cb%3E&field=%3Ci%3E&value=%3Cb%3E").await;
    for text in [&list, &page, &found] {
        for markup in ["<script", "<img src=x", "<b>\"", "href=\"javascript", "<i>"] {
            assert!(!text.contains(markup), "{markup} in {text}");
        }
    }
    assert!(list.contains("href=\"/app/items/a%2Fb%3Fc\""), "{list}");
    assert!(found.contains("Nothing matches"));
    assert_eq!(leader.get("/app/items/none").await.status(), 404);
    assert_eq!(leader.get("/app/nowhere").await.status(), 404);
    assert_eq!(leader.get("/app/?cursor=nonsense").await.status(), 400);
    assert_eq!(leader.get("/app/style.css").await.headers()["content-type"], "text/css; charset=utf-8");
    assert_eq!(leader.get("/").await.headers()["location"], "/app/");
}

#[tokio::test]
async fn a_manager_hears_of_the_leader_again_and_again() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let take = put(async move |Json(leader): Json<LeaderInfo>| {
        tell.send(leader).unwrap();
        StatusCode::NO_CONTENT
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let manager = format!("http://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut leader = Node::start(1, &folder, vec![manager]).await;
    leader.win(1, 8).await;
    tokio::spawn(axum::serve(listener, Router::new().route("/v1/leader", take)).into_future());
    for _ in 0..2 {
        let heard = timeout(DEADLINE, told.recv()).await.unwrap().unwrap();
        assert_eq!(heard, LeaderInfo { term: 8, node: 1, url: Some(leader.url.clone()) });
    }
}

#[tokio::test]
async fn readiness_follows_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(1, &folder, Vec::new()).await;
    until("ready", async || node.get("/readyz").await.status() == 200).await;
    let report = node.json("/readyz").await;
    assert_eq!(report["dependencies"][0]["name"], "database");
    assert!(node.get("/metrics").await.text().await.unwrap().contains("symphony_http_requests_total"));
}
