//! Client of the web nodes and of the manager.

use std::{error::Error, time::Duration};

use reqwest::{
    Client, ClientBuilder, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
    multipart::{Form, Part},
    redirect,
};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::{
    Bearer,
    api::{
        DeadFiles, DeadLetterInfo, DeadLetters, DeadMails, FileResponse, IDEMPOTENCY_KEY_HEADER, ItemsRequest,
        ItemsResponse, LeaderInfo, Replayed, Retried, TERM_HEADER, TraceResponse,
    },
    problem::{self, Problem},
    server::BODY_SIZE_MAX,
};
use crate::tls::{self, Tls};

/// Time to make a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for a question about the leader.
const LEADER_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for a batch of items.
const ITEMS_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for a file.
const FILE_TIMEOUT: Duration = Duration::from_secs(70);
/// Time for the broker to lay out its dead letters, or to take them back.
const DEAD_LETTERS_TIMEOUT: Duration = Duration::from_secs(65);
/// Below the time after which our servers close an idle connection.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer, in bytes: one result per item of a full batch fits many times over.
const ANSWER_SIZE_MAX: usize = 1024 * 1024;

/// Talks to web nodes and managers. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct WebClient {
    client: Client,
    /// None: it only reads.
    bearer: Option<Bearer>,
}

/// Why a request did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The node does not lead the term of the request (421), or sends elsewhere (307): find the leader again.
    #[error("not the leader; {}", known(*term, leader.as_ref()))]
    NotLeader {
        /// Term that the node knows.
        term: Option<u64>,
        /// Leader that the node knows.
        leader: Option<LeaderInfo>,
    },
    /// The request itself is bad: it will be refused again.
    #[error("refused with status {status}: {}", problem.detail.as_deref().unwrap_or(&problem.title))]
    Refused {
        /// HTTP status, 400 to 499.
        status: u16,
        /// In the server's words.
        problem: Box<Problem>,
    },
    /// No answer, or an answer that says nothing about the request: try again.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl WebClient {
    /// A client with its own pool of connections, which changes things with the token `bearer`. It follows no redirect
    /// and uses no proxy.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] if TLS cannot be set up.
    pub fn new(bearer: Bearer) -> Result<Self, ClientError> {
        Self::over(&client_tls()?, Some(bearer))
    }

    /// A client of servers that the authorities of `tls` certify, with the token `bearer` if it changes something.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] if TLS cannot be set up.
    pub fn over(tls: &Tls, bearer: Option<Bearer>) -> Result<Self, ClientError> {
        Ok(Self { client: build(builder(), tls)?, bearer })
    }

    /// The same for a server that is to learn no token.
    #[must_use]
    pub fn without_token(&self) -> Self {
        Self { client: self.client.clone(), bearer: None }
    }

    /// Stores a batch of items under a term: `POST /v1/items`.
    ///
    /// # Errors
    /// Any [`ClientError`]. After [`ClientError::Unavailable`] the items may have been stored; repeating is harmless.
    pub async fn store_items(
        &self,
        base_url: &str,
        token_term: u64,
        request: &ItemsRequest,
    ) -> Result<ItemsResponse, ClientError> {
        let post = self.signed(self.client.post(join(base_url, "/v1/items"))).timeout(ITEMS_TIMEOUT);
        read(accept(send(post.header(TERM_HEADER, token_term).json(request)).await?).await?).await
    }

    /// Stores a file under a term: `POST /v1/files`.
    ///
    /// # Errors
    /// Any [`ClientError`]. After [`ClientError::Unavailable`] the file may have been stored; repeating is harmless.
    #[expect(clippy::too_many_arguments, reason = "one part of the form each")]
    pub async fn store_file(
        &self,
        base_url: &str,
        term: u64,
        path: &str,
        modified_at_ms: i64,
        content_type: &str,
        sha256: &str,
        content: Vec<u8>,
    ) -> Result<FileResponse, ClientError> {
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        let file = Part::bytes(content).file_name(name);
        let file = file.mime_str(content_type).map_err(|error| unusable(format!("{content_type}: {error}")))?;
        let form = Form::new()
            .text("path", path.to_owned())
            .text("modified_at_ms", modified_at_ms.to_string())
            .text("sha256", sha256.to_owned())
            .part("file", file);
        let post = self.signed(self.client.post(join(base_url, "/v1/files"))).timeout(FILE_TIMEOUT).multipart(form);
        let post = post.header(TERM_HEADER, term).header(IDEMPOTENCY_KEY_HEADER, sha256);
        read(accept(send(post).await?).await?).await
    }

    /// Asks a web node whether it leads: `GET /leader`. None if it does not.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`], or [`ClientError::Refused`] by something that is no web node.
    pub async fn leader(&self, base_url: &str) -> Result<Option<LeaderInfo>, ClientError> {
        let response = send(self.client.get(join(base_url, "/leader")).timeout(LEADER_TIMEOUT)).await?;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(None);
        }
        read(accept(response).await?).await.map(Some)
    }

    /// Asks a process whether it has all that it needs: `GET /readyz`.
    ///
    /// # Errors
    /// Any [`ClientError`]: it has not, or there is no answer.
    pub async fn readiness(&self, base_url: &str) -> Result<(), ClientError> {
        accept(send(self.client.get(join(base_url, "/readyz")).timeout(LEADER_TIMEOUT)).await?).await.map(drop)
    }

    /// Tells a manager who leads: `PUT /v1/leader`.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn announce(&self, manager_base_url: &str, leader: &LeaderInfo) -> Result<(), ClientError> {
        let put = self.signed(self.client.put(join(manager_base_url, "/v1/leader"))).timeout(LEADER_TIMEOUT);
        accept(send(put.json(leader)).await?).await.map(drop)
    }

    /// The manager's dead letters, `limit` at most: `GET /v1/dead-letters`.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`], or [`ClientError::Refused`] with status 401 without the token.
    pub async fn dead_letters(&self, manager_base_url: &str, limit: usize) -> Result<DeadLetters, ClientError> {
        let url = join(manager_base_url, &format!("/v1/dead-letters?limit={limit}"));
        // Their reasons together.
        read_up_to(self.inquire(url).await?, BODY_SIZE_MAX).await
    }

    /// One of the manager's dead letters, with its body: `GET /v1/dead-letter`.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`], or [`ClientError::Refused`] with status 401 without the token, or 404 if there is
    /// none of this id.
    pub async fn dead_letter(&self, manager_base_url: &str, id: &str) -> Result<DeadLetterInfo, ClientError> {
        let url = join(manager_base_url, &format!("/v1/dead-letter?{}", query("id", id)));
        // Whatever the queue can carry.
        read_up_to(self.inquire(url).await?, BODY_SIZE_MAX).await
    }

    /// Puts dead letters of the manager back into the queue, those of one id or all: `POST /v1/dead-letters/replay`.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`], or [`ClientError::Refused`] with status 401 without the token, or 404 if there is
    /// none of this id.
    pub async fn replay(&self, manager_base_url: &str, id: Option<&str>) -> Result<Replayed, ClientError> {
        let url = join(manager_base_url, &format!("/v1/dead-letters/replay?{}", one_or_all(id)));
        self.instruct(url).await
    }

    /// Mails that were given up, `limit` at most: `GET /v1/dead-mails`.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`], or [`ClientError::Refused`] with status 401 without the token.
    pub async fn dead_mails(&self, manager_base_url: &str, limit: usize) -> Result<DeadMails, ClientError> {
        let url = join(manager_base_url, &format!("/v1/dead-mails?limit={limit}"));
        // Their texts together.
        read_up_to(self.inquire(url).await?, BODY_SIZE_MAX).await
    }

    /// Puts mails that were given up back into the outbox, one or all: `POST /v1/dead-mails/retry`.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`], or [`ClientError::Refused`] with status 401 without the token, or 404 if there is
    /// none of this id.
    pub async fn retry_mails(&self, manager_base_url: &str, id: Option<i64>) -> Result<Retried, ClientError> {
        let id = id.map(|id| id.to_string());
        let url = join(manager_base_url, &format!("/v1/dead-mails/retry?{}", one_or_all(id.as_deref())));
        self.instruct(url).await
    }

    /// Files that were given up, `limit` at most: `GET /v1/dead-files`.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`], or [`ClientError::Refused`] with status 401 without the token.
    pub async fn dead_files(&self, manager_base_url: &str, limit: usize) -> Result<DeadFiles, ClientError> {
        let url = join(manager_base_url, &format!("/v1/dead-files?limit={limit}"));
        // Their paths and reasons together.
        read_up_to(self.inquire(url).await?, BODY_SIZE_MAX).await
    }

    /// Lets files that were given up be fetched again, one by its path or all: `POST /v1/dead-files/retry`.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`], or [`ClientError::Refused`] with status 401 without the token, or 404 if there is
    /// none of this path.
    pub async fn retry_files(&self, manager_base_url: &str, path: Option<&str>) -> Result<Retried, ClientError> {
        let url = join(manager_base_url, &format!("/v1/dead-files/retry?{}", one_or_all(path)));
        self.instruct(url).await
    }

    /// Where an item has been, as a manager or a scraper knows it: `GET /v1/trace`.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`], or [`ClientError::Refused`] with status 401 at a manager without the token, or 404 if
    /// nobody has seen it.
    pub async fn trace(&self, base_url: &str, item: &str) -> Result<TraceResponse, ClientError> {
        let url = join(base_url, &format!("/v1/trace?{}", query("item", item)));
        read(self.inquire(url).await?).await
    }

    /// The answer to a question for which the manager wants the token.
    async fn inquire(&self, url: String) -> Result<Response, ClientError> {
        accept(send(self.signed(self.client.get(url)).timeout(DEAD_LETTERS_TIMEOUT)).await?).await
    }

    async fn instruct<T: DeserializeOwned>(&self, url: String) -> Result<T, ClientError> {
        read(accept(send(self.signed(self.client.post(url)).timeout(DEAD_LETTERS_TIMEOUT)).await?).await?).await
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.bearer {
            Some(bearer) => request.header(AUTHORIZATION, bearer.header()),
            None => request,
        }
    }
}

/// What a node that does not lead knows, in words.
fn known(term: Option<u64>, leader: Option<&LeaderInfo>) -> String {
    match (leader, term) {
        (Some(leader), _) => format!("that is node {} in term {}", leader.node, leader.term),
        (None, Some(term)) => format!("the node knows of none in term {term}"),
        (None, None) => "the node knows of none".to_owned(),
    }
}

/// A client as `builder` describes it, of servers that the authorities of `tls` certify.
pub(super) fn build(builder: ClientBuilder, tls: &Tls) -> Result<Client, ClientError> {
    // reqwest asks for a provider even if the configuration has one.
    tls::install_provider();
    let config = ClientConfig::clone(&tls.client());
    builder.tls_backend_preconfigured(config).build().map_err(|error| unavailable(&error))
}

/// Trust in the public authorities.
pub(super) fn client_tls() -> Result<Tls, ClientError> {
    Tls::new(None).map_err(|error| ClientError::Unavailable(error.to_string()))
}

fn builder() -> ClientBuilder {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("symphony/", env!("CARGO_PKG_VERSION")))
}

fn join(base_url: &str, path: &str) -> String {
    format!("{}{path}", base_url.trim_end_matches('/'))
}

async fn send(request: RequestBuilder) -> Result<Response, ClientError> {
    request.send().await.map_err(|error| unavailable(&error))
}

/// Sorts answers: what succeeded passes, the rest becomes the error that says what to do next.
async fn accept(response: Response) -> Result<Response, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let problem = read_problem(status, response).await;
    Err(match status {
        StatusCode::MISDIRECTED_REQUEST => ClientError::NotLeader { term: problem.term(), leader: problem.leader() },
        _ if status.is_redirection() => ClientError::NotLeader { term: problem.term(), leader: problem.leader() },
        // These three speak of the moment, not of the request.
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            ClientError::Unavailable(describe(status, &problem))
        }
        _ if status.is_client_error() => ClientError::Refused { status: status.as_u16(), problem: Box::new(problem) },
        _ => ClientError::Unavailable(describe(status, &problem)),
    })
}

/// A query, whatever is in its value.
fn query(name: &str, value: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}

fn one_or_all(id: Option<&str>) -> String {
    id.map_or_else(|| query("all", "true"), |id| query("id", id))
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, ClientError> {
    read_up_to(response, ANSWER_SIZE_MAX).await
}

async fn read_up_to<T: DeserializeOwned>(response: Response, size_max: usize) -> Result<T, ClientError> {
    let body = read_body(response, size_max).await?;
    serde_json::from_slice(&body).map_err(|error| ClientError::Unavailable(format!("answer not understood: {error}")))
}

async fn read_problem(status: StatusCode, response: Response) -> Problem {
    let is_problem = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|media_type| media_type.as_bytes().starts_with(problem::CONTENT_TYPE.as_bytes()));
    let body = if is_problem { read_body(response, ANSWER_SIZE_MAX).await.unwrap_or_default() } else { Vec::new() };
    serde_json::from_slice(&body).unwrap_or_else(|_| Problem::new(status))
}

async fn read_body(mut response: Response, size_max: usize) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(&error))? {
        if body.len().saturating_add(chunk.len()) > size_max {
            return Err(ClientError::Unavailable(format!("answer of more than {size_max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn describe(status: StatusCode, problem: &Problem) -> String {
    format!("{status}: {}", problem.detail.as_deref().unwrap_or(&problem.title))
}

/// The request could not even be made.
fn unusable(detail: String) -> ClientError {
    let problem = Box::new(Problem::unprocessable(detail));
    ClientError::Refused { status: problem.status, problem }
}

/// An error with its causes: reqwest's own text stops at "error sending request".
fn unavailable(error: &(dyn Error + 'static)) -> ClientError {
    ClientError::Unavailable(tls::describe(error))
}

#[cfg(test)]
mod tests {
    use axum::{
        Json, Router,
        extract::Multipart,
        http::HeaderMap,
        response::{IntoResponse, Redirect},
        routing::{get, post, put},
    };
    use tokio::net::TcpListener;
    use tokio_util::sync::{CancellationToken, DropGuard};

    use super::*;
    use crate::{database::Outcome, http::server};

    async fn start(router: Router) -> (String, DropGuard) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        tokio::spawn(server::serve(listener, router, shutdown.clone()));
        (url, shutdown.drop_guard())
    }

    fn client() -> WebClient {
        WebClient::new(Bearer::new("0123456789abcdef").unwrap()).unwrap()
    }

    async fn answer_to_items(answer: impl IntoResponse + Clone + Send + Sync + 'static) -> ClientError {
        let (url, _server) = start(Router::new().route("/v1/items", post(move || async move { answer }))).await;
        let request = ItemsRequest { items: Vec::new() };
        client().store_items(&url, 3, &request).await.unwrap_err()
    }

    fn leader() -> LeaderInfo {
        LeaderInfo { term: 9, node: 2, url: Some("http://leader".into()) }
    }

    #[tokio::test]
    async fn a_misdirected_request_tells_where_the_leader_is() {
        let error = answer_to_items(Problem::not_leader(9, Some(&leader()))).await;
        assert!(
            matches!(&error, ClientError::NotLeader { term: Some(9), leader: Some(known) } if *known == leader()),
            "{error}"
        );
        let error = answer_to_items(Redirect::temporary("http://elsewhere/v1/items")).await;
        assert!(matches!(error, ClientError::NotLeader { term: None, leader: None }), "{error}");
    }

    #[tokio::test]
    async fn a_bad_request_is_refused_with_the_reason_of_the_server() {
        let error = answer_to_items(Problem::unprocessable("no items")).await;
        assert_eq!(error.to_string(), "refused with status 422: no items");
    }

    #[tokio::test]
    async fn what_speaks_of_the_moment_is_worth_another_try() {
        for status in
            [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS]
        {
            let error = answer_to_items(status).await;
            assert!(matches!(error, ClientError::Unavailable(_)), "{error}");
        }
        let error = answer_to_items("not JSON").await;
        assert!(matches!(error, ClientError::Unavailable(_)), "{error}");
        let nobody = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", nobody.local_addr().unwrap());
        drop(nobody);
        let error = client().leader(&url).await.unwrap_err();
        assert!(error.to_string().contains("onnection refused"), "the cause is named: {error}");
    }

    #[tokio::test]
    async fn a_file_arrives_with_its_term_and_its_key() {
        async fn take(headers: HeaderMap, mut form: Multipart) -> Json<FileResponse> {
            let mut parts = Vec::new();
            while let Some(part) = form.next_field().await.unwrap() {
                let (name, file) = (part.name().unwrap().to_owned(), part.file_name().map(str::to_owned));
                parts.push((name, file, part.text().await.unwrap()));
            }
            let part = |name: &str, file: Option<&str>, text: &str| (name.into(), file.map(str::to_owned), text.into());
            let expected = [
                part("path", None, "/out/a.csv"),
                part("modified_at_ms", None, "17"),
                part("sha256", None, "aa"),
                part("file", Some("a.csv"), "x,y"),
            ];
            assert_eq!(parts, expected);
            assert_eq!(
                [TERM_HEADER, IDEMPOTENCY_KEY_HEADER, "authorization"].map(|name| &headers[name]),
                ["4", "aa", "Bearer 0123456789abcdef"]
            );
            Json(FileResponse { term: 4, sha256: "aa".into(), outcome: Outcome::Stored })
        }
        let (url, _server) = start(Router::new().route("/v1/files", post(take))).await;
        let client = client();
        let stored = client.store_file(&url, 4, "/out/a.csv", 17, "text/csv", "aa", b"x,y".to_vec()).await.unwrap();
        assert_eq!(stored.outcome, Outcome::Stored);
        let error = client.store_file(&url, 4, "a", 17, "not a type", "aa", Vec::new()).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused { status: 422, .. }), "{error}");
    }

    #[tokio::test]
    async fn only_the_leader_itself_is_taken_for_the_leader() {
        let client = client();
        let (url, _server) = start(Router::new().route("/leader", get(|| async { Json(leader()) }))).await;
        assert_eq!(client.leader(&url).await.unwrap(), Some(leader()));
        let follower = get(|| async { (StatusCode::SERVICE_UNAVAILABLE, Json(leader())) });
        let (url, _server) = start(Router::new().route("/leader", follower)).await;
        assert_eq!(client.leader(&url).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_manager_hears_of_the_leader() {
        let take = put(|Json(told): Json<LeaderInfo>| async move {
            assert_eq!(told, leader());
            StatusCode::NO_CONTENT
        });
        let (url, _server) = start(Router::new().route("/v1/leader", take)).await;
        client().announce(&url, &leader()).await.unwrap();
    }
}
