//! Transfers to and from vsftpd, and our own file server, that something gets in the way of.

use std::{
    fmt::Debug,
    fs,
    future::Future,
    io::Write as _,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use libtest_mimic::Trial;
use symphony_adapters::ftp::FtpError;
use symphony_tests::servers::{disk, files::FileServer, trial, vsftpd::Vsftpd};
use tokio::time::timeout;

use crate::PROGRAM;

/// Bytes of a disk that is soon full.
const DISK_SIZE: usize = 3 << 20;

type Test<F> = fn(FileServer) -> F;

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_both("a_file_that_grows_while_it_is_read_is_not_delivered", a_file_that_grows),
        on_both("a_file_that_is_rewritten_while_it_is_read_is_not_delivered", a_file_rewritten),
        on_both("a_server_that_dies_in_mid_download_delivers_nothing", dies_in_mid_download),
        on_both("a_server_that_dies_in_mid_upload_keeps_the_old_file_whole", dies_in_mid_upload),
        on_full_disks("a_full_disk_at_the_far_end_is_an_error_and_loses_nothing_that_was_there"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A test with each server, for which a large file is under way for long enough.
fn on_both<F: Future<Output = ()> + 'static>(name: &str, test: Test<F>) -> [Trial; 2] {
    [
        trial(&format!("transfers::{name}::vsftpd"), &[Vsftpd::PROGRAM], move || run(test(FileServer::slow_vsftpd()))),
        trial(&format!("transfers::{name}::own"), &[], move || run(test(FileServer::own(PROGRAM)))),
    ]
}

fn on_full_disks(name: &str) -> [Trial; 2] {
    let vsftpd = disk::trial(&format!("transfers::{name}::vsftpd"), &[Vsftpd::PROGRAM], || {
        run(full_disk(FileServer::Vsftpd(Vsftpd::start_with_disk_of(DISK_SIZE))));
    });
    let own = disk::trial(&format!("transfers::{name}::own"), &[], || {
        run(full_disk(FileServer::own_with_disk_of(PROGRAM, DISK_SIZE)));
    });
    [vsftpd, own]
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

/// Lets a transfer go on until it has begun, and not to its end.
async fn in_mid_flight<T: Debug>(transfer: &mut (impl Future<Output = T> + Unpin), has_begun: impl Fn() -> bool) {
    while !has_begun() {
        if let Ok(ended) = timeout(Duration::from_millis(1), &mut *transfer).await {
            panic!("it has ended before it was seen: {ended:?}");
        }
    }
}

fn content(server: &FileServer) -> Vec<u8> {
    (0..u32::try_from(server.large() / 4).unwrap()).flat_map(u32::to_le_bytes).collect()
}

/// A large file of an hour ago.
fn put(server: &FileServer) -> (PathBuf, String) {
    let local = server.home().join("a");
    fs::write(&local, content(server)).unwrap();
    let file = fs::File::options().write(true).open(&local).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    (local, server.path("a"))
}

/// Size of a download, without its bytes: a test that fails says what it was.
fn size_of(result: Result<Vec<u8>, FtpError>) -> Result<usize, FtpError> {
    result.map(|content| content.len())
}

async fn a_file_that_grows(server: FileServer) {
    let (local, path) = put(&server);
    let mut client = server.connect().await;
    let size_max = 2 * server.large() as u64;
    {
        let mut download = Box::pin(async { size_of(client.download(&path, size_max).await) });
        in_mid_flight(&mut download, || server.is_sending(&local)).await;
        fs::File::options().append(true).open(&local).unwrap().write_all(b"more").unwrap();
        // One server sends what was there when it began, the other what is there when it comes to the end.
        let error = download.await.unwrap_err();
        assert!(matches!(error, FtpError::Incomplete { .. } | FtpError::Changed(_)), "{error}");
    }
    // It has stopped growing, and the connection is none the worse.
    assert!(client.download(&path, size_max).await.unwrap() == fs::read(&local).unwrap());
}

async fn a_file_rewritten(server: FileServer) {
    let (local, path) = put(&server);
    let mut client = server.connect().await;
    let size = server.large();
    {
        let mut download = Box::pin(async { size_of(client.download(&path, size as u64).await) });
        in_mid_flight(&mut download, || server.is_sending(&local)).await;
        fs::File::options().write(true).open(&local).unwrap().write_all(&vec![7; size]).unwrap();
        let error = download.await.unwrap_err();
        assert!(matches!(&error, FtpError::Changed(changed) if *changed == path), "{error}");
    }
    assert!(client.download(&path, size as u64).await.unwrap() == vec![7; size]);
}

async fn dies_in_mid_download(mut server: FileServer) {
    let (local, path) = put(&server);
    let mut client = server.connect().await;
    let size = server.large() as u64;
    {
        let mut download = Box::pin(async { size_of(client.download(&path, size).await) });
        in_mid_flight(&mut download, || server.is_sending(&local)).await;
        server.stop();
        let error = download.await.unwrap_err();
        let lost = matches!(error, FtpError::Connection { .. } | FtpError::Incomplete { .. } | FtpError::Protocol(_));
        assert!(lost, "{error:?}");
    }
    assert!(matches!(client.list("").await, Err(FtpError::Closed | FtpError::Connection { .. })));
    server.restart();
    assert!(server.connect().await.download(&path, size).await.unwrap() == content(&server));
}

async fn dies_in_mid_upload(mut server: FileServer) {
    let (whole, part) = (server.home().join("a"), server.home().join(".a.part"));
    fs::write(&whole, "as it was").unwrap();
    let content = content(&server);
    {
        let mut client = server.connect().await;
        let mut upload = Box::pin(client.upload("", "a", &content));
        in_mid_flight(&mut upload, || fs::metadata(&part).is_ok_and(|part| part.len() > 0)).await;
        server.stop();
        upload.await.unwrap_err();
    }
    assert_eq!(fs::read(&whole).unwrap(), b"as it was");
    server.restart();
    let mut client = server.connect().await;
    let files = client.list("").await.unwrap();
    assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["a"], "what is unfinished is hidden");
    client.upload("", "a", &content).await.unwrap();
    assert!(fs::read(&whole).unwrap() == content);
    assert!(!part.exists(), "the part that was left over has become the file");
}

async fn full_disk(server: FileServer) {
    let mut client = server.connect().await;
    let kept = client.upload("", "kept", b"as it was").await.unwrap();
    let too_much = vec![7; 2 * DISK_SIZE];
    for name in ["big", "kept"] {
        let error = client.upload("", name, &too_much).await.unwrap_err();
        assert!(!matches!(error, FtpError::Timeout(_)), "{error}");
        // However the server said it, the next connection works.
        client = server.connect().await;
    }
    let files = client.list("").await.unwrap();
    assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["kept"]);
    assert_eq!(client.download(&kept, 100).await.unwrap(), b"as it was");
    let fits = vec![7; DISK_SIZE / 2];
    let path = client.upload("", "fits", &fits).await.unwrap();
    assert!(client.download(&path, DISK_SIZE as u64).await.unwrap() == fits);
}
