//! The whole role: real HTTP, a real SQLite database, a real FTP server and a folder for mails.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use axum::Router;
use reqwest::{Response, StatusCode, header::AUTHORIZATION, redirect};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use symphony_adapters::{
    broker::{self, Depth},
    database::{Leader, MailOutcome, NewFile, Token},
    ftp_server::{FtpServer, FtpServerSettings},
    http::health::DependencyStatus,
    smtp::MailSettings,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    testing::{
        self,
        broker::{RecordingBroker, message, raw_message},
        eventually, wait_until,
        web::{Mood, StandIn},
    },
    *,
};
use crate::web::{
    self, WebState,
    leadership::{self, Candidate, ElectionView},
};

/// Longer than a test.
const CLAIM: Duration = Duration::from_secs(600);

/// A manager at work, and what surrounds it.
struct Running {
    url: String,
    address: SocketAddr,
    folder: TempDir,
    /// Unused where the test brings its own.
    broker: RecordingBroker,
    database: Database,
    health: Health,
    shutdown: CancellationToken,
    manager: JoinHandle<Result<(), ManagerError>>,
}

/// What is to run besides HTTP and the queue.
#[derive(Default)]
struct With {
    route: config::Route,
    web: Vec<String>,
    ftp: Option<config::Ftp>,
    mail: bool,
    /// Instead of the recording one.
    broker: Option<Arc<dyn Broker>>,
    /// The fence at start.
    fence: Option<Leader>,
}

impl Running {
    async fn start(with: With) -> Self {
        Self::start_in(TempDir::new().unwrap(), with).await
    }

    async fn start_in(folder: TempDir, with: With) -> Self {
        let database = open(&folder).await;
        if let Some(leader) = &with.fence {
            database.promote(leader).await.unwrap();
        }
        let mails = folder.path().join("mails").display().to_string();
        let mail = MailSettings {
            url: format!("file:{mails}"),
            from: "a@b.example".into(),
            to: vec!["c@d.example".into()],
            timeout: MailSettings::TIMEOUT,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (broker, health, shutdown) = (RecordingBroker::default(), Health::new(), CancellationToken::new());
        let manager = Manager {
            settings: config::Manager {
                web: with.web,
                route: with.route,
                ftp_every: Duration::from_millis(50),
                ..config::Manager::default()
            },
            ftp: with.ftp,
            broker: with.broker.unwrap_or_else(|| Arc::new(broker.clone())),
            database: database.clone(),
            mailer: with.mail.then(|| Mailer::new(&mail).unwrap()),
            bearer: testing::bearer(),
            tls: Tls::new(None).unwrap(),
            health: health.clone(),
        };
        let manager = tokio::spawn(manager.run(listener, shutdown.clone()));
        Self { url: format!("http://{address}"), address, folder, broker, database, health, shutdown, manager }
    }

    async fn get(&self, path: &str) -> Response {
        browser().get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    async fn announce(&self, body: &Value) -> (StatusCode, Value) {
        let put = browser().put(format!("{}/v1/leader", self.url)).header(AUTHORIZATION, testing::bearer().header());
        let response = put.json(body).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    async fn leader(&self) -> Value {
        self.get("/v1/leader").await.json().await.unwrap()
    }

    /// Status and Location of the answer to a request written by hand.
    async fn raw(&self, target: &str) -> (u16, Option<String>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: users\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).map(str::to_owned);
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), location)
    }

    /// Subjects of the mails sent so far.
    fn mails(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("mails")).into_iter().flatten();
        let subject = |path: PathBuf| {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned()
        };
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "eml"))
            .map(subject)
            .collect()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(Duration::from_secs(60), self.manager).await.expect("it did not stop").unwrap().unwrap();
        assert!(!self.health.is_ready());
    }
}

async fn open(folder: &TempDir) -> Database {
    Database::open(&format!("sqlite:{}", folder.path().join("symphony.db").display())).await.unwrap()
}

fn browser() -> reqwest::Client {
    // Installs the provider of TLS that every client needs.
    testing::client();
    reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap()
}

fn leader(term: u64, holder: u16, url: &str) -> Leader {
    Leader { token: Token { term, holder }, url: url.to_owned() }
}

/// A real web node that leads `term`, over the database of `folder`.
async fn web_node(folder: &TempDir, term: u64, managers: Vec<String>, stop: &CancellationToken) -> String {
    let database = open(folder).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let view = ElectionView { term, leader: Some(1), is_leader: true, lease_until: None };
    let (election, view) = watch::channel(view);
    let candidate = Candidate {
        me: 1,
        url: url.clone(),
        managers,
        database: database.clone(),
        client: testing::client(),
        raise: mpsc::channel(1).0,
        health: Health::new(),
    };
    let (leadership, _) = leadership::start(candidate, view, stop.clone());
    let state = WebState { database, leadership, bearer: testing::bearer(), health: Health::new() };
    let stop = stop.clone();
    tokio::spawn(async move {
        let _election = election;
        web::serve(listener, state, Router::new(), stop).await
    });
    url
}

/// A file server on `folder`.
async fn ftp_server(folder: PathBuf, stop: &CancellationToken) -> config::Ftp {
    let server = FtpServer::bind(FtpServerSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        root: folder,
        user: "user".into(),
        password: "password".into(),
        passive_ports: 0..=0,
        idle_timeout: FtpServerSettings::IDLE_TIMEOUT,
    })
    .await
    .unwrap();
    let address = server.local_address().to_string();
    tokio::spawn(server.serve(stop.clone()));
    config::Ftp { address, user: "user".into(), password: "password".to_owned().into(), ..config::Ftp::default() }
}

#[tokio::test]
async fn nobody_without_the_token_says_who_leads() {
    let running = Running::start(With::default()).await;
    let usurper = json!({"term": 5, "node": 9, "url": "http://evil.example/"});
    for token in [None, Some("Bearer token-of-the-testz"), Some("Bearer")] {
        let put = browser().put(format!("{}/v1/leader", running.url)).json(&usurper);
        let put = if let Some(token) = token { put.header(AUTHORIZATION, token) } else { put };
        let refused = put.send().await.unwrap();
        assert_eq!(refused.status(), 401, "{token:?}");
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
    }
    assert_eq!(running.get("/v1/leader").await.status(), 503);
    running.stop().await;
}

#[tokio::test]
async fn dead_mails_are_shown_and_tried_again_by_whoever_has_the_token() {
    let running = Running::start(With { fence: Some(leader(1, 1, "http://one")), ..With::default() }).await;
    // What the promotion told of.
    let mail = running.database.claim_mails(&Token { term: 1, holder: 1 }, 1, CLAIM).await.unwrap().remove(0);
    running.database.settle_mail(&mail, &MailOutcome::Dead { error: "550 no".into() }).await.unwrap();
    assert_eq!(running.get("/v1/dead-mails").await.status(), 401);
    let bare = browser().post(format!("{}/v1/dead-mails/retry?all=true", running.url)).send().await.unwrap();
    assert_eq!(bare.status(), 401);

    eventually(async || running.get("/v1/leader").await.status() == 200).await;
    let client = testing::client();
    let dead = client.dead_mails(&running.url, 50).await.unwrap();
    assert_eq!((dead.total, dead.mails[0].id, dead.mails[0].error.as_str()), (1, mail.id, "550 no"));
    let unknown = client.retry_mails(&running.url, Some(mail.id + 1)).await.unwrap_err();
    assert!(matches!(unknown, ClientError::Refused { status: 404, .. }), "{unknown}");
    assert_eq!(client.retry_mails(&running.url, Some(mail.id)).await.unwrap().retried, 1);
    assert_eq!(client.dead_mails(&running.url, 50).await.unwrap().total, 0);
    assert_eq!(client.retry_mails(&running.url, None).await.unwrap().retried, 0);
    running.stop().await;
}

#[tokio::test]
async fn dead_letters_are_replayed_by_name_or_all_in_so_many_words() {
    let web = StandIn::start(1, []).await;
    let running = Running::start(With { fence: Some(web.leader(1)), ..With::default() }).await;
    running.broker.put(raw_message("bad", "no item"));
    running.broker.put(raw_message("a b&c=\u{fc}", "no item"));
    wait_until(|| running.broker.rejected().len() == 2).await;
    let replay = async |query: &str| {
        let post = browser().post(format!("{}/v1/dead-letters/replay{query}", running.url));
        post.header(AUTHORIZATION, testing::bearer().header()).send().await.unwrap().status().as_u16()
    };
    for query in ["", "?all=false", "?id=bad&all=true", "?every=true"] {
        assert_eq!(replay(query).await, 400, "{query}");
    }
    assert_eq!(replay("?id=none").await, 404);
    for query in ["?limit=0", "?limit=1001", "?limit=x"] {
        let get = browser().get(format!("{}/v1/dead-letters{query}", running.url));
        let answer = get.header(AUTHORIZATION, testing::bearer().header()).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{query}");
    }
    // A look takes the letters out of everybody else's reach for that time, and shows what is in them.
    for path in ["/v1/dead-letters", "/v1/dead-letter?id=bad", "/v1/trace?item=bad"] {
        assert_eq!(running.get(path).await.status(), 401, "{path}");
    }
    let odd = testing::client().dead_letter(&running.url, "a b&c=\u{fc}").await.unwrap();
    assert_eq!(odd.body.as_deref(), Some("no item"));
    let bare = browser().post(format!("{}/v1/dead-letters/replay?all=true", running.url)).send().await.unwrap();
    assert_eq!(bare.status(), 401);
    assert_eq!(running.broker.rejected().len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_leader_of_a_lower_term_is_refused() {
    let running = Running::start(With::default()).await;
    assert_eq!(running.get("/v1/leader").await.status(), 503);
    let first = json!({"term": 5, "node": 1, "url": "http://one.example/"});
    assert_eq!(running.announce(&first).await.0, 200);
    assert_eq!(running.announce(&first).await.0, 200);
    for stale in
        [json!({"term": 4, "node": 2, "url": "http://two"}), json!({"term": 5, "node": 2, "url": "http://two"})]
    {
        let (status, problem) = running.announce(&stale).await;
        assert_eq!((status.as_u16(), &problem["term"]), (409, &json!(5)));
    }
    assert_eq!(running.leader().await, json!({"term": 5, "node": 1, "url": "http://one.example"}));
    assert_eq!(running.announce(&json!({"term": 6, "node": 2, "url": "http://two"})).await.0, 200);
    assert_eq!(running.leader().await, json!({"term": 6, "node": 2, "url": "http://two"}));
    running.stop().await;
}

#[tokio::test]
async fn an_announcement_that_is_none_gets_a_clear_error() {
    let running = Running::start(With::default()).await;
    for (body, expected) in [
        (json!({"term": 5, "node": 1}), 422),
        (json!({"term": 5, "node": 1, "url": "javascript:alert(1)"}), 422),
        (json!({"term": 5, "node": 1, "url": "http://user@one"}), 422),
        (json!({"term": -5, "node": 1, "url": "http://one"}), 422),
        (json!({"term": 5, "node": 70_000, "url": "http://one"}), 422),
        (json!([]), 422),
        (json!({"term": 5, "node": 1, "url": "x".repeat(10_000)}), 413),
    ] {
        let (status, problem) = running.announce(&body).await;
        assert_eq!(status.as_u16(), expected, "{body}");
        assert!(problem["detail"].is_string(), "{problem}");
    }
    assert_eq!(running.get("/v1/leader").await.status(), 503);
    running.stop().await;
}

#[tokio::test]
async fn users_are_sent_to_the_leader_by_a_307_that_nobody_keeps() {
    let running = Running::start(With::default()).await;
    let nobody = running.get("/app/").await;
    assert_eq!((nobody.status().as_u16(), &nobody.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    running.announce(&json!({"term": 5, "node": 1, "url": "http://one:81"})).await;
    let answer = browser().post(format!("{}/app/items/1?a=%2F&b", running.url)).body("x").send().await.unwrap();
    assert_eq!(answer.status(), 307);
    assert_eq!(answer.headers()["location"], "http://one:81/app/items/1?a=%2F&b");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let home = running.get("/").await;
    assert_eq!((home.status().as_u16(), home.headers()["location"].to_str().unwrap()), (307, "/app/"));
    assert_eq!(home.headers()["cache-control"], "no-store");
    running.stop().await;
}

#[tokio::test]
async fn no_request_is_sent_anywhere_but_to_the_leader() {
    for route in [config::Route::Redirect, config::Route::Proxy] {
        let running = Running::start(With { route, ..With::default() }).await;
        let web = StandIn::start(5, []).await;
        running.announce(&json!({"term": 5, "node": 1, "url": web.url})).await;
        for target in [
            "//evil",
            "//evil/app/",
            "http://evil/",
            "/\\evil",
            "/app/../v1/leader",
            "/app/%2e%2E/v1/items",
            "/app/x/..%2f..",
            "/app/\\..\\v1",
            "/@evil",
            "/app@evil/",
            "/application",
            "/v1/items",
        ] {
            let (status, location) = running.raw(target).await;
            // The only thing a stranger's target can become is a path on the leader, below /app/.
            if let Some(location) = location {
                assert!(
                    location.starts_with(&format!("{}/app/", web.url)) || location == "/app/",
                    "{target}: {location}"
                );
            } else {
                assert!((400..500).contains(&status), "{target}: {status}");
            }
        }
        let (status, location) = running.raw("http://evil/app/x?y").await;
        match route {
            config::Route::Redirect => assert_eq!(location.unwrap(), format!("{}/app/x?y", web.url)),
            config::Route::Proxy => assert_eq!(status, 404),
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn the_proxy_fetches_for_the_user_and_says_when_it_cannot() {
    let stop = CancellationToken::new();
    let running = Running::start(With { route: config::Route::Proxy, ..With::default() }).await;
    assert_eq!(running.get("/app/").await.status(), 503);
    let node = web_node(&running.folder, 1, vec![running.url.clone()], &stop).await;
    eventually(async || running.get("/v1/leader").await.status() == 200).await;
    // A node may be known as leader a moment before it knows.
    eventually(async || browser().get(format!("{node}/leader")).send().await.is_ok_and(|told| told.status() == 200))
        .await;
    let page = running.get("/app/").await;
    assert_eq!(page.status(), 200);
    let through = page.text().await.unwrap();
    let direct = browser().get(format!("{node}/app/")).send().await.unwrap().text().await.unwrap();
    assert!(!through.is_empty() && through == direct);
    stop.cancel();
    wait_until(|| std::net::TcpStream::connect(node.trim_start_matches("http://")).is_err()).await;
    let gone = running.get("/app/").await;
    assert_eq!((gone.status().as_u16(), &gone.headers()["retry-after"]), (502, &"1".parse().unwrap()));
    running.stop().await;
}

#[tokio::test]
async fn the_route_is_seeded_from_the_fence() {
    let running = Running::start(With { fence: Some(leader(9, 3, "http://three")), ..With::default() }).await;
    eventually(async || running.get("/v1/leader").await.status() == 200).await;
    assert_eq!(running.leader().await, json!({"term": 9, "node": 3, "url": "http://three"}));
    assert_eq!(running.announce(&json!({"term": 8, "node": 1, "url": "http://one"})).await.0, 409);
    running.stop().await;
}

#[tokio::test]
async fn a_leader_that_nobody_announces_is_found() {
    let (old, new) = (StandIn::start(1, []).await, StandIn::start(2, []).await);
    old.set(|script| script.otherwise = Mood::NotLeader(None));
    let running = Running::start(With { fence: Some(old.leader(1)), ..With::default() }).await;
    for id in ["a", "b", "c"] {
        running.broker.put(message(id));
    }
    wait_until(|| !old.posts().is_empty()).await;
    running.database.promote(&new.leader(2)).await.unwrap();
    wait_until(|| running.broker.acked().len() == 3).await;
    assert_eq!(new.stored(), ["a", "b", "c"]);
    running.stop().await;

    // Without a fence row, the nodes themselves are asked.
    let running = Running::start(With { web: vec![new.url.clone()], ..With::default() }).await;
    running.broker.put(message("d"));
    wait_until(|| running.broker.acked() == ["d"]).await;
    running.stop().await;
}

#[tokio::test]
async fn items_files_and_mails_reach_their_places_once() {
    let stop = CancellationToken::new();
    let ftp_root = TempDir::new().unwrap();
    let ftp = ftp_server(ftp_root.path().to_owned(), &stop).await;
    let running = Running::start(With { ftp: Some(ftp.clone()), mail: true, ..With::default() }).await;
    std::fs::write(ftp_root.path().join("run.csv"), "id,title\n1,One\n").unwrap();
    std::fs::write(ftp_root.path().join(".hidden.part"), "half").unwrap();
    for id in ["a", "b", "a"] {
        running.broker.put(message(id));
    }
    running.broker.put(raw_message("bad", "no item"));
    wait_until(|| !running.health.is_ready()).await;
    web_node(&running.folder, 1, vec![running.url.clone()], &stop).await;

    wait_until(|| running.broker.acked().len() == 3 && running.broker.rejected().len() == 1).await;
    eventually(async || running.database.counts().await.unwrap().mails_sent == 3).await;
    wait_until(|| running.health.is_ready()).await;
    let mut mails = running.mails();
    mails.sort();
    assert!(mails[0].contains("bad") && mails.iter().any(|mail| mail.contains("run.csv")), "{mails:?}");
    let counts = running.database.counts().await.unwrap();
    assert_eq!((counts.items, counts.files, counts.mails_sent, counts.mails_waiting), (2, 1, 3, 0));
    let file = &running.database.files(None, None).await.unwrap().rows[0];
    assert_eq!((file.path.as_str(), file.content_type.as_str(), file.size), ("/run.csv", "text/csv", 15));

    // Another manager, with no memory but the ledger, fetches only what is new.
    let Running { folder, shutdown, manager, .. } = running;
    shutdown.cancel();
    manager.await.unwrap().unwrap();
    std::fs::write(ftp_root.path().join("run.json"), "[]").unwrap();
    let running = Running::start_in(folder, With { ftp: Some(ftp), mail: true, ..With::default() }).await;
    eventually(async || running.database.counts().await.unwrap().mails_sent == 4).await;
    assert_eq!((running.mails().len(), running.database.counts().await.unwrap().files), (4, 2));
    running.stop().await;
    stop.cancel();
}

#[tokio::test]
async fn a_real_queue_arrives_whole_and_once_although_leader_and_manager_change() {
    const ITEMS: usize = 300;
    let queue = TempDir::new().unwrap();
    let url = format!("sqlite:{}", queue.path().join("queue.db").display());
    let broker = broker::open(&url, "items").await.unwrap();
    for number in 0..ITEMS {
        broker.publish(&message(&format!("m{number:03}"))).await.unwrap();
    }
    broker.publish(&raw_message("bad", "no item")).await.unwrap();
    let with = || With { broker: Some(Arc::clone(&broker)), ..With::default() };
    let stored = async |running: &Running| running.database.counts().await.unwrap().items;

    let first = Running::start(with()).await;
    let (stop_one, stop_two) = (CancellationToken::new(), CancellationToken::new());
    web_node(&first.folder, 1, vec![first.url.clone()], &stop_one).await;
    eventually(async || stored(&first).await > 0).await;
    web_node(&first.folder, 2, vec![first.url.clone()], &stop_two).await;
    eventually(async || first.leader().await["term"] == 2).await;
    let Running { folder, shutdown, manager, .. } = first;
    shutdown.cancel();
    manager.await.unwrap().unwrap();
    stop_one.cancel();

    let second = Running::start_in(folder, with()).await;
    eventually(async || stored(&second).await == ITEMS as u64).await;
    eventually(async || broker.depth().await.unwrap() == Depth { ready: 0, dead: 1 }).await;
    second.stop().await;
    assert_eq!(broker.depth().await.unwrap(), Depth { ready: 0, dead: 1 });
    broker.close().await;
    stop_two.cancel();
}

#[tokio::test]
async fn a_file_waits_for_a_leader_that_takes_it() {
    let stop = CancellationToken::new();
    let ftp_root = TempDir::new().unwrap();
    std::fs::write(ftp_root.path().join("run.csv"), "1").unwrap();
    let ftp = ftp_server(ftp_root.path().to_owned(), &stop).await;
    let other = StandIn::start(1, []).await;
    other.set(|script| script.otherwise = Mood::NotLeader(None));
    let running = Running::start(With { ftp: Some(ftp), fence: Some(other.leader(9)), ..With::default() }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(running.database.counts().await.unwrap().files, 0);
    web_node(&running.folder, 2, Vec::new(), &stop).await;
    eventually(async || running.database.counts().await.unwrap().files == 1).await;
    running.stop().await;
    stop.cancel();
}

#[tokio::test]
async fn a_file_in_the_ledger_is_not_sent_again() {
    let stop = CancellationToken::new();
    let ftp_root = TempDir::new().unwrap();
    let ftp = ftp_server(ftp_root.path().to_owned(), &stop).await;
    let web = StandIn::start(1, []).await;
    let folder = TempDir::new().unwrap();
    let database = open(&folder).await;
    database.promote(&web.leader(1)).await.unwrap();
    let known = ftp_root.path().join("known.csv");
    std::fs::write(&known, "known").unwrap();
    let modified = std::fs::metadata(&known).unwrap().modified().unwrap();
    let seconds = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let file = NewFile {
        path: "/known.csv".into(),
        modified_at_ms: i64::try_from(seconds * 1000).unwrap(),
        content_type: "text/csv".into(),
        sha256: hex::encode(Sha256::digest("known")),
        content: b"known".to_vec(),
    };
    database.store_file(&web.leader(1).token, &file).await.unwrap();
    std::fs::write(ftp_root.path().join("new.csv"), "new").unwrap();
    let running = Running::start_in(folder, With { ftp: Some(ftp), ..With::default() }).await;
    wait_until(|| web.set(|script| script.files.contains(&"/new.csv".to_owned()))).await;
    assert_eq!(web.set(|script| script.files.clone()), ["/new.csv"]);
    running.stop().await;
    stop.cancel();
}

#[tokio::test]
async fn a_file_that_no_leader_takes_is_shown_left_alone_and_tried_again_when_asked() {
    let stop = CancellationToken::new();
    let ftp_root = TempDir::new().unwrap();
    let ftp = ftp_server(ftp_root.path().to_owned(), &stop).await;
    let web = StandIn::start(1, []).await;
    web.set(|script| script.poison = vec![("/bad.csv".into(), Mood::Content)]);
    for name in ["bad.csv", "good.csv"] {
        std::fs::write(ftp_root.path().join(name), name).unwrap();
    }
    // As large as no leader takes it, without the disk that it would need.
    std::fs::File::create(ftp_root.path().join("large.csv")).unwrap().set_len(65 << 20).unwrap();
    let with = || With { ftp: Some(ftp.clone()), fence: Some(web.leader(1)), ..With::default() };
    let running = Running::start(with()).await;
    let client = testing::client();
    eventually(async || client.dead_files(&running.url, 50).await.is_ok_and(|dead| dead.total == 2)).await;
    wait_until(|| web.set(|script| script.files.contains(&"/good.csv".to_owned()))).await;
    let reasons: BTreeMap<_, _> = {
        let dead = client.dead_files(&running.url, 50).await.unwrap().files;
        dead.into_iter().map(|dead| (dead.file.path, (dead.file.size, dead.reason))).collect()
    };
    assert_eq!(reasons["/bad.csv"], (7, "422: bad".to_owned()));
    assert!(reasons["/large.csv"].0 == 65 << 20 && reasons["/large.csv"].1.contains("larger than"), "{reasons:?}");

    // Another manager, with no memory but the database, leaves them alone, too.
    let Running { folder, shutdown, manager, .. } = running;
    shutdown.cancel();
    manager.await.unwrap().unwrap();
    let running = Running::start_in(folder, with()).await;
    // Whatever comes in which order in the first round: the second begins after it.
    for name in ["next.csv", "last.csv"] {
        std::fs::write(ftp_root.path().join(name), name).unwrap();
        wait_until(|| web.set(|script| script.files.contains(&format!("/{name}")))).await;
    }
    let times = |path: &str| web.set(|script| script.files.iter().filter(|sent| *sent == path).count());
    assert_eq!((times("/bad.csv"), times("/large.csv")), (1, 0));

    assert_eq!(running.get("/v1/dead-files").await.status(), 401);
    let bare = browser().post(format!("{}/v1/dead-files/retry?all=true", running.url)).send().await.unwrap();
    assert_eq!((bare.status().as_u16(), running.database.dead_files(9).await.unwrap().1), (401, 2));
    let missing = client.retry_files(&running.url, Some("/none.csv")).await;
    assert!(matches!(missing, Err(ClientError::Refused { status: 404, .. })), "{missing:?}");

    web.set(|script| script.poison.clear());
    assert_eq!(client.retry_files(&running.url, Some("/bad.csv")).await.unwrap().retried, 1);
    wait_until(|| times("/bad.csv") == 2).await;
    // What is as bad as before is given up again, without another mail.
    assert_eq!(client.retry_files(&running.url, None).await.unwrap().retried, 1);
    eventually(async || running.database.dead_files(9).await.unwrap().1 == 1).await;
    assert_eq!(running.database.counts().await.unwrap().mails_waiting, 3, "of the leader, and of two files");
    running.stop().await;
    stop.cancel();
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let ftp = config::Ftp { address: "127.0.0.1:1".into(), ..config::Ftp::default() };
    let running = Running::start(With { ftp: Some(ftp), ..With::default() }).await;
    let down = || {
        let report = running.health.report();
        let down = report.dependencies.into_iter().filter(|dependency| dependency.status == DependencyStatus::Down);
        down.map(|dependency| (dependency.name, dependency.detail)).collect::<BTreeMap<_, _>>()
    };
    let tried = |name: &str| down().get(name).is_some_and(|detail| *detail != Some("not yet reached".into()));
    wait_until(|| down().len() == 2 && tried("ftp") && tried("leader")).await;
    assert_eq!(down()["leader"].as_deref(), Some("no leader is known"));
    assert_eq!(running.get("/readyz").await.status(), 503);
    assert_eq!(running.get("/healthz").await.status(), 200);
    running.stop().await;
}
