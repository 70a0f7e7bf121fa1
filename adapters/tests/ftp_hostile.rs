//! The FTP client against servers that stall, lie and flood.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{net::SocketAddr, time::Duration};

use symphony_adapters::ftp::{FtpClient, FtpError, FtpSettings, Security};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// What a server does when asked for data.
#[derive(Clone, Copy, PartialEq)]
enum Data {
    /// Sends this and closes.
    Sends(&'static str),
    /// Sends without end.
    Floods,
    /// Accepts and keeps quiet.
    Stalls,
}

#[derive(Clone, Copy)]
struct Script {
    greets: bool,
    features: &'static str,
    /// Reply to EPSV, instead of a port.
    epsv: Option<&'static str>,
    /// Reply to SIZE; none: never.
    size: Option<&'static str>,
    data: Data,
}

const HONEST: Script = Script {
    greets: true,
    features: "211-Features\r\n EPSV\r\n MLSD\r\n211 End\r\n",
    epsv: None,
    size: Some("213 5\r\n"),
    data: Data::Sends("type=file;size=5;modify=20261123180500; a\r\n"),
};

async fn start(script: Script) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, script));
        }
    });
    address
}

async fn converse(stream: TcpStream, script: Script) -> Option<()> {
    let mut control = BufReader::new(stream);
    if script.greets {
        control.write_all(b"220 ready\r\n").await.ok()?;
    }
    let mut passive = None;
    loop {
        let mut line = String::new();
        if control.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let reply = match line.split_whitespace().next()? {
            "USER" => "331 password\r\n",
            "PASS" => "230 welcome\r\n",
            "FEAT" => script.features,
            "PWD" => "257 \"/\"\r\n",
            "EPSV" if script.epsv.is_some() => script.epsv?,
            "EPSV" | "PASV" => {
                let listener = TcpListener::bind("127.0.0.1:0").await.ok()?;
                let port = listener.local_addr().ok()?.port();
                passive = Some(listener);
                // The address is somebody else's.
                let reply = match line.starts_with("EPSV") {
                    true => format!("229 passive (|||{port}|)\r\n"),
                    false => format!("227 passive (192,0,2,1,{},{})\r\n", port / 256, port % 256),
                };
                control.write_all(reply.as_bytes()).await.ok()?;
                continue;
            }
            "MLSD" | "LIST" | "RETR" => {
                let (mut data, _) = passive.take()?.accept().await.ok()?;
                control.write_all(b"150 here it comes\r\n").await.ok()?;
                match script.data {
                    Data::Sends(text) => data.write_all(text.as_bytes()).await.ok()?,
                    Data::Floods => while data.write_all(&[b'x'; 65536]).await.is_ok() {},
                    Data::Stalls => std::future::pending().await,
                }
                "226 done\r\n"
            }
            "SIZE" => match script.size {
                Some(reply) => reply,
                None => continue,
            },
            _ => "250 fine\r\n",
        };
        let reply = if line.starts_with("TYPE") { "200 binary\r\n" } else { reply };
        control.write_all(reply.as_bytes()).await.ok()?;
    }
}

async fn connect(script: Script) -> Result<FtpClient, FtpError> {
    FtpClient::connect(&FtpSettings {
        address: start(script).await.to_string(),
        user: "symphony".to_owned(),
        password: "secret".to_owned(),
        security: Security::Plain,
        timeout: Duration::from_secs(2),
    })
    .await
}

#[tokio::test]
async fn a_silent_server_costs_one_timeout() {
    let connected = timeout(Duration::from_secs(30), connect(Script { greets: false, ..HONEST })).await;
    assert!(matches!(connected, Ok(Err(FtpError::Timeout("greeting")))));
}

#[tokio::test]
async fn a_late_reply_is_never_taken_for_the_answer_to_the_next_command() {
    let mut client = connect(Script { size: None, ..HONEST }).await.unwrap();
    assert!(matches!(client.download("/a", 10).await, Err(FtpError::Timeout("SIZE"))));
    assert!(matches!(client.download("/a", 10).await, Err(FtpError::Closed)));
}

#[tokio::test]
async fn a_call_that_was_given_up_ends_the_connection() {
    let mut client = connect(Script { size: None, ..HONEST }).await.unwrap();
    assert!(timeout(Duration::from_millis(50), client.download("/a", 10)).await.is_err());
    assert!(matches!(client.list("/").await, Err(FtpError::Closed)));
}

#[tokio::test]
async fn a_stalled_transfer_times_out() {
    let mut client = connect(Script { data: Data::Stalls, ..HONEST }).await.unwrap();
    assert!(matches!(client.list("/").await, Err(FtpError::Timeout("listing"))));
}

#[tokio::test]
async fn an_endless_listing_is_cut_off() {
    let mut client = connect(Script { data: Data::Floods, ..HONEST }).await.unwrap();
    assert!(matches!(client.list("/").await, Err(FtpError::TooLarge { .. })));
}

#[tokio::test]
async fn a_file_that_outgrows_its_announced_size_is_cut_off_at_the_bound() {
    let mut client = connect(Script { data: Data::Floods, ..HONEST }).await.unwrap();
    assert!(matches!(client.download("/a", 1_000_000).await, Err(FtpError::TooLarge { size_max: 1_000_000, .. })));
}

#[tokio::test]
async fn a_file_of_another_size_than_announced_is_not_delivered() {
    let mut client = connect(Script { data: Data::Sends("hell"), ..HONEST }).await.unwrap();
    let error = client.download("/a", 100).await.unwrap_err();
    assert!(matches!(error, FtpError::Incomplete { expected: 5, actual: 4, .. }), "{error}");
}

#[tokio::test]
async fn data_comes_from_the_server_and_not_from_the_address_it_names() {
    let mut client = connect(Script { features: "211 none\r\n211 End\r\n", ..HONEST }).await.unwrap();
    assert!(client.list("/").await.unwrap().is_empty());
    let mut client = connect(Script { data: Data::Sends("hello"), features: "500 what\r\n", ..HONEST }).await.unwrap();
    assert_eq!(client.download("/a", 5).await.unwrap(), b"hello");
}

#[tokio::test]
async fn a_server_without_epsv_is_asked_for_pasv() {
    let mut client = connect(Script { epsv: Some("500 unknown\r\n"), ..HONEST }).await.unwrap();
    let files = client.list("/").await.unwrap();
    assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["/a"]);
    assert_eq!(files[0].modified_at_ms, 1_795_457_100_000);
}
