//! From a URL to a pool of connections to an up-to-date schema.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    AnyConnection, AssertSqlSafe, Connection,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::Migrator,
};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::{
    Database, DatabaseError,
    dialect::{Dialect, POSTGRES, SQLITE},
    error,
};

static MIGRATIONS_SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static MIGRATIONS_POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Longest wait for a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Longest wait for the schema; other nodes that start at the same time may be at it.
const MIGRATE_TIME_MAX: Duration = Duration::from_secs(120);

/// Pause between two attempts to open a SQLite file that another connection is just creating.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Connections to PostgreSQL at most: three web nodes stay far below its default limit of 100.
const CONNECTIONS_MAX_POSTGRES: u32 = 10;

/// Connections to SQLite at most: one writes while the others read.
const CONNECTIONS_MAX_SQLITE: u32 = 4;

pub(super) async fn open(url: &str, ca: Option<&Path>) -> Result<Database, DatabaseError> {
    sqlx::any::install_default_drivers();
    let (dialect, migrations, connections_max, url) = if let Some(path) = url.strip_prefix("sqlite:") {
        (&SQLITE, &MIGRATIONS_SQLITE, CONNECTIONS_MAX_SQLITE, sqlite_url(path).await?)
    } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        (&POSTGRES, &MIGRATIONS_POSTGRES, CONNECTIONS_MAX_POSTGRES, postgres_url(url, ca)?)
    } else {
        return Err(DatabaseError::Invalid("the URL is neither sqlite:PATH nor postgres://…".into()));
    };
    let options: AnyConnectOptions = url.parse().map_err(|error| error::on_open(&error))?;

    let connection = connect(&options, dialect).await?;
    match timeout(MIGRATE_TIME_MAX, migrate(connection, dialect, migrations)).await {
        Ok(result) => result?,
        Err(_) => return Err(DatabaseError::Unavailable(format!("no schema within {MIGRATE_TIME_MAX:?}"))),
    }

    let pool = AnyPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(CONNECT_TIME_MAX)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(AssertSqlSafe(dialect.connection_setup)).execute(connection).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options);
    Ok(Database { pool, dialect, cluster: String::new() })
}

/// The first connection tells a wrong URL from a server that is away; the pool would only say that it timed out.
async fn connect(options: &AnyConnectOptions, dialect: &Dialect) -> Result<AnyConnection, DatabaseError> {
    let deadline = Instant::now() + CONNECT_TIME_MAX;
    let attempt = async || {
        let mut connection = AnyConnection::connect_with(options).await?;
        sqlx::raw_sql(AssertSqlSafe(dialect.connection_setup)).execute(&mut connection).await?;
        Ok(connection)
    };
    loop {
        let error = match tokio::time::timeout_at(deadline, attempt()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error::on_open(&error),
            Err(_) => return Err(DatabaseError::Unavailable(format!("no connection within {CONNECT_TIME_MAX:?}"))),
        };
        // SQLite does not wait for its busy timeout while the journal's mode changes.
        let busy = matches!(error, DatabaseError::Unavailable(_)) && std::ptr::eq(dialect, &SQLITE);
        if !busy || Instant::now() + BUSY_PAUSE > deadline {
            return Err(error);
        }
        sleep(BUSY_PAUSE).await;
    }
}

/// Brings the schema up to date, alone: on PostgreSQL under the migrator's advisory lock, on SQLite inside a transaction
/// that holds the write lock from its start (the migrator's own transactions nest in it).
async fn migrate(mut connection: AnyConnection, dialect: &Dialect, migrations: &Migrator) -> Result<(), DatabaseError> {
    let on_open = |error| error::on_open(&error);
    sqlx::raw_sql(AssertSqlSafe(dialect.migration_setup)).execute(&mut connection).await.map_err(on_open)?;
    if std::ptr::eq(dialect, &SQLITE) {
        let mut transaction = connection.begin_with(SQLITE.begin).await.map_err(on_open)?;
        run(migrations, &mut transaction).await?;
        transaction.commit().await.map_err(on_open)?;
    } else {
        run(migrations, &mut connection).await?;
    }
    // The work is done; a goodbye that fails changes nothing.
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "closing the connection of the migrations");
    }
    Ok(())
}

async fn run(migrations: &Migrator, connection: &mut AnyConnection) -> Result<(), DatabaseError> {
    migrations.run_direct(None, connection, false).await.map_err(|error| error::on_migrate(&error))
}

/// Names the file of the authorities, unless the URL does.
fn postgres_url(url: &str, ca: Option<&Path>) -> Result<String, DatabaseError> {
    const NAMES: [&str; 3] = ["sslrootcert", "ssl-root-cert", "ssl-ca"];
    let Some(ca) = ca else { return Ok(url.to_owned()) };
    let mut url = Url::parse(url).map_err(|error| DatabaseError::Invalid(format!("URL: {error}")))?;
    if !url.query_pairs().any(|(name, _)| NAMES.contains(&&*name)) {
        let ca = ca.to_str().ok_or_else(|| DatabaseError::Invalid("the path of tls.ca is not text".into()))?;
        url.query_pairs_mut().append_pair("sslrootcert", ca);
    }
    Ok(url.into())
}

/// Makes the folder, and a URL in which every character of the path is safe.
async fn sqlite_url(path: &str) -> Result<String, DatabaseError> {
    let path = Path::new(path.strip_prefix("//").unwrap_or(path));
    let (Some(name), Some(folder)) = (path.file_name().and_then(|name| name.to_str()), path.parent()) else {
        return Err(DatabaseError::Invalid("sqlite: wants the path of a file".into()));
    };
    if name.starts_with(':') || name.contains('?') {
        return Err(DatabaseError::Invalid("sqlite: wants the path of a file, without parameters".into()));
    }
    let path = match absolute(folder).await {
        Ok(folder) => folder.join(name),
        Err(error) => {
            let text = format!("folder {}: {error}", folder.display());
            return Err(match error.kind() {
                std::io::ErrorKind::StorageFull => DatabaseError::Unavailable(text),
                _ => DatabaseError::Invalid(text),
            });
        }
    };
    Ok(format!("sqlite:{}?mode=rwc", percent_encoded(&path.to_string_lossy())))
}

async fn absolute(folder: &Path) -> std::io::Result<PathBuf> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    tokio::fs::create_dir_all(folder).await?;
    tokio::fs::canonicalize(folder).await
}

fn percent_encoded(path: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn an_odd_path_is_that_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b/ü%20#1/symphony.db");
        let database = open(&format!("sqlite:{}", path.display()), None).await.unwrap();
        database.ping().await.unwrap();
        assert!(path.is_file());
        database.close().await;
    }

    #[tokio::test]
    async fn a_url_that_cannot_be_used_is_invalid_and_a_server_that_is_away_unavailable() {
        for url in
            ["", "mysql://localhost/x", "sqlite:", "sqlite::memory:", "sqlite:/", "postgres://[oops", "sqlite:a?b=c"]
        {
            assert!(matches!(open(url, None).await, Err(DatabaseError::Invalid(_))), "{url}");
        }
        let start = Instant::now();
        // A port that was free a moment ago refuses.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = open(&format!("postgres://user:hunter2@127.0.0.1:{port}/x"), None).await.unwrap_err();
        assert!(matches!(error, DatabaseError::Unavailable(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn the_file_of_the_authorities_joins_the_url_unless_it_names_one() {
        let ca = Some(Path::new("/etc/a b.pem"));
        let url = |url: &str| postgres_url(url, ca).unwrap();
        assert_eq!(
            url("postgres://u:p%40@h/d?sslmode=verify-full"),
            "postgres://u:p%40@h/d?sslmode=verify-full&sslrootcert=%2Fetc%2Fa+b.pem"
        );
        assert_eq!(url("postgres://h/d?sslrootcert=/own.pem"), "postgres://h/d?sslrootcert=/own.pem");
        assert_eq!(postgres_url("postgres://h/d", None).unwrap(), "postgres://h/d");
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_unavailable_within_seconds() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let start = Instant::now();
        let error = open(&format!("postgres://{}/x", listener.local_addr().unwrap()), None).await.unwrap_err();
        assert!(matches!(error, DatabaseError::Unavailable(_)), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_invalid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "dear diary, ".repeat(1000)).unwrap();
        let error = open(&format!("sqlite:{}", path.display()), None).await.unwrap_err();
        assert!(matches!(error, DatabaseError::Invalid(_)), "{error}");
        assert!(std::fs::read_to_string(path).unwrap().starts_with("dear diary"));
    }

    #[tokio::test]
    async fn the_debug_output_shows_nothing_of_the_url() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&format!("sqlite:{}", folder.path().join("s.db").display()), None).await.unwrap();
        assert_eq!(format!("{database:?}"), "Database { .. }");
    }
}
