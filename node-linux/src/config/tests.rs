//! Promises of the configuration as a whole.

use proptest::prelude::*;

use super::{known, *};

const EXAMPLE: &str = include_str!("../../symphony.example.toml");

fn load_text(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("symphony.toml");
    std::fs::write(&path, text).unwrap();
    let loaded = Sources { file: Some(path.clone()), ..Sources::default() }.load();
    loaded.map(|loaded| loaded.config).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "FILE"))
}

fn set(key: &str, value: &str) -> Sources {
    let flag = format!("--set {key}");
    let setting = Setting { flag, key: key.to_owned(), value: value.to_owned() };
    Sources { file: Some("/dev/null".into()), settings: vec![setting], ..Sources::default() }
}

fn config(sources: &Sources) -> Config {
    sources.load().map_err(|error| error.to_string()).unwrap().config
}

#[test]
fn certificate_and_key_go_together() {
    for (key, other) in [("certificate", "tls.key"), ("key", "tls.certificate")] {
        let error = set(&format!("tls.{key}"), "/a").load().unwrap_err().to_string();
        assert!(error.contains(other), "{error}");
    }
}

#[test]
fn with_certificates_nothing_leaves_the_machine_unencrypted_by_default() {
    let load = |database: &str, ftp: &str, tls: &str| {
        load_text(&format!("[database]\nurl = \"postgres://u:hunter2@{database}\"\n[ftp]\n{ftp}\n[tls]\n{tls}"))
    };
    let (ca, verified, encrypted) = ("ca = \"/ca.pem\"", "db/s?sslmode=verify-full", "tls = \"required\"");
    let elsewhere = "address = \"files:21\"";
    for (database, ftp) in [
        (verified, encrypted),
        ("db/s?sslmode=disable", "address = \"files:21\"\ntls = \"none\""),
        ("127.0.0.1/s", "address = \"localhost:21\""),
        ("[::1]/s", "address = \"[::1]:21\""),
    ] {
        load(database, ftp, ca).unwrap();
    }
    for database in ["db/s", "db/s?sslmode=prefer", "db/s?sslmode=allow"] {
        load(database, elsewhere, "").unwrap();
        let error = load(database, encrypted, ca).unwrap_err();
        assert!(error.contains("database.url") && error.contains("sslmode=verify-full"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = load(verified, elsewhere, ca).unwrap_err();
    assert!(error.contains("ftp.tls") && error.contains("\"required\""), "{error}");
}

#[test]
fn the_example_is_the_default() {
    assert_eq!(load_text(EXAMPLE).unwrap(), Config::default());
}

#[test]
fn the_example_names_every_key_under_its_section() {
    for section in known::sections() {
        let (_, rest) = EXAMPLE.split_once(&format!("\n[{section}]\n")).expect(section);
        let body = rest.split("\n[").next().unwrap();
        for key in known::keys(section) {
            let shown = body.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
            assert!(shown, "{section}.{key}");
        }
    }
}

#[test]
fn the_commented_parts_of_the_example_work_and_name_every_key() {
    let indented = |line: &str| line.strip_prefix("#   ").map(str::to_owned);
    let members: Vec<_> = EXAMPLE.lines().filter_map(indented).take_while(|line| !line.starts_with("[[")).collect();
    let sites: Vec<_> = EXAMPLE.lines().filter_map(indented).skip_while(|line| !line.starts_with("[[")).collect();
    let config = load_text(&format!("[node]\n{}\n{}", members.join("\n"), sites.join("\n"))).unwrap();
    assert_eq!(config.node.members.len(), 3);
    assert_eq!(config.scraper.sites.len(), 1);
    let error = load_text("[[scraper.sites]]\nbad = 1").unwrap_err();
    let (_, keys) = error.lines().next().unwrap().split_once("the keys are ").expect(&error);
    for key in keys.split(", ").filter(|key| *key != "fields") {
        assert!(sites.iter().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = "))), "{key}");
    }
}

#[test]
fn what_is_shown_reads_back_as_the_same_configuration() {
    let text = "[node]\nmembers = [{ id = 1, address = \"a:1\" }]\n[scraper]\nevery = \"90s\"\n[[scraper.sites]]\n\
                name = \"a\"\nstart = [\"http://a/\"]\nfields.price = { selector = \".p\", type = \"money\" }\n";
    let mut config = load_text(text).unwrap();
    let shown = load_text(&toml::to_string(&config).unwrap().replace("[secret]", "sqlite:x")).unwrap();
    config.broker.url = "sqlite:x".to_owned().into();
    config.database.url = "sqlite:x".to_owned().into();
    assert_eq!(shown, config);
}

#[test]
fn text_becomes_what_its_key_wants() {
    assert_eq!(config(&set("node.id", "7")).node.id, 7);
    assert_eq!(config(&set("node.cluster", "7")).node.cluster, "7");
    assert_eq!(config(&set("shop.products", " 1_000")).shop.products, 1000);
    assert_eq!(config(&set("manager.web", r#"["http://a"]"#)).manager.web, ["http://a"]);
    assert_eq!(config(&set("ftp.password", "[\"x")).ftp.password.expose(), "[\"x");
    assert_eq!(config(&set("manager.route", "proxy")).manager.route, Route::Proxy);
    let members = config(&set("node.members", r#"[{id=1,address="web1:7400",kind="voter"}]"#)).node.members;
    assert_eq!(members[0].address, "web1:7400");
}

#[test]
fn an_empty_flag_puts_the_default_back() {
    let mut sources = set("node.id", "");
    sources.variables = vec![("SYMPHONY_NODE__ID".into(), "9".into())];
    assert_eq!(config(&sources).node.id, Config::default().node.id);
    sources.settings = set("node.idd", "").settings;
    assert!(sources.load().is_err());
}

#[test]
fn every_key_that_may_be_secret_has_a_name_that_hides_its_line() {
    let mut secrets = 0;
    for section in known::sections() {
        for key in known::keys(section) {
            let error = load_text(&format!("[{section}]\n{key} = 12345")).err().unwrap_or_default();
            if error.contains("expected text in quotes") {
                secrets += 1;
                assert!(!error.contains("12345"), "{error}");
                let broken = load_text(&format!("[{section}]\n{key} = \"hunter2")).unwrap_err();
                assert!(!broken.contains("hunter2"), "{broken}");
            }
        }
    }
    assert_eq!(secrets, 6);
}

#[test]
fn a_site_must_make_sense() {
    let text = "[[scraper.sites]]\nname = \"a\"\nstart = [\"http://a\"]\nfollow = \"(\"\nitem = \"..\"\nkey = \"x\"\n\
                fields = {}\npages_max = 0\n";
    let error = load_text(text).unwrap_err();
    let problems: Vec<_> = error.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(
        problems,
        [
            "error: scraper.sites[0].follow: not a regular expression: unclosed group",
            "error: scraper.sites[0].item: not a CSS selector: ClassNeedsIdent",
            "error: scraper.sites[0].key: \"x\" is not one of the fields ()",
            "error: scraper.sites[0].pages_max: must be above 0",
        ]
    );
}

#[test]
fn a_limit_of_nothing_is_refused() {
    for key in [
        "manager.prefetch",
        "manager.batch_max",
        "manager.deliveries_max",
        "shop.products",
        "ftp_server.passive_port_min",
    ] {
        assert!(set(key, "0").load().unwrap_err().to_string().starts_with(&format!("error: {key}: must be ")), "{key}");
    }
    for key in ["manager.ftp_every", "node.heartbeat", "shop.price_change_every", "scraper.every"] {
        assert!(set(key, "0s").load().unwrap_err().to_string().contains("must be above 0"), "{key}");
    }
}

#[test]
fn addresses_have_their_form() {
    for (key, value) in [
        ("ftp.address", "host"),
        ("ftp.address", "host:0"),
        ("ftp.address", "::1:21"),
        ("ftp.address", "[host]:21"),
        ("web.url", "web1:8080"),
        ("web.url", "http://"),
        ("manager.web", r#"["http://a?b"]"#),
        ("database.url", "postgres://"),
        ("database.url", "sqlite:"),
        ("broker.url", "http://a"),
        ("mail.url", "smtp:host"),
        ("log.filter", "a=b=c"),
    ] {
        assert!(set(key, value).load().is_err(), "{key} = {value}");
    }
    for (key, value) in [
        ("ftp.address", "host:21"),
        ("ftp.address", "[::1]:21"),
        ("web.url", "https://web1"),
        ("database.url", "postgres://u:p@h/d"),
        ("database.url", "sqlite::memory:"),
        ("broker.url", "amqps://u:p@h:5671/%2f"),
    ] {
        config(&set(key, value));
    }
}

#[test]
fn a_role_is_refused_without_what_it_needs() {
    let with_role = |role| Sources { role: Some(role), ..set("node.members", r#"[{id=2,address="a:1"}]"#) };
    let first = |role| with_role(role).load().map(|_| ()).map_err(|error| error.to_string());
    assert!(first(Role::Web).unwrap_err().contains("1 is not the id of a member; the members are 2"));
    assert!(first(Role::Ftp).unwrap_err().contains("ftp_server.password: must be set"));
    assert!(first(Role::Scraper).unwrap_err().contains("scraper.sites: must name a site"));
    assert_eq!(first(Role::Shop), Ok(()));
    assert!(first(Role::Manager).unwrap_err().contains("api.token: must be set"));
    let with_token = |token| Sources { role: Some(Role::Manager), ..set("api.token", token) };
    config(&with_token("0123456789abcdef"));
    for (token, fault) in [("hunter2", "16 characters"), ("hunter2 hunter2 hunter2", "letters, digits")] {
        let error = with_token(token).load().unwrap_err().to_string();
        assert!(error.contains(fault) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn what_was_found_is_called_as_in_the_file() {
    for (text, message) in [
        ("node = 1", "error: node: expected a table, found integer `1`"),
        ("[node]\ncluster = []", "error: node.cluster: expected text, found a list"),
        ("[node]\nid = {}", "error: node.id: expected a whole number from 0 to 65535, found a table"),
        ("[node]\nid = 2026-11-23", "error: node.id: expected a whole number from 0 to 65535, found a date or time"),
        ("[node]\nmembers = [[]]", "error: node.members[0]: expected a table, found a list"),
        ("[node]\nmembers = [{ id = 1 }]", "error: node.members[0]: key `address` is missing"),
        ("[manager]\nroute = true", "error: manager.route: expected text, found boolean `true`"),
    ] {
        assert_eq!(load_text(text).unwrap_err().lines().next(), Some(message));
    }
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    assert_eq!(load_text("\u{feff}[node]\nid = 4").unwrap().node.id, 4);
}

#[test]
fn a_file_without_end_is_refused() {
    let sources = Sources { file: Some("/dev/zero".into()), ..Sources::default() };
    assert!(sources.load().unwrap_err().to_string().contains("larger than 1048576 bytes"));
}

#[test]
fn nesting_without_end_is_refused() {
    let deep = "[".repeat(200_000);
    assert!(load_text(&format!("x = {deep}")).is_err());
    assert!(set("manager.web", &deep).load().is_err());
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in any::<String>()) {
        let _ = load_text(&text);
    }

    #[test]
    fn no_file_that_is_nearly_right_makes_it_panic(
        lines in proptest::collection::vec(
            proptest::sample::select(EXAMPLE.lines().collect::<Vec<_>>()), 0..30),
        cut in any::<proptest::sample::Index>(),
        junk in "[\\[\\]={}\"'#.\u{e4}\t\n -~]{0,6}",
    ) {
        let mut text: String = lines.iter().map(|line| format!("{}\n", line.trim_start_matches(['#', ' ']))).collect();
        let positions: Vec<_> = text.char_indices().map(|(position, _)| position).chain([text.len()]).collect();
        text.insert_str(positions[cut.index(positions.len())], &junk);
        let _ = load_text(&text);
    }

    #[test]
    fn no_variable_makes_it_panic(
        section in proptest::sample::select(known::sections().to_vec()),
        key in any::<proptest::sample::Index>(),
        value in prop_oneof![any::<String>(), "[\\[\\]={}\"',.0-9a-z:/-]{0,20}"],
    ) {
        let keys = known::keys(section);
        let name = format!("SYMPHONY_{section}__{}", keys[key.index(keys.len())]).to_uppercase();
        let variables = vec![(name.into(), value.clone().into())];
        let _ = Sources { variables, ..set(&format!("{section}.{value}"), &value) }.load();
    }
}
