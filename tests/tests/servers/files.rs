//! The FTP client against vsftpd, which knows no MLSD; and against names that try what they can, with our own server, too.

use std::{fs, future::Future, time::Duration};

use libtest_mimic::Trial;
use symphony_adapters::ftp::{FtpClient, FtpError, FtpSettings, RemoteFile, Security, StableFiles};
use symphony_tests::servers::{files::FileServer, trial, vsftpd::Vsftpd};

use crate::PROGRAM;

pub(crate) fn trials() -> Vec<Trial> {
    let vsftpd = |name: &str, test: fn()| trial(name, &[Vsftpd::PROGRAM], test);
    vec![
        vsftpd("files::an_uploaded_file_is_listed_and_comes_back_the_same", round_trip),
        vsftpd("files::an_upload_replaces_the_file_and_leaves_no_part", replace),
        vsftpd("files::hidden_unfinished_and_hostile_names_are_not_listed::vsftpd", || {
            hostile_names(&FileServer::vsftpd());
        }),
        trial("files::hidden_unfinished_and_hostile_names_are_not_listed::own", &[], || {
            hostile_names(&FileServer::own(PROGRAM));
        }),
        vsftpd("files::a_growing_file_is_not_fetched_before_it_holds_still", stable),
        vsftpd("files::a_missing_folder_and_an_oversized_file_are_errors_the_connection_survives", errors),
        vsftpd("files::a_stranger_is_refused", stranger),
    ]
}

fn settings(server: &Vsftpd) -> FtpSettings {
    FtpSettings {
        address: server.address().to_string(),
        user: Vsftpd::USER.to_owned(),
        password: "any".to_owned(),
        security: Security::Plain,
        timeout: Duration::from_secs(10),
    }
}

async fn connect(server: &Vsftpd) -> FtpClient {
    FtpClient::connect(&settings(server)).await.unwrap()
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

fn names(files: &[RemoteFile]) -> Vec<&str> {
    let mut names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    names
}

fn round_trip() {
    let server = Vsftpd::start();
    block_on(async {
        let mut client = connect(&server).await;
        let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let path = client.upload("out/to day", "items ü.csv", &content).await.unwrap();
        let local = server.home().join("out/to day/items ü.csv");
        assert_eq!(path, local.to_str().unwrap());

        let files = client.list("out/to day").await.unwrap();
        assert_eq!(names(&files), ["items ü.csv"]);
        let modified = fs::metadata(&local).unwrap().modified().unwrap();
        let modified_s = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(files[0].modified_at_ms, i64::try_from(modified_s).unwrap() * 1000);
        assert_eq!((files[0].path.as_str(), files[0].size), (path.as_str(), 1_200_000));
        assert_eq!(client.download(&path, 1_200_000).await.unwrap(), content);
        client.quit().await;
    });
}

fn replace() {
    let server = Vsftpd::start();
    block_on(async {
        let mut client = connect(&server).await;
        client.upload("", "a", b"the first version").await.unwrap();
        client.upload("", "a", b"second").await.unwrap();
    });
    assert_eq!(fs::read(server.home().join("a")).unwrap(), b"second");
    assert_eq!(fs::read_dir(server.home()).unwrap().count(), 1);
}

fn hostile_names(server: &FileServer) {
    let long = "x".repeat(255);
    let good = ["good", "-la", "*", "e\u{301}té \u{1f4e6}", "\u{202e}gnp.exe", long.as_str()];
    let injected = "one\r\n-rw-r--r--    1 0        0               5 Nov 23  2025 injected";
    let injected_facts = "one\r\ntype=file;size=5;modify=20251123000000; injected";
    let mut bad = vec![".hidden", ".a.part", "b.part", "back\\slash", "bell\u{7}", "new\nline", "...", "..a"];
    bad.extend([injected, injected_facts]);
    for name in good.iter().chain(&bad) {
        fs::write(server.home().join(name), name).unwrap();
    }
    let not_utf8 = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff\xfe");
    fs::write(server.home().join(not_utf8), "").unwrap();
    fs::create_dir(server.home().join("folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", server.home().join("link")).unwrap();
    block_on(async {
        let mut client = server.connect().await;
        let files = client.list("").await.unwrap();
        let mut expected = good.to_vec();
        expected.sort_unstable();
        assert_eq!(names(&files), expected);
        for file in files {
            assert_eq!(client.download(&file.path, 300).await.unwrap(), file.name.as_bytes());
        }
    });
}

fn stable() {
    let server = Vsftpd::start();
    let local = server.home().join("a");
    block_on(async {
        let (mut client, mut stable) = (connect(&server).await, StableFiles::new());
        fs::write(&local, "half").unwrap();
        assert!(stable.look(client.list("").await.unwrap()).is_empty());
        fs::write(&local, "half and half").unwrap();
        assert!(stable.look(client.list("").await.unwrap()).is_empty());
        assert_eq!(names(&stable.look(client.list("").await.unwrap())), ["a"]);
    });
}

fn errors() {
    let server = Vsftpd::start();
    fs::write(server.home().join("a"), [7; 1000]).unwrap();
    block_on(async {
        let mut client = connect(&server).await;
        assert!(matches!(client.list("nowhere").await, Err(FtpError::FolderMissing(_))));
        assert!(matches!(client.download("a", 999).await, Err(FtpError::TooLarge { size_max: 999, .. })));
        assert!(matches!(client.download("b", 999).await, Err(FtpError::Refused { code: 550, .. })));
        assert_eq!(client.download("a", 1000).await.unwrap().len(), 1000);
    });
}

fn stranger() {
    let server = Vsftpd::start();
    let settings = FtpSettings { user: "symphony".to_owned(), ..settings(&server) };
    block_on(async {
        assert!(matches!(FtpClient::connect(&settings).await, Err(FtpError::Login(_))));
    });
}
