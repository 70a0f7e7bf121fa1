//! Liveness and readiness.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

/// What a role needs before it can do its work. Cheap to clone; clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    draining: AtomicBool,
    dependencies: Mutex<Vec<DependencyReport>>,
}

impl Health {
    /// Ready, with no dependencies yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Something the role cannot work without: down until it first reports up. The same name is the same dependency.
    #[must_use]
    pub fn dependency(&self, name: &str) -> Dependency {
        let mut dependencies = self.lock();
        if !dependencies.iter().any(|dependency| dependency.name == name) {
            dependencies.push(DependencyReport {
                name: name.to_owned(),
                status: DependencyStatus::Down,
                detail: Some("not yet reached".to_owned()),
                since_ms: now_ms(),
            });
        }
        drop(dependencies);
        Dependency { health: self.clone(), name: name.into() }
    }

    /// Not ready from now on: the process is on its way out.
    pub fn set_draining(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Whether every dependency is up and the process is not on its way out.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.report().status == Readiness::Ready
    }

    /// The state of everything, as `/readyz` answers it.
    #[must_use]
    pub fn report(&self) -> Report {
        let dependencies = self.lock().clone();
        let status = if self.0.draining.load(Ordering::Relaxed) {
            Readiness::Draining
        } else if dependencies.iter().all(|dependency| dependency.status == DependencyStatus::Up) {
            Readiness::Ready
        } else {
            Readiness::NotReady
        };
        Report { status, dependencies }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<DependencyReport>> {
        self.0.dependencies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, name: &str, status: DependencyStatus, detail: Option<String>) {
        let mut dependencies = self.lock();
        let Some(dependency) = dependencies.iter_mut().find(|dependency| dependency.name == name) else { return };
        dependency.detail = detail;
        if dependency.status == status {
            return;
        }
        dependency.status = status;
        dependency.since_ms = now_ms();
        match status {
            DependencyStatus::Up => tracing::info!(dependency = name, "up"),
            DependencyStatus::Down => tracing::warn!(dependency = name, detail = dependency.detail, "down"),
        }
    }
}

/// Reports on one dependency of a [`Health`].
#[derive(Clone, Debug)]
pub struct Dependency {
    health: Health,
    name: Arc<str>,
}

impl Dependency {
    /// It works.
    pub fn up(&self) {
        self.health.set(&self.name, DependencyStatus::Up, None);
    }

    /// It does not work, for this reason.
    pub fn down(&self, reason: impl Into<String>) {
        self.health.set(&self.name, DependencyStatus::Down, Some(reason.into()));
    }
}

/// Body of `/readyz`: 200 if ready, else 503.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The sum of it.
    pub status: Readiness,
    /// In the order in which they were named.
    pub dependencies: Vec<DependencyReport>,
}

impl Report {
    /// The same for `/metrics`, in Prometheus's text format. Not by the recorder: the roles of one process share that.
    #[must_use]
    pub fn metrics(&self) -> String {
        let number = |holds: bool| u8::from(holds);
        let mut text = "# TYPE symphony_dependency_up gauge\n".to_owned();
        for DependencyReport { name, status, .. } in &self.dependencies {
            let up = number(*status == DependencyStatus::Up);
            // Writing to a string does not fail.
            let _ = writeln!(text, "symphony_dependency_up{{dependency=\"{name}\"}} {up}");
        }
        let ready = number(self.status == Readiness::Ready);
        let _ = writeln!(text, "# TYPE symphony_ready gauge\nsymphony_ready {ready}");
        text
    }
}

/// Whether to send work here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Yes.
    Ready,
    /// Not while a dependency is down.
    NotReady,
    /// Never again: the process is on its way out.
    Draining,
}

/// State of one dependency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependencyReport {
    /// What it is.
    pub name: String,
    /// Whether it works.
    pub status: DependencyStatus,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it came into this status: milliseconds since the Unix epoch.
    pub since_ms: i64,
}

/// Whether a dependency works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyStatus {
    /// It works.
    Up,
    /// It does not, or has not been reached yet.
    Down,
}

impl IntoResponse for Report {
    fn into_response(self) -> Response {
        let status = match self.status {
            Readiness::Ready => StatusCode::OK,
            Readiness::NotReady | Readiness::Draining => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(self)).into_response()
    }
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_while_every_dependency_is_up() {
        let health = Health::new();
        let (database, broker) = (health.dependency("database"), health.dependency("broker"));
        assert!(!health.is_ready());
        database.up();
        assert!(!health.is_ready());
        broker.up();
        assert!(health.is_ready());
        database.down("connection refused");
        let report = health.report();
        assert_eq!(report.status, Readiness::NotReady);
        assert_eq!(report.dependencies[0].detail.as_deref(), Some("connection refused"));
        assert_eq!(report.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn a_draining_process_is_never_ready_again() {
        let health = Health::new();
        health.set_draining();
        health.dependency("database").up();
        assert_eq!(health.report().status, Readiness::Draining);
    }

    #[test]
    fn the_same_name_is_the_same_dependency() {
        let health = Health::new();
        health.dependency("database").down("no");
        health.dependency("database").up();
        assert_eq!(health.report().dependencies.len(), 1);
        assert!(health.is_ready());
    }
}
