//! A stand-in for a web node, in all its moods.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Multipart, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use symphony_adapters::{
    database::{Leader, Outcome, Token},
    http::{
        Problem,
        api::{FileResponse, ItemResult, ItemsRequest, ItemsResponse, LeaderInfo, TERM_HEADER},
    },
};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::task::AbortOnDropHandle;

/// What a web node does with a POST.
#[derive(Clone, Debug)]
pub(in crate::manager) enum Mood {
    Store,
    Duplicate,
    Conflict,
    NotLeader(Option<LeaderInfo>),
    Status(u16),
    /// A verdict on what was sent.
    Content,
    Garbage,
    /// 200, with results for something else.
    OtherResults,
    /// 200, with too few results.
    TooFewResults,
    Hang,
    HangUp,
}

/// A stand-in for a web node: the next mood of its list for each POST, then `otherwise`.
#[derive(Clone)]
pub(in crate::manager) struct StandIn {
    pub(in crate::manager) url: String,
    script: Arc<Mutex<Script>>,
    _server: Arc<AbortOnDropHandle<()>>,
}

pub(in crate::manager) struct Script {
    pub(in crate::manager) moods: VecDeque<Mood>,
    pub(in crate::manager) otherwise: Mood,
    pub(in crate::manager) term: u64,
    pub(in crate::manager) is_ready: bool,
    /// Questions whether it is ready.
    pub(in crate::manager) looks: usize,
    /// Items, and paths of files, that make any POST they are in end like this.
    pub(in crate::manager) poison: Vec<(String, Mood)>,
    /// Terms and message ids of every POST.
    pub(in crate::manager) posts: Vec<(u64, Vec<String>)>,
    pub(in crate::manager) stored: Vec<String>,
    /// Paths of the files that came.
    pub(in crate::manager) files: Vec<String>,
}

impl StandIn {
    pub(in crate::manager) async fn start(term: u64, moods: impl IntoIterator<Item = Mood>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script {
            moods: moods.into_iter().collect(),
            otherwise: Mood::Store,
            term,
            is_ready: true,
            looks: 0,
            poison: Vec::new(),
            posts: Vec::new(),
            stored: Vec::new(),
            files: Vec::new(),
        }));
        let router = Router::new()
            .route("/v1/items", post(items))
            .route("/v1/files", post(files))
            .route("/leader", get(leader))
            .route("/readyz", get(readiness))
            .with_state((url.clone(), Arc::clone(&script)));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, script, _server: Arc::new(AbortOnDropHandle::new(server)) }
    }

    pub(in crate::manager) fn set<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.script.lock().unwrap())
    }

    pub(in crate::manager) fn leader(&self, holder: u16) -> Leader {
        Leader { token: Token { term: self.set(|script| script.term), holder }, url: self.url.clone() }
    }

    pub(in crate::manager) fn info(&self, node: u16) -> LeaderInfo {
        LeaderInfo { term: self.set(|script| script.term), node, url: Some(self.url.clone()) }
    }

    pub(in crate::manager) fn stored(&self) -> Vec<String> {
        let mut stored = self.set(|script| script.stored.clone());
        stored.sort();
        stored
    }

    pub(in crate::manager) fn looks(&self) -> usize {
        self.set(|script| script.looks)
    }

    pub(in crate::manager) fn posts(&self) -> Vec<(u64, Vec<String>)> {
        self.set(|script| script.posts.clone())
    }
}

type Shared = (String, Arc<Mutex<Script>>);

async fn leader(State((url, script)): State<Shared>) -> Json<LeaderInfo> {
    Json(LeaderInfo { term: script.lock().unwrap().term, node: 1, url: Some(url) })
}

async fn readiness(State((_, script)): State<Shared>) -> StatusCode {
    let mut script = script.lock().unwrap();
    script.looks += 1;
    if script.is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn items(State((_, script)): State<Shared>, headers: HeaderMap, Json(request): Json<ItemsRequest>) -> Response {
    let mut ids: Vec<String> = request.items.iter().map(|item| item.message_id.clone()).collect();
    let asked = headers[TERM_HEADER].to_str().unwrap().parse().unwrap();
    let (mood, term) = {
        let mut script = script.lock().unwrap();
        script.posts.push((asked, ids.clone()));
        let poison = script.poison.iter().find(|(id, _)| ids.contains(id)).map(|(_, mood)| mood.clone());
        let mood = match poison {
            Some(mood) => mood,
            None => script.moods.pop_front().unwrap_or(script.otherwise.clone()),
        };
        (mood, script.term)
    };
    let outcome = match mood {
        Mood::Store => {
            script.lock().unwrap().stored.extend(ids.iter().cloned());
            Outcome::Stored
        }
        Mood::Duplicate => Outcome::Duplicate,
        Mood::Conflict => Outcome::Conflict,
        Mood::NotLeader(leader) => return Problem::not_leader(term, leader.as_ref()).into_response(),
        Mood::Status(status) => return Problem::new(StatusCode::from_u16(status).unwrap()).into_response(),
        Mood::Content => return Problem::content(StatusCode::UNPROCESSABLE_ENTITY, "bad").into_response(),
        Mood::OtherResults => {
            ids.iter_mut().for_each(|id| id.push('x'));
            Outcome::Stored
        }
        Mood::TooFewResults => {
            ids.pop();
            Outcome::Stored
        }
        Mood::Garbage => return "{\"term\":".into_response(),
        Mood::Hang => {
            sleep(Duration::from_secs(3600)).await;
            Outcome::Stored
        }
        Mood::HangUp => panic!("this closes the connection"),
    };
    let results = ids.into_iter().map(|message_id| ItemResult { message_id, outcome }).collect();
    Json(ItemsResponse { term, results }).into_response()
}

async fn files(State((_, script)): State<Shared>, mut form: Multipart) -> Response {
    let (mut path, mut sha256) = (String::new(), String::new());
    while let Some(field) = form.next_field().await.unwrap() {
        match field.name() {
            Some("path") => path = field.text().await.unwrap(),
            Some("sha256") => sha256 = field.text().await.unwrap(),
            _ => drop(field.bytes().await.unwrap()),
        }
    }
    let mut script = script.lock().unwrap();
    if let Mood::NotLeader(leader) = &script.otherwise {
        return Problem::not_leader(script.term, leader.as_ref()).into_response();
    }
    script.files.push(path.clone());
    if script.poison.iter().any(|(poison, _)| *poison == path) {
        return Problem::content(StatusCode::UNPROCESSABLE_ENTITY, "bad").into_response();
    }
    Json(FileResponse { term: script.term, sha256, outcome: Outcome::Stored }).into_response()
}
