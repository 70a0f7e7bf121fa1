//! The program under test, as a process of its own, and what can be asked of it over HTTP.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    future::Future,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use reqwest::{
    Certificate, Client, ClientBuilder, Response, StatusCode, header, header::HeaderValue, redirect::Policy,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use symphony_adapters::database::{Page, StoredItem};

use crate::servers::{process::Process, wait_until};

/// Time for anything that is expected to happen, on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until `look` sees what it looks for, and returns that.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A process of the program under test, killed when this is dropped.
#[derive(Debug)]
pub struct Symphony {
    process: Process,
    name: String,
    output: PathBuf,
}

impl Symphony {
    /// Starts `program` in `folder`, where it leaves its output as `NAME.out` and its log as `NAME.log`; a second start
    /// under the same name adds to the log. The configuration comes from the arguments and `variables` alone.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start<A: AsRef<OsStr>>(
        program: &str,
        folder: &Path,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
        variables: &[(&str, String)],
    ) -> Self {
        let output = folder.join(format!("{name}.out"));
        let mut command = Command::new(program);
        for (variable, _) in env::vars_os() {
            if variable.to_string_lossy().starts_with("SYMPHONY_") {
                command.env_remove(variable);
            }
        }
        command.args(arguments).current_dir(folder).env("NO_PROXY", "127.0.0.1");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdout(File::create(&output).expect("a file for its output"));
        let process = Process::start_with_errors_in(&mut command, folder.join(format!("{name}.log")));
        Self { process, name: name.to_owned(), output }
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Sends the signal of this name, such as `TERM`.
    ///
    /// # Panics
    /// If it has ended.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has not ended.
    ///
    /// # Panics
    /// If the system does not tell.
    pub fn is_running(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Waits for its end, and returns the exit code; none if a signal ended it.
    ///
    /// # Panics
    /// If it does not end within [`PATIENCE`].
    pub fn wait(&mut self) -> Option<i32> {
        self.wait_within(PATIENCE)
    }

    /// Waits for its end in good order.
    ///
    /// # Panics
    /// If it ends otherwise or not within [`PATIENCE`], with what it wrote.
    pub fn succeed(&mut self) {
        self.succeed_within(PATIENCE);
    }

    /// Waits for its end in good order.
    ///
    /// # Panics
    /// If it ends otherwise or not within `deadline`, with what it wrote.
    pub fn succeed_within(&mut self, deadline: Duration) {
        let code = self.wait_within(deadline);
        assert_eq!(code, Some(0), "{} ended with {code:?}:\n{}\n{}", self.name, self.output(), self.log());
    }

    /// Asks it to end, and waits until it has in good order, within its grace period.
    ///
    /// # Panics
    /// If it ends otherwise, or not within `grace`; with what it wrote.
    pub fn stop(&mut self, grace: Duration) {
        self.signal("TERM");
        self.succeed_within(grace);
    }

    /// Ends it as a loss of power would.
    ///
    /// # Panics
    /// If it has ended.
    pub fn kill(&mut self) {
        self.signal("KILL");
        assert_eq!(self.wait(), None, "{} was killed", self.name);
    }

    fn wait_within(&mut self, deadline: Duration) -> Option<i32> {
        let mut status = None;
        let has_ended = wait_until(deadline, || {
            status = self.process.ended();
            status.is_some()
        });
        assert!(has_ended, "{} does not end within {deadline:?}:\n{}\n{}", self.name, self.output(), self.log());
        status.and_then(|status| status.code())
    }
}

/// The name under which a binary of these tests plays the program: cargo builds no other binary for it.
const STAND_NAME: &str = "symphony";

/// A link to the running binary, by which it is the program.
#[derive(Debug)]
pub struct Stand {
    folder: tempfile::TempDir,
}

impl Stand {
    /// Whether this process was started by the link.
    #[must_use]
    pub fn is_for_program() -> bool {
        env::args_os().next().is_some_and(|program| Path::new(&program).file_name() == Some(OsStr::new(STAND_NAME)))
    }

    /// Makes the link.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let own = env::current_exe().expect("a running program");
        std::os::unix::fs::symlink(own, folder.path().join(STAND_NAME)).expect("a link");
        Self { folder }
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> String {
        self.folder.path().join(STAND_NAME).display().to_string()
    }
}

impl Default for Stand {
    fn default() -> Self {
        Self::new()
    }
}

/// A client that follows no redirects and asks no proxy.
#[derive(Clone, Debug)]
pub struct Visitor {
    client: Client,
}

impl Visitor {
    /// A client.
    ///
    /// # Panics
    /// If there is none to be had.
    #[must_use]
    pub fn new() -> Self {
        Self::with_authorities(None)
    }

    /// A client of servers that the authority in this PEM file certifies.
    ///
    /// # Panics
    /// If there is none to be had.
    #[must_use]
    pub fn trusting(ca: &Path) -> Self {
        let ca = fs::read(ca).expect("a file of the authority");
        Self::with_authorities(Some(Certificate::from_pem(&ca).expect("an authority")))
    }

    /// A client whose requests carry this token.
    ///
    /// # Panics
    /// If there is none to be had.
    #[must_use]
    pub fn bearing(token: &str) -> Self {
        let header: HeaderValue = format!("Bearer {token}").parse().expect("a token");
        let headers = [(header::AUTHORIZATION, header)].into_iter().collect();
        Self { client: builder(None).default_headers(headers).build().expect("a client") }
    }

    fn with_authorities(ca: Option<Certificate>) -> Self {
        Self { client: builder(ca).build().expect("a client") }
    }

    /// The client, for requests of other kinds.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whatever is answered; none if nobody does.
    pub async fn try_get(&self, url: &str) -> Option<Response> {
        self.client.get(url).send().await.ok()
    }

    /// Whatever is answered.
    ///
    /// # Panics
    /// If nobody answers.
    pub async fn get(&self, url: &str) -> Response {
        self.client.get(url).send().await.unwrap_or_else(|error| panic!("GET {url}: {error}"))
    }

    /// What is answered with status 200; none if something else is, or nothing.
    pub async fn try_json<T: DeserializeOwned>(&self, url: &str) -> Option<T> {
        let response = self.try_get(url).await.filter(|response| response.status() == StatusCode::OK)?;
        response.json().await.ok()
    }

    /// What is answered with status 200.
    ///
    /// # Panics
    /// If anything else is.
    pub async fn json<T: DeserializeOwned>(&self, url: &str) -> T {
        let response = self.get(url).await;
        let status = response.status();
        let body = response.text().await.unwrap_or_else(|error| panic!("GET {url}: {status}: {error}"));
        assert_eq!(status, StatusCode::OK, "GET {url}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {url}: {error}: {body}"))
    }

    /// All items of a web node, page by page.
    ///
    /// # Panics
    /// If the node does not answer as it should.
    pub async fn items(&self, node: &str) -> Vec<StoredItem> {
        let mut items = Vec::new();
        let mut url = format!("{node}/v1/items?limit=200");
        loop {
            let page: Page<StoredItem> = self.json(&url).await;
            items.extend(page.rows);
            match page.next {
                Some(cursor) => url = format!("{node}/v1/items?limit=200&cursor={cursor}"),
                None => return items,
            }
        }
    }

    /// Asserts that `url` is answered with a problem of this status, and returns it.
    ///
    /// # Panics
    /// If it is answered otherwise.
    pub async fn problem(&self, url: &str, status: u16) -> Value {
        problem(self.get(url).await, status).await
    }

    /// Products of a demonstration shop, by its own account.
    ///
    /// # Panics
    /// If it has no site map.
    pub async fn products(&self, shop: &str) -> usize {
        let text = self.get(&format!("{shop}/sitemap.xml")).await.text().await.expect("a site map");
        text.matches("/product/").count()
    }
}

fn builder(ca: Option<Certificate>) -> ClientBuilder {
    // An error only says that another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().no_proxy().redirect(Policy::none()).timeout(ANSWER_TIMEOUT);
    match ca {
        Some(ca) => builder.tls_certs_only([ca]),
        None => builder,
    }
}

impl Default for Visitor {
    fn default() -> Self {
        Self::new()
    }
}

/// Asserts that an answer is a problem (RFC 9457) of this status, and returns it.
///
/// # Panics
/// If it is not.
pub async fn problem(response: Response, status: u16) -> Value {
    let url = response.url().clone();
    assert_eq!(response.status(), status, "{url}");
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{url}");
    let problem: Value = response.json().await.expect("a problem in JSON");
    assert_eq!(problem["status"], status, "{url}");
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{url}: {problem}");
    problem
}
