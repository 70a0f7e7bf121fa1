//! Role `node`: the election alone, with a program run on every change of leadership.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use symphony_adapters::{
    driver::Status,
    http::{Health, operations, serve},
};
use tokio::{process::Command, sync::watch};
use tokio_util::sync::CancellationToken;

use super::{RunError, dependencies::finish, listen_with};
use crate::{
    config::Config,
    election,
    keys::{Hangups, reload_until},
};

/// A leader that stops waits this long for another to take over.
const HANDOVER_MAX: Duration = Duration::from_secs(3);

/// Longest run of the hook.
const HOOK_TIME_MAX: Duration = Duration::from_secs(30);

pub(super) async fn run(config: &Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let settings = &config.node;
    let listener = listen_with(settings.operations, &config.tls.load()?).await?;
    let hangups = Hangups::listen()?;
    let (driver, keys) = election::start(settings).await?;
    let health = Health::new();
    // Named before anybody asks: with nothing to wait for, a node would be ready.
    health.dependency("leader").down("no leader yet");
    let stopped = CancellationToken::new();
    let mut routes = operations(&health);
    if let Ok(bearer) = config.api.bearer() {
        routes = routes.merge(election::api::routes(driver.commander(), driver.status(), bearer));
    }
    let operations = tokio::spawn(serve(listener, routes, stopped.clone()));
    let membership = election::report_membership(driver.status(), &health);
    let watcher = tokio::spawn(follow(driver.status(), settings.hook.clone(), health.clone()));
    reload_until(&shutdown, hangups, &driver, keys).await;
    health.set_draining();
    driver.resign(HANDOVER_MAX).await;
    driver.stop().await?;
    // The status has no sender any more, so the watcher ends after the last change.
    watcher.await.map_err(|error| RunError::Part(Box::new(error)))?;
    membership.await.map_err(|error| RunError::Part(Box::new(error)))?;
    stopped.cancel();
    finish(operations).await
}

/// Tells of every change of leadership, one after the other; what changes while the hook runs is told when it has ended.
async fn follow(mut status: watch::Receiver<Status>, hook: Option<std::path::PathBuf>, health: Health) {
    let leader = health.dependency("leader");
    let mut told = None;
    loop {
        let now = status.borrow_and_update().clone();
        match now.leader {
            Some(_) => leader.up(),
            None => leader.down(now.reason.clone()),
        }
        let change = (now.term, now.leader, now.is_leader());
        if told != Some(change) {
            told = Some(change);
            tracing::info!(term = now.term, leader = now.leader.map(|leader| leader.0), role = %now.role, reason = now.reason, "leadership");
            if let Some(hook) = &hook {
                run_hook(hook, &now).await;
            }
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

async fn run_hook(hook: &Path, status: &Status) {
    let leader = status.leader.map(|leader| leader.0.to_string()).unwrap_or_default();
    let mut command = Command::new(hook);
    command
        .env("SYMPHONY_ROLE", if status.is_leader() { "leader" } else { "follower" })
        .env("SYMPHONY_TERM", status.term.to_string())
        .env("SYMPHONY_LEADER", leader)
        .env("SYMPHONY_ID", status.id.0.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match tokio::time::timeout(HOOK_TIME_MAX, command.status()).await {
        Ok(Ok(ended)) if ExitStatus::success(&ended) => {}
        Ok(Ok(ended)) => tracing::warn!(hook = %hook.display(), %ended, "the hook failed"),
        Ok(Err(error)) => tracing::warn!(hook = %hook.display(), %error, "the hook could not be run"),
        Err(_) => tracing::warn!(hook = %hook.display(), "the hook ran too long and was ended"),
    }
}
