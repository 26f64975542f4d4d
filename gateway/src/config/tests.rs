#![allow(clippy::unwrap_used)]

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("keyway.toml"), text, [])
}

fn complaints(text: &str) -> Vec<String> {
    parse(text)
        .unwrap_err()
        .problems()
        .iter()
        .map(|problem| format!("{}: {}", problem.key, problem.message))
        .collect()
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.endpoint.domain, "keyway.internal");
    assert_eq!(config.endpoint.port, 443);
    assert_eq!(config.overlay.interface, "wt0");
    assert_eq!(config.workers.driver, Driver::Auto);
    assert_eq!(config.workers.connections_limit, 16_384);
    assert_eq!(config.workers.head_bytes_limit, 64 << 10);
    assert_eq!(config.workers.held_body_bytes_limit, 256 << 20);
    assert_eq!(config.timeouts.first_byte, Duration::from_secs(300));
    assert_eq!(config.timeouts.total, None);
    assert_eq!(config.usage.flush_interval, Duration::from_millis(50));
    assert!(config.workers.count >= 1);
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_lines() {
    let text = r#"
[endpoint]
port = 70000
hostname = "llm.example.com"
tls_key = "/nowhere/endpoint.key"

[overlay]
interface = "a name with spaces"
addresses = ["10.1.0.300"]

[workers]
count = 0
drvier = "epoll"
head_bytes_limit = "1GiB"
pin = "yes"

[timeouts]
connect = 3
first_byte = "1s"

[strore]
path = "/tmp"
"#;
    let error = parse(text).unwrap_err();
    let lines: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| match &problem.place {
            Place::Span(span) => (text[..span.start].lines().count(), problem.key.as_str()),
            Place::Environment(_) | Place::File => (0, problem.key.as_str()),
        })
        .collect();
    // `lines().count()` of what is before a value on the same line is that line's number.
    assert_eq!(
        lines,
        [
            (3, "endpoint.port"),
            (3, "endpoint.hostname"),
            (5, "endpoint.tls_key"),
            (8, "overlay.interface"),
            (9, "overlay.addresses"),
            (12, "workers.count"),
            (12, "workers.drvier"),
            (14, "workers.head_bytes_limit"),
            (15, "workers.pin"),
            (18, "timeouts.connect"),
            (19, "timeouts.first_byte"),
            (21, "strore"),
        ]
    );
    let printed = error.to_string();
    for expected in [
        "error: endpoint.port: 70000 is not a port from 1 to 65535\n  --> keyway.toml:3:8\n   3 | port = 70000\n     |        ^^^^^\n",
        "error: endpoint.hostname: there is no such key\n  --> keyway.toml:4:1\n",
        "   = help: it is called `endpoint.name`\n",
        "   = help: did you mean `driver`?\n",
        "   = help: did you mean `store`?\n",
        "   = help: use a value from \"4KiB\" to \"1MiB\"\n",
        "workers.pin: expected true or false, found a string",
        "keyway.toml: 12 mistakes",
    ] {
        assert!(
            printed.contains(expected),
            "{expected:?} is not in\n{printed}"
        );
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let environment = [
        ("KEYWAY__TIMEOUTS__CONNECT", "4s"),
        ("KEYWAY__OVERLAY__ADDRESSES", "100.64.0.1, fd00::1"),
        ("KEYWAY__WORKERS__PIN", "false"),
        ("HOME", "/root"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let text = "[timeouts]\nconnect = \"5s\"\n";
    let config = Config::parse(Path::new("keyway.toml"), text, environment).unwrap();
    assert_eq!(config.timeouts.connect, Duration::from_secs(4));
    assert_eq!(config.overlay.addresses.len(), 2);
    assert!(!config.workers.pin);
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    let environment = [
        ("KEYWAY__WORKERS__COUNT", "many"),
        ("KEYWAY__TIMEOUTS__CONECT", "1s"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let error = Config::parse(Path::new("keyway.toml"), "", environment).unwrap_err();
    let printed = error.to_string();
    assert_eq!(error.problems().len(), 2, "{printed}");
    assert!(printed.contains("environment variable KEYWAY__WORKERS__COUNT"));
    assert!(printed.contains("did you mean `connect`?"));
}

#[test]
fn what_must_hold_between_values() {
    for (text, expected) in [
        (
            "[endpoint]\nport = 8443\nplain_port = 8443",
            "endpoint.plain_port: is the same as `endpoint.port`",
        ),
        (
            "[admin]\nlisten = \"0.0.0.0:443\"",
            "admin.listen: 0.0.0.0:443 takes the endpoint's port on its address",
        ),
        (
            "[admin]\nlisten = \"127.0.0.1:9471\"",
            "telemetry.listen: 127.0.0.1:9471 meets `admin.listen` = 127.0.0.1:9471",
        ),
        (
            "[usage]\npostgresql_url = \"postgresql://keyway:hunter2@db.internal/keyway\"",
            "usage.postgresql_url: has a password in it",
        ),
        (
            "[usage]\npostgresql_password_env = \"A\"\npostgresql_password_credential = \"b\"",
            "usage.postgresql_password_env: `postgresql_password_credential` is given too",
        ),
        (
            "[store]\npath = \"/srv/k\"\n[usage]\npath = \"/srv/k\"",
            "usage.path: is the same as `store.path`",
        ),
        (
            "[timeouts]\ntotal = \"100s\"",
            "timeouts.total: `first_byte` (300s) must be smaller than `total` (100s)",
        ),
        (
            "[timeouts]\nupstream_keep_alive = \"1h\"",
            "timeouts.upstream_keep_alive: `upstream_keep_alive` (3600s) must be smaller than `upstream_age_max` (600s)",
        ),
        (
            "[workers]\nbody_bytes_limit = \"1GiB\"",
            "workers.body_bytes_limit: is larger than `workers.held_body_bytes_limit`",
        ),
        (
            "[endpoint]\nname = \"Keyway.Example.com\"",
            "endpoint.name: is not a host name",
        ),
        (
            "[secrets]\nmaster_key_file = \"/a\"\nmaster_key_passphrase_file = \"/proc/version\"",
            "secrets.master_key_passphrase_file: `master_key_file` is given too",
        ),
        (
            "[overlay]\naddresses = [\"0.0.0.0\"]",
            "overlay.addresses: the node does not listen on 0.0.0.0",
        ),
        (
            "[identity]\nsource = \"ldap\"",
            "identity.source: \"ldap\" is not one of \"static\", \"netbird\", \"wireguard\"",
        ),
        (
            "[identity]\nsource = [\"static\", \"netbird\"]",
            "identity.source: \"netbird\" needs a token",
        ),
        (
            "[identity]\nnetbird_refresh = \"1h\"",
            "identity.netbird_max_age: must be longer than `netbird_refresh` (3600s)",
        ),
        (
            "[identity]\nnetbird_token_env = \"A\"\nnetbird_token_credential = \"b\"",
            "identity.netbird_token_env: `netbird_token_credential` is given too",
        ),
        ("drain = \"5s\"", "drain: belongs to no section"),
        (
            "[admission]\nexclude = [\"eth0\", \"w*\"]",
            "admission.exclude: \"w*\" is the overlay's own device wt0, which is always covered",
        ),
        (
            "[admission]\ninclude = [\"eth[01]\"]",
            "admission.include: \"eth[01]\" has a character that no name has; only `*` and `?` are special: write a name such as \"eth0\", or a pattern such as \"veth*\" or \"eth?\"",
        ),
        (
            "[admission]\nhooks = []",
            "admission.hooks: must not be empty; `admission.mode` can be \"off\"",
        ),
        (
            "[admission]\nlog_drops = 100000",
            "admission.log_drops: 100000 is out of range",
        ),
    ] {
        let found = complaints(text);
        assert!(
            found.iter().any(|line| line == expected),
            "{text:?}: {found:?}"
        );
    }
}

#[test]
fn files_that_are_named_must_be_readable() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = directory.path().join("endpoint.pem");
    std::fs::write(&certificate, "").unwrap();
    let text = format!(
        "[endpoint]\ntls_certificate = {certificate:?}\ntls_key = {:?}\n",
        directory.path()
    );
    let found = complaints(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("is not a file"), "{found:?}");
}

#[test]
fn broken_toml_is_reported_by_place() {
    let error = parse("[endpoint]\nport = \nname = 1 2\n").unwrap_err();
    assert!(error.problems().len() >= 2, "{error}");
    assert!(error.to_string().contains("keyway.toml:3:"), "{error}");
    assert!(error.to_string().contains("keyway.toml:2:"), "{error}");
}

#[test]
fn a_missing_file_is_a_mistake_too() {
    let error = Config::load(Path::new("/nowhere/keyway.toml")).unwrap_err();
    assert!(error.to_string().contains("cannot read it"), "{error}");
}
