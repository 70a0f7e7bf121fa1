//! `GET /v1/dead-mails`, and `POST /v1/dead-mails/retry?id=…` or `…?all=true`.

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, post},
};
use symphony_adapters::{
    database::Database,
    http::{
        Problem,
        api::{DeadMails, Retried},
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
        .route("/v1/dead-mails", get(list))
        .route("/v1/dead-mails/retry", post(retry))
        .with_state((database, route))
}

type Shared = State<(Database, Route)>;

async fn list(State((database, _)): Shared, Query(query): Query<HowMany>) -> Result<Json<DeadMails>, Problem> {
    let limit = u32::try_from(query.limit()?).unwrap_or(u32::MAX);
    let (mails, total) = database.dead_mails(limit).await.map_err(unavailable)?;
    Ok(Json(DeadMails { total, mails }))
}

async fn retry(State((database, route)): Shared, Query(which): Query<Which<i64>>) -> Result<Json<Retried>, Problem> {
    let id = which.one()?;
    let leader = route.current().ok_or_else(no_leader)?;
    let retried = database.retry_mails(&leader.token, id).await.map_err(unavailable)?;
    tracing::info!(id, retried, "dead mails are tried again");
    match id {
        Some(id) if retried == 0 => Err(Problem::not_found(format!("there is no dead mail {id}"))),
        _ => Ok(Json(Retried { retried })),
    }
}
