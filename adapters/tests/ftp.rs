//! The FTP client against our own FTP server.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use symphony_adapters::{
    ftp::{FtpClient, FtpError, FtpSettings, RemoteFile, Security},
    ftp_server::{FtpServer, FtpServerError, FtpServerSettings},
};
use tokio::{net::TcpListener, time};
use tokio_util::sync::CancellationToken;

/// A running server on a folder of its own.
struct Running {
    folder: tempfile::TempDir,
    address: SocketAddr,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start() -> Self {
        Self::with_password("secret").await
    }

    async fn with_password(password: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = FtpServer::bind(settings(&folder.path().join("root"), password)).await.unwrap();
        let (address, shutdown) = (server.local_address(), CancellationToken::new());
        let task = tokio::spawn(server.serve(shutdown.clone()));
        Self { folder, address, shutdown, task }
    }

    fn client(&self) -> FtpSettings {
        FtpSettings {
            address: self.address.to_string(),
            user: "symphony".to_owned(),
            password: "secret".to_owned(),
            security: Security::Plain,
            timeout: Duration::from_secs(10),
        }
    }

    async fn connect(&self) -> FtpClient {
        FtpClient::connect(&self.client()).await.unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("root").join(name)
    }
}

fn settings(root: &Path, password: &str) -> FtpServerSettings {
    FtpServerSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        root: root.to_owned(),
        user: "symphony".to_owned(),
        password: password.to_owned(),
        passive_ports: 0..=0,
        idle_timeout: FtpServerSettings::IDLE_TIMEOUT,
    }
}

fn names(files: &[RemoteFile]) -> Vec<&str> {
    let mut names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn an_uploaded_file_is_listed_and_comes_back_the_same() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();

    let path = client.upload("/out/today", "items ü.csv", &content).await.unwrap();
    assert_eq!(path, "/out/today/items ü.csv");
    let files = client.list("/out/today").await.unwrap();
    assert_eq!(names(&files), ["items ü.csv"]);
    assert_eq!(files[0].path, path);
    assert_eq!(files[0].size, 1_200_000);
    let age_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap() - files[0].modified_at_ms;
    assert!((-2_000..60_000).contains(&age_ms), "{age_ms}");
    assert_eq!(client.download(&path, 1_200_000).await.unwrap(), content);
    client.quit().await;
}

#[tokio::test]
async fn an_upload_replaces_the_file_and_leaves_no_part() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    client.upload("/", "a", b"the first version").await.unwrap();
    client.upload("/", "a", b"second").await.unwrap();
    assert_eq!(std::fs::read(server.path("a")).unwrap(), b"second");
    assert_eq!(std::fs::read_dir(server.path("")).unwrap().count(), 1);
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let path = client.upload("/", "empty", b"").await.unwrap();
    assert_eq!(client.list("/").await.unwrap()[0].size, 0);
    assert!(client.download(&path, 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_download_beyond_the_bound_is_refused_and_the_connection_goes_on() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let path = client.upload("/", "a", &[7; 1000]).await.unwrap();
    assert!(matches!(client.download(&path, 999).await, Err(FtpError::TooLarge { size_max: 999, .. })));
    assert_eq!(client.download(&path, 1000).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn hidden_unfinished_and_hostile_names_are_not_listed() {
    let server = Running::start().await;
    for name in [".hidden", ".a.part", "b.part", "back\\slash", "bell\u{7}", "line\nbreak", "good"] {
        std::fs::write(server.path(name), name).unwrap();
    }
    std::fs::create_dir(server.path("folder")).unwrap();
    let files = server.connect().await.list("/").await.unwrap();
    assert_eq!(names(&files), ["good"]);
}

#[tokio::test]
async fn a_missing_folder_is_told_from_an_empty_one() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    assert!(matches!(client.list("/nowhere").await, Err(FtpError::FolderMissing(folder)) if folder == "/nowhere"));
    assert!(client.list("/").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_not_uploaded() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    for name in ["../a", "a/b", "", "a\r\nDELE b", ".a"] {
        assert!(matches!(client.upload("/", name, b"x").await, Err(FtpError::Name { .. })), "{name:?}");
    }
    assert!(matches!(client.download("/../etc/passwd", 1000).await, Err(FtpError::Name { .. })));
    client.upload("/", "a", b"x").await.unwrap();
}

#[tokio::test]
async fn wrong_passwords_and_anonymous_users_are_refused() {
    let server = Running::start().await;
    for (user, password) in [("symphony", "wrong"), ("symphony", ""), ("anonymous", "a@example.org")] {
        let settings = FtpSettings { user: user.to_owned(), password: password.to_owned(), ..server.client() };
        let error = FtpClient::connect(&settings).await.unwrap_err();
        assert!(matches!(error, FtpError::Login(_)), "{user:?}: {error}");
    }
}

#[tokio::test]
async fn without_a_password_nobody_gets_in() {
    let server = Running::with_password("").await;
    let settings = FtpSettings { password: String::new(), ..server.client() };
    assert!(matches!(FtpClient::connect(&settings).await, Err(FtpError::Login(_))));
}

#[tokio::test]
async fn a_taken_address_is_an_error() {
    let server = Running::start().await;
    let folder = tempfile::tempdir().unwrap();
    let taken = FtpServerSettings { listen: server.address, ..settings(folder.path(), "secret") };
    let error = FtpServer::bind(taken).await.unwrap_err();
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
}

#[tokio::test]
async fn a_root_that_cannot_be_a_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("file");
    std::fs::write(&root, "").unwrap();
    assert!(matches!(FtpServer::bind(settings(&root, "secret")).await, Err(FtpServerError::Root { .. })));
}

#[tokio::test]
async fn shutdown_ends_the_sessions_and_frees_the_port() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    server.shutdown.cancel();
    time::timeout(Duration::from_secs(10), server.task).await.unwrap().unwrap();
    assert!(client.list("/").await.is_err());
    assert!(matches!(client.list("/").await, Err(FtpError::Closed)));
    TcpListener::bind(server.address).await.unwrap();
}
