//! The whole role: real HTTP, a real SQLite database, a real FTP server and a folder for mails.

mod flow;
mod given_up;
mod leader;
mod traffic;

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
