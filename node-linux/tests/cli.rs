//! The program as its users meet it: exit codes, messages, precedence.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A working directory, and the program run in it with nothing else in its environment.
struct Place {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    fn with_file(text: &str) -> Self {
        Self::new().file("symphony.toml", text)
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_symphony"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().envs(self.variables.iter().cloned());
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// What the program says of a configuration that it refuses.
    fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
        stderr
    }

    /// What the program prints.
    fn success(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The effective value of a key.
    fn effective(&self, section: &str, key: &str, arguments: &[&str]) -> toml::Value {
        let shown: toml::Table = self.success(&[arguments, &["config", "show"]].concat()).parse().unwrap();
        shown[section][key].clone()
    }
}

#[test]
fn an_unknown_key_names_file_line_key_and_what_was_meant() {
    let place = Place::with_file("[node]\nid = 2\nhearbeat = \"50ms\"\n");
    assert_eq!(
        place.refusal(&["config", "check"]),
        "error: node.hearbeat: unknown key; did you mean `heartbeat`?
 --> symphony.toml:3:1
  |
3 | hearbeat = …
  | ^^^^^^^^
"
    );
}

#[test]
fn an_unknown_section_is_refused_by_every_command() {
    let place = Place::with_file("[brokr]\nurl = \"x\"\n");
    for arguments in [&["web"][..], &["dev", "--once"], &["config", "show"], &["health", "shop"]] {
        assert_eq!(
            place.refusal(arguments),
            "error: brokr: unknown key; did you mean `broker`?
 --> symphony.toml:1:2
  |
1 | [brokr]
  |  ^^^^^
"
        );
    }
}

#[test]
fn a_bad_value_names_file_line_key_and_what_was_expected() {
    let place = Place::with_file("# ids\n[node]\n\tid = 70000\nlisten = \"localhost:1\"\nheartbeat = 50\n");
    assert_eq!(
        place.refusal(&["config", "check"]),
        "error: node.id: expected a whole number from 0 to 65535, found integer `70000`
 --> symphony.toml:3:7
  |
3 | \tid = 70000
  | \t     ^^^^^

error: node.listen: expected an IP address and a port, such as 0.0.0.0:8080 or [::1]:8080
 --> symphony.toml:4:10
  |
4 | listen = \"localhost:1\"
  |          ^^^^^^^^^^^^^

error: node.heartbeat: expected a duration with its unit, such as \"150ms\" or \"30s\", found integer `50`
 --> symphony.toml:5:13
  |
5 | heartbeat = 50
  |             ^^
"
    );
}

#[test]
fn what_is_no_toml_names_file_and_line() {
    assert_eq!(
        Place::with_file("[node]\nid == 2\n").refusal(&["config", "check"]),
        "error: extra `=`, expected nothing
 --> symphony.toml:2:5
  |
2 | id == 2
  |     ^
"
    );
    assert_eq!(
        Place::with_file("[node]\nid = 1\nid = 2\n").refusal(&["config", "check"]),
        "error: duplicate key
 --> symphony.toml:3:1
  |
3 | id = 2
  | ^^
"
    );
}

#[test]
fn a_value_that_makes_no_sense_names_its_place_too() {
    let place = Place::with_file(
        "[node]
heartbeat = \"300ms\"
members = [
  { id = 1, address = \"a:1\" },
  { id = 1, address = \"b\" },
]
",
    );
    assert_eq!(
        place.refusal(&["config", "check"]),
        "error: node.heartbeat: the shortest election timeout (250ms) must be at least twice the heartbeat (300ms)
 --> symphony.toml:2:13
  |
2 | heartbeat = \"300ms\"
  |             ^^^^^^^

error: node.members[1].id: another member has the id 1
 --> symphony.toml:5:10
  |
5 |   { id = 1, address = \"b\" },
  |          ^

error: node.members[1].address: expected HOST:PORT, found \"b\"
 --> symphony.toml:5:23
  |
5 |   { id = 1, address = \"b\" },
  |                       ^^^
"
    );
    let place = Place::new().variable("SYMPHONY_FTP_SERVER__PASSIVE_PORT_MIN", "40000");
    assert_eq!(
        place.refusal(&["config", "check"]),
        "error: ftp_server.passive_port_min: the passive ports from 40000 to 30099 are none at all
 --> environment variable SYMPHONY_FTP_SERVER__PASSIVE_PORT_MIN
"
    );
}

#[test]
fn mistakes_in_variables_and_flags_name_them() {
    let place = Place::new()
        .variable("SYMPHONY_NODE__IDD", "1")
        .variable("SYMPHONY_NODE__ID", "x")
        .variable("SYMPHONY_NODE_ID", "1")
        .variable("SYMPHONY_WEB__listen", "0.0.0.0:1")
        .variable("SYMPHONY_MANAGER__WEB", "http://web1");
    assert_eq!(
        place.refusal(&["--set", "shop.products=many", "--set", "shop=1", "web", "--listen", "8080"]),
        "error: manager.web: expected a list such as [\"a\", \"b\"], found string \"http://web1\"
 --> environment variable SYMPHONY_MANAGER__WEB

error: no such variable; did you mean SYMPHONY_NODE__ID?
 --> environment variable SYMPHONY_NODE_ID

error: node.id: expected a whole number from 0 to 65535, found string \"x\"
 --> environment variable SYMPHONY_NODE__ID

error: node.idd: unknown key; did you mean `id`?
 --> environment variable SYMPHONY_NODE__IDD

error: no such variable; did you mean SYMPHONY_WEB__LISTEN?
 --> environment variable SYMPHONY_WEB__listen

error: web.listen: expected an IP address and a port, such as 0.0.0.0:8080 or [::1]:8080
 --> flag --listen

error: \"shop\" is not a section and a key, such as node.id
 --> flag --set shop

error: shop.products: expected a whole number, 0 or more, found string \"many\"
 --> flag --set shop.products
"
    );
}

#[test]
fn variables_of_others_are_left_alone() {
    let place = Place::new()
        .variable("SYMPHONY_WEB_PORT_8080_TCP", "tcp://10.0.0.1:8080")
        .variable("SYMPHONY_REQUIRE_SERVERS", "1")
        .variable("NODE__ID", "x");
    assert_eq!(place.success(&["config", "check"]), "configuration is valid\n");
}

#[test]
fn a_flag_beats_a_variable_which_beats_the_file_which_beats_the_default() {
    let id = |place: &Place, arguments: &[&str]| place.effective("node", "id", arguments).as_integer().unwrap();
    assert_eq!(id(&Place::new(), &[]), 1);
    let place = Place::with_file("[node]\nid = 2\ncluster = \"from the file\"\n");
    assert_eq!(id(&place, &[]), 2);
    let place = place.variable("SYMPHONY_NODE__ID", "3");
    assert_eq!(id(&place, &[]), 3);
    assert_eq!(id(&place, &["--set", "node.id=4"]), 4);
    assert_eq!(id(&place, &["--set", "node.id=4", "--set", "node.id=5"]), 5);
    assert_eq!(id(&place, &["--set", "node.id="]), 1);
    assert_eq!(place.effective("node", "cluster", &["--set", "node.id=4"]).as_str(), Some("from the file"));
}

#[test]
fn a_mistake_is_found_under_what_beats_it() {
    let place = Place::with_file("[node]\nid = \"x\"\n").variable("SYMPHONY_NODE__ID", "3");
    assert!(place.refusal(&["config", "check"]).contains(" --> symphony.toml:2:6\n"));
}

#[test]
fn an_empty_variable_sets_nothing() {
    let place = Place::with_file("[node]\nid = 2\n")
        .variable("SYMPHONY_NODE__ID", "")
        .variable("SYMPHONY_DATABASE__URL_FILE", "")
        .variable("SYMPHONY_CONFIG", "");
    assert_eq!(place.success(&["config", "check"]), "configuration is valid\nnode.id = 2  # symphony.toml:2\n");
}

#[test]
fn the_check_says_who_set_what_and_shows_no_secret() {
    let place = Place::with_file("[database]\nurl = \"postgres://u:hunter2@db/x\"\n")
        .variable("SYMPHONY_MANAGER__WEB", r#"["http://a","http://b"]"#);
    assert_eq!(
        place.success(&["--log-format", "json", "config", "check", "--set", "node.id=7"]),
        "configuration is valid
database.url = \"[secret]\"               # symphony.toml:2
log.format = \"json\"                     # flag --log-format
manager.web = [\"http://a\", \"http://b\"]  # environment variable SYMPHONY_MANAGER__WEB
node.id = 7                             # flag --set node.id
"
    );
    assert!(!place.success(&["config", "show"]).contains("hunter2"));
}

#[test]
fn no_message_shows_a_secret() {
    for text in [
        "[database]\nurl = \"postgres://u:hunter2@db/x",
        "[database]\nurl \"postgres://u:hunter2@db/x\"",
        "[database]\nurl = \"hunter2://u@db/x\"",
        "[ftp]\npasswrd = \"hunter2\"",
        "[ftp]\npassword = hunter2",
        "[ftp]\npassword = [\"hunter2\"]",
        "[ftp]\npassword_file = \"hunter2\"",
        "ftp = { user = \"x\", password = \"hunter2 }",
        "ftp = { passwd = \"hunter2\" }",
    ] {
        let refusal = Place::with_file(text).refusal(&["config", "check"]);
        assert!(!refusal.contains("hunter2"), "{refusal}");
        assert!(refusal.contains(" --> symphony.toml:"), "{refusal}");
    }
    for (name, value) in [
        ("SYMPHONY_DATABASE__URL", "hunter2"),
        ("SYMPHONY_DATABASE__URL_FILE", "postgres://u:hunter2@db/x"),
        ("SYMPHONY_DATABASE__PASSWORD", "hunter2"),
    ] {
        let refusal = Place::new().variable(name, value).refusal(&["config", "check"]);
        assert!(!refusal.contains("hunter2"), "{refusal}");
        assert!(refusal.ends_with(&format!(" --> environment variable {name}\n")), "{refusal}");
    }
}

#[test]
fn a_value_may_stand_in_a_file_of_its_own() {
    let place = Place::with_file("[node]\ncluster_file = \"name\"\nid = 9\n")
        .file("name", "north\r\n\n")
        .file("id", "12\n")
        .variable("SYMPHONY_NODE__ID_FILE", "id");
    assert_eq!(place.effective("node", "cluster", &[]).as_str(), Some("north"));
    assert_eq!(place.effective("node", "id", &[]).as_integer(), Some(12));
    assert_eq!(place.effective("node", "cluster", &["--set", "node.cluster=south"]).as_str(), Some("south"));
}

#[test]
fn a_value_and_its_file_together_are_refused() {
    let place = Place::new()
        .file("secret", "postgres://db/x\n")
        .variable("SYMPHONY_DATABASE__URL", "postgres://db/y")
        .variable("SYMPHONY_DATABASE__URL_FILE", "secret");
    assert_eq!(
        place.refusal(&["config", "check"]),
        "error: database.url_file: `url` is set as well; only one of the two may be
 --> environment variable SYMPHONY_DATABASE__URL_FILE
"
    );
}

#[test]
fn a_file_of_one_value_must_be_there_and_hold_something() {
    let place = Place::with_file("[ftp]\npassword_file = \"secret\"\n");
    assert_eq!(
        place.refusal(&["config", "check"]),
        "error: ftp.password_file: the file it names cannot be read: No such file or directory (os error 2)
 --> symphony.toml:2:1
  |
2 | password_file = …
  | ^^^^^^^^^^^^^
"
    );
    let place = Place::new().file("empty", "\n").variable("SYMPHONY_FTP__PASSWORD_FILE", "empty");
    assert_eq!(
        place.refusal(&["config", "check"]),
        "error: ftp.password_file: the file it names is empty
 --> environment variable SYMPHONY_FTP__PASSWORD_FILE
"
    );
}

#[test]
fn a_configuration_file_that_was_named_must_be_there() {
    let missing =
        "error: the configuration file cannot be read: No such file or directory (os error 2)\n --> other.toml\n";
    let place = Place::with_file("[node]\nid = 2\n");
    assert_eq!(place.refusal(&["--config", "other.toml", "config", "check"]), missing);
    let place = place.variable("SYMPHONY_CONFIG", "other.toml");
    assert_eq!(place.refusal(&["config", "check"]), missing);
    assert_eq!(place.effective("node", "id", &["--config", "symphony.toml"]).as_integer(), Some(2));
    let place = place.file("other.toml", "[node]\nid = 3\n");
    assert_eq!(place.effective("node", "id", &[]).as_integer(), Some(3));
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let place = Place::new();
    fs::write(place.folder.path().join("symphony.toml"), [0xff, 0xfe, 0, 0x80]).unwrap();
    assert!(place.refusal(&["config", "check"]).ends_with("\n --> symphony.toml\n"));
}

#[test]
fn the_example_is_a_valid_file() {
    let example = Place::new().success(&["config", "example"]);
    Place::with_file(&example).success(&["config", "check"]);
}

#[test]
fn a_wrong_command_line_is_code_2() {
    let place = Place::new();
    for arguments in [&["wbe"][..], &["web", "--port", "1"], &["--set", "node.id", "web"], &["dev", "--json"], &[]] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn help_and_version_are_no_failures() {
    let place = Place::new();
    assert_eq!(place.success(&["--version"]), format!("symphony {}\n", env!("CARGO_PKG_VERSION")));
    let help = place.success(&["--help"]);
    for expected in ["Examples:", "SYMPHONY_NODE__ID=2", "Exit codes:"] {
        assert!(help.contains(expected), "{help}");
    }
}

#[test]
fn health_is_the_answer_of_the_role() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = [("204 No Content", ""), ("503 Service Unavailable", "{\"broker\":\"away\"}")];
    let requests = thread::spawn(move || answers.map(|(status, body)| answer(&listener, status, body)));
    let place = Place::new().variable("SYMPHONY_SHOP__LISTEN", &format!("0.0.0.0:{}", address.port()));

    assert_eq!(place.success(&["health", "shop"]), format!("ready: http://{address}/readyz\n"));
    let output = place.run(&["health", &format!("http://{address}/other")]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "not ready: 503 Service Unavailable\n{\"broker\":\"away\"}\n");
    assert_eq!(requests.join().unwrap(), ["GET /readyz HTTP/1.1", "GET /other HTTP/1.1"]);
}

#[test]
fn health_of_the_silent_is_bad_and_does_not_take_long() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let started = Instant::now();
    let output = Place::new().run(&["health", "--timeout", "200ms", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("no answer: "));
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// Answers one request; returns its first line.
fn answer(listener: &TcpListener, status: &str, body: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    assert!(lines.any(|line| line.is_empty()));
    let length = if status.starts_with("204") { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    write!(stream, "HTTP/1.1 {status}\r\n{length}connection: close\r\n\r\n{body}").unwrap();
    first
}

#[test]
fn the_key_of_a_cluster_is_made_changed_and_never_shown() {
    let place = Place::new();
    let made = place.success(&["key", "gen", "deep/cluster.keys"]);
    assert!(made.contains("sends with key 1 (") && made.contains("Copy deep/cluster.keys to every member"), "{made}");
    let again = place.run(&["key", "gen", "deep/cluster.keys"]);
    assert_eq!(again.status.code(), Some(1), "nothing is overwritten");

    let early = place.run(&["key", "rotate", "drop", "deep/cluster.keys"]);
    assert_eq!(early.status.code(), Some(1));
    let text = String::from_utf8(early.stderr).unwrap();
    assert!(text.contains("the next step is `add`, not `drop`"), "{text}");
    for (step, next) in [
        ("add", "rotate switch deep/cluster.keys"),
        ("switch", "rotate drop deep/cluster.keys"),
        ("drop", "is changed"),
    ] {
        let told = place.success(&["key", "rotate", step, "deep/cluster.keys"]);
        assert!(told.contains("kill -HUP") && told.contains(next), "{told}");
    }
    let shown = place.success(&["key", "show", "deep/cluster.keys"]);
    assert!(shown.contains("sends with key 2 (") && !shown.contains("key 1"), "{shown}");
    let file = fs::read_to_string(place.folder.path().join("deep/cluster.keys")).unwrap();
    let secret = file.split_whitespace().last().unwrap();
    assert!(secret.len() == 64 && !shown.contains(&secret[..8]), "{shown}");
}

#[test]
fn a_node_without_usable_keys_says_how_to_get_them() {
    let place = Place::new();
    let missing = place.run(&["node", "--set", "node.operations=127.0.0.1:0"]);
    assert_eq!(missing.status.code(), Some(1));
    let text = String::from_utf8(missing.stdout).unwrap() + &String::from_utf8(missing.stderr).unwrap();
    assert!(text.contains("symphony key gen symphony-data/cluster.keys"), "{text}");
}
