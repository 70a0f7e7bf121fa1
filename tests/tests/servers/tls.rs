//! TLS on every hop: the whole pipeline encrypted, and on each hop the three servers that must be refused.

use std::{fmt::Display, time::Duration};

use libtest_mimic::Trial;
use sqlx::{Connection as _, PgConnection};
use symphony::{config, shop};
use symphony_adapters::{
    broker::{self, BrokerError},
    database::Database,
    ftp::{FtpClient, FtpSettings, Security},
    ftp_server::{FtpServer, FtpServerSettings},
    http::{Health, Listener, WebClient, operations, serve},
    smtp::{MailSettings, Mailer, OutgoingMail},
    tls::Tls,
};
use symphony_tests::{
    cluster::{Cluster, GRACE, programs},
    servers::{
        certificates::{Certificate, Certificates},
        free_port, postgres,
        postgres::Postgres,
        rabbitmq,
        rabbitmq::RabbitMq,
        smtp::SmtpServer,
        trial,
        vsftpd::Vsftpd,
    },
    symphony::{Symphony, Visitor, until},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::PROGRAM;

const PRODUCTS: usize = 30;

pub(crate) fn trials() -> Vec<Trial> {
    let all = programs(&[Vsftpd::PROGRAM, SmtpServer::PROGRAM]);
    vec![
        trial("tls::items_flow_from_scraper_to_database_with_tls_on_every_hop", &all, || run(pipeline())),
        trial("tls::amqps_refuses_three_servers", rabbitmq::PROGRAMS, || run(amqps())),
        trial("tls::postgresql_refuses_three_servers", postgres::PROGRAMS, || run(postgresql())),
        trial("tls::ftps_refuses_three_servers", &[Vsftpd::PROGRAM], || run(ftps())),
        trial("tls::starttls_refuses_three_servers", &[SmtpServer::PROGRAM], || {
            run(mails("smtp", SmtpServer::start_with_tls));
        }),
        trial("tls::smtps_refuses_three_servers", &[SmtpServer::PROGRAM], || {
            run(mails("smtps", SmtpServer::start_with_wrapped_tls));
        }),
        trial("tls::https_refuses_three_servers", &[], || run(https())),
        trial("tls::the_own_file_server_takes_files_by_ftps_only", &[], || run(own_file_server())),
    ]
}

fn run(test: impl Future<Output = ()>) {
    symphony_adapters::tls::install_provider();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

/// The server certified for `localhost` alone is called by that name, and then by its address.
fn assert_wrong_name(error: &impl Display) {
    let error = error.to_string();
    let expected = "wrong name: the server's certificate is for localhost, not for 127.0.0.1; use such a name, or give the \
                    server a certificate for 127.0.0.1";
    assert!(error.contains(expected), "{error}");
}

fn assert_wrong_authority(error: &impl Display) {
    let error = error.to_string();
    assert!(error.contains("wrong authority: none that we trust has made the server's certificate"), "{error}");
    assert!(error.contains("tls.ca"), "{error}");
}

fn assert_expired(error: &impl Display) {
    let error = error.to_string();
    assert!(error.contains("expired: the server's certificate ended at 2021-01-01 00:00 UTC; renew it"), "{error}");
}

async fn amqps() {
    let (trusted, stranger) = (Certificates::new(), Certificates::new());
    let mut server = RabbitMq::new();
    server.certify(&trusted.nameless());
    server.start();
    let attempt = async |host: &str, tls: &Tls| {
        let broker = broker::open_over(&server.tls_url(host), "items", tls).await.unwrap();
        let result = until("an attempt to connect", || async {
            match broker.health() {
                Err(BrokerError::Disconnected(reason)) if reason == "connecting" => None,
                result => Some(result),
            }
        })
        .await;
        broker.close().await;
        result
    };
    // On a busy machine the first attempt may take too long.
    let broker = broker::open_over(&server.tls_url("localhost"), "items", &trusted.client()).await.unwrap();
    until("a connection", || async { broker.health().ok() }).await;
    broker.close().await;
    assert_wrong_name(&attempt("127.0.0.1", &trusted.client()).await.unwrap_err());
    assert_wrong_authority(&attempt("localhost", &stranger.client()).await.unwrap_err());
    server.stop();
    server.certify(&trusted.expired());
    server.start();
    let broker = broker::open_over(&server.tls_url("localhost"), "items", &trusted.client()).await.unwrap();
    let error = until("an attempt to connect", || async {
        broker.health().err().filter(|error| !error.to_string().contains("connecting"))
    })
    .await;
    assert_expired(&error);
    broker.close().await;
}

async fn postgresql() {
    let (trusted, stranger) = (Certificates::new(), Certificates::new());
    let mut server = Postgres::start();
    let url = server.create_database() + "?sslmode=verify-full";
    let localhost = url.replace("127.0.0.1", "localhost");
    server.certify(&trusted.nameless());
    let attempt = async |url: &str, tls: Tls| Database::open_over(url, &tls).await;
    attempt(&localhost, trusted.client()).await.unwrap().close().await;
    assert_wrong_name(&attempt(&url, trusted.client()).await.unwrap_err());
    assert_wrong_authority(&attempt(&localhost, stranger.client()).await.unwrap_err());
    server.certify(&trusted.expired());
    assert_expired(&attempt(&localhost, trusted.client()).await.unwrap_err());
}

async fn ftps() {
    let (trusted, stranger) = (Certificates::new(), Certificates::new());
    let attempt = async |server: &Vsftpd, host: &str, security: Security| {
        let settings = FtpSettings {
            address: format!("{host}:{}", server.address().port()),
            user: Vsftpd::USER.to_owned(),
            password: "any".to_owned(),
            security,
            timeout: FtpSettings::TIMEOUT,
        };
        FtpClient::connect(&settings).await.map(drop)
    };
    let over = |certificates: &Certificates| Security::Explicit(certificates.client().client());
    let server = Vsftpd::start_with_tls(&trusted.nameless());
    attempt(&server, "localhost", over(&trusted)).await.unwrap();
    attempt(&server, "localhost", Security::Plain).await.unwrap_err();
    assert_wrong_name(&attempt(&server, "127.0.0.1", over(&trusted)).await.unwrap_err());
    assert_wrong_authority(&attempt(&server, "localhost", over(&stranger)).await.unwrap_err());
    let server = Vsftpd::start_with_tls(&trusted.expired());
    assert_expired(&attempt(&server, "localhost", over(&trusted)).await.unwrap_err());
}

async fn mails(scheme: &str, start: fn(&Certificate) -> SmtpServer) {
    let (trusted, stranger) = (Certificates::new(), Certificates::new());
    let attempt = async |server: &SmtpServer, host: &str, tls: Tls| {
        let settings = MailSettings {
            // Without a password, mail to this machine need not be encrypted.
            url: format!(
                "{scheme}://{host}:{}{}",
                server.address().port(),
                if scheme == "smtp" { "?tls=required" } else { "" }
            ),
            from: "symphony@example.org".to_owned(),
            to: vec!["ops@example.org".to_owned()],
            timeout: MailSettings::TIMEOUT,
        };
        let mail = OutgoingMail { id: "row-1".to_owned(), subject: "Hello".to_owned(), text: "World\n".to_owned() };
        Mailer::over(&settings, &tls).unwrap().send(&mail).await
    };
    let server = start(&trusted.nameless());
    attempt(&server, "localhost", trusted.client()).await.unwrap();
    assert_wrong_name(&attempt(&server, "127.0.0.1", trusted.client()).await.unwrap_err());
    assert_wrong_authority(&attempt(&server, "localhost", stranger.client()).await.unwrap_err());
    assert_eq!(server.received().len(), 1, "no mail went to a server that was refused");
    let server = start(&trusted.expired());
    assert_expired(&attempt(&server, "localhost", trusted.client()).await.unwrap_err());
}

async fn https() {
    let (trusted, stranger) = (Certificates::new(), Certificates::new());
    let stop = CancellationToken::new();
    let start = async |certificate: Certificate| {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let tls = trusted.client().with_identity(certificate.identity());
        tokio::spawn(serve(Listener::new(socket, &tls), operations(&Health::new()), stop.clone()));
        port
    };
    let attempt = async |url: String, tls: Tls| WebClient::over(&tls, None).unwrap().leader(&url).await;
    let port = start(trusted.nameless()).await;
    let answer = Visitor::trusting(&trusted.ca()).get(&format!("https://localhost:{port}/healthz")).await;
    assert_eq!(answer.text().await.unwrap(), "alive\n");
    assert!(
        Visitor::new().try_get(&format!("http://localhost:{port}/healthz")).await.is_none(),
        "nothing in plain text"
    );
    let (localhost, address) = (format!("https://localhost:{port}"), format!("https://127.0.0.1:{port}"));
    assert_wrong_name(&attempt(address, trusted.client()).await.unwrap_err());
    assert_wrong_authority(&attempt(localhost, stranger.client()).await.unwrap_err());
    let port = start(trusted.expired()).await;
    assert_expired(&attempt(format!("https://localhost:{port}"), trusted.client()).await.unwrap_err());
    stop.cancel();
}

async fn own_file_server() {
    let certificates = Certificates::new();
    let folder = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let server = FtpServer::bind(FtpServerSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        root: folder.path().to_owned(),
        user: "symphony".to_owned(),
        password: "secret".to_owned(),
        passive_ports: 0..=0,
        idle_timeout: FtpServerSettings::IDLE_TIMEOUT,
    });
    let server = server.await.unwrap().with_identity(Some(certificates.good().identity()));
    let settings = |security| FtpSettings {
        address: server.local_address().to_string(),
        user: "symphony".to_owned(),
        password: "secret".to_owned(),
        security,
        timeout: FtpSettings::TIMEOUT,
    };
    let (plain, encrypted) = (settings(Security::Plain), settings(Security::Explicit(certificates.client().client())));
    let serving = tokio::spawn(server.serve(stop.clone()));
    FtpClient::connect(&plain).await.map(drop).unwrap_err();
    // On a busy machine libunftp may take the first bytes of TLS for a command; whoever is refused tries again, as the
    // manager does.
    let mut client = until("a session in TLS", async || FtpClient::connect(&encrypted).await.ok()).await;
    client.upload("/", "data.csv", b"a,b\n").await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("data.csv")).unwrap(), b"a,b\n");
    client.quit().await;
    stop.cancel();
    serving.await.unwrap();
}

async fn pipeline() {
    let certificates = Certificates::new();
    let good = certificates.good();
    let mut postgres = Postgres::start();
    let database = postgres.create_database();
    postgres.certify(&good);
    let (ftp, smtp) = (Vsftpd::start_with_tls(&good), SmtpServer::start_with_tls(&good));
    let mut broker = RabbitMq::new();
    broker.certify(&good);
    broker.start();
    let shop_address = format!("127.0.0.1:{}", free_port());
    let more = format!(
        "[tls]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n\n\
         [shop]\nlisten = \"{shop_address}\"\nproducts = {PRODUCTS}\n\n\
         [ftp]\naddress = \"{}\"\nuser = \"{}\"\npassword = \"any\"\nfolder = \"data\"\ntls = \"required\"\n\n\
         [mail]\nurl = \"smtp://{}?tls=required\"\nfrom = \"symphony@example.org\"\nto = [\"ops@example.org\"]\n",
        certificates.ca(),
        good.certificate,
        good.key,
        ftp.address(),
        Vsftpd::USER,
        smtp.address()
    );
    let site = config::Site { delay: Duration::ZERO, ..shop::site(&format!("https://{shop_address}")) };
    let encrypted = format!("{database}?sslmode=verify-full");
    let cluster = Cluster::over("https", PROGRAM, 1, &broker.tls_url("127.0.0.1"), &encrypted, &more, site);
    let mut roles: Vec<Symphony> = ["shop", "manager"].map(|role| cluster.start(role, &[])).into();
    roles.push(cluster.start_node(1));

    let visitor = Visitor::trusting(&certificates.ca());
    let web = &cluster.urls()[&1];
    for url in [web, &cluster.manager, &format!("https://{shop_address}")] {
        until(&format!("{url} to be ready"), || async {
            visitor.try_get(&format!("{url}/readyz")).await.filter(|answer| answer.status() == 200)
        })
        .await;
    }
    cluster.start_as("health", "health", &["manager"], &[]).succeed();
    cluster.start("scraper", &["--once"]).succeed();
    until("all items", || async { (visitor.items(web).await.len() == PRODUCTS).then_some(()) }).await;
    until("both files", || async {
        let page: serde_json::Value = visitor.try_json(&format!("{web}/v1/files")).await?;
        (page["rows"].as_array()?.len() == 2).then_some(())
    })
    .await;
    until("a mail", || async { (!smtp.received().is_empty()).then_some(()) }).await;

    // Who says so is the database itself.
    let mut session = PgConnection::connect(&database).await.unwrap();
    let query = "SELECT COUNT(*) FILTER (WHERE ssl), COUNT(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = current_database() \
                 AND client_addr IS NOT NULL AND pid <> pg_backend_pid()";
    let (encrypted, plain): (i64, i64) = sqlx::query_as(query).fetch_one(&mut session).await.unwrap();
    assert!(encrypted > 0 && plain == 0, "connections to the database: {encrypted} with TLS, {plain} without");
    session.close().await.unwrap();
    for role in &mut roles {
        role.stop(GRACE);
    }
}
