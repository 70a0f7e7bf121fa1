//! `GET /v1/dead-files`, and `POST /v1/dead-files/retry?id=PATH` or `…?all=true`.

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, post},
};
use symphony_adapters::{
    database::Database,
    http::{
        Problem,
        api::{DeadFiles, Retried},
    },
};

use super::{
    leader_api::no_leader,
    route::Route,
    unavailable::unavailable,
    which::{HowMany, Which},
};

/// The routes.
pub(super) fn routes(database: Database, route: Route) -> Router {
    Router::new()
        .route("/v1/dead-files", get(list))
        .route("/v1/dead-files/retry", post(retry))
        .with_state((database, route))
}

type Shared = State<(Database, Route)>;

async fn list(State((database, _)): Shared, Query(query): Query<HowMany>) -> Result<Json<DeadFiles>, Problem> {
    let limit = u32::try_from(query.limit()?).unwrap_or(u32::MAX);
    let (files, total) = database.dead_files(limit).await.map_err(unavailable)?;
    Ok(Json(DeadFiles { total, files }))
}

async fn retry(State((database, route)): Shared, Query(which): Query<Which<String>>) -> Result<Json<Retried>, Problem> {
    let path = which.one()?;
    let leader = route.current().ok_or_else(no_leader)?;
    let retried = database.retry_files(&leader.token, path.as_deref()).await.map_err(unavailable)?;
    tracing::info!(path, retried, "dead files are tried again");
    match path {
        Some(path) if retried == 0 => Err(Problem::not_found(format!("there is no dead file {path:?}"))),
        _ => Ok(Json(Retried { retried })),
    }
}
