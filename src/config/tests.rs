//! Tests what the configuration takes, and what it refuses.

use super::*;

fn load(arguments: &[&str]) -> Result<Config, ConfigError> {
    let arguments = ["onmic"].iter().chain(arguments);
    Config::load(&command().try_get_matches_from(arguments).unwrap())
}

#[test]
fn the_document_states_every_default_and_no_other_option() {
    let documented: Table = DOCUMENT.parse().unwrap();
    assert_eq!(documented.clone().try_into::<Config>().unwrap(), Config::default());
    let keys = |table: &Table| {
        let mut keys: Vec<String> = table
            .iter()
            .flat_map(|(name, value)| match value {
                Value::Table(section) => section.keys().map(|key| format!("{name}.{key}")).collect(),
                _ => vec![name.clone()],
            })
            .collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&documented), keys(&Table::try_from(Config::default()).unwrap()));
}

#[test]
fn every_option_has_a_help_text() {
    for option in options() {
        assert!(!option.help.starts_with(" ["), "{}", option.flag);
    }
}

#[test]
fn a_flag_sets_its_option() {
    let config = load(&["--http-port", "9000", "--hls-part", "200ms", "--rtmp-message", "1 MiB"]).unwrap();
    assert_eq!(config.http.port, 9000);
    assert_eq!(config.hls.part, Duration::from_millis(200));
    let close = load(&["--hls-profile", "close"]).unwrap().hls;
    assert_eq!((close.part, close.part_of_profile()), (Duration::from_millis(333), Duration::from_millis(200)));
    assert!(load(&["--hls-profile", "far"]).unwrap_err().to_string().contains("close"));
    assert_eq!(config.rtmp.message, ByteSize::mib(1));
    assert!(load(&["--hls-on-demand", "yes"]).unwrap_err().to_string().contains("true or false"));
}

#[test]
fn a_packet_of_opus_has_10_or_20_ms() {
    assert_eq!(load(&["--mixer-opus-packet", "20ms"]).unwrap().mixer.opus_packet, Duration::from_millis(20));
    assert!(load(&["--mixer-opus-packet", "40ms"]).unwrap_err().to_string().contains("10ms or 20ms"));
}

#[test]
fn unknown_keys_and_bare_numbers_are_refused() {
    for text in [
        "colour = 1",
        "[hls]\npart = 333",
        "[rooms]\nseets = 3",
        "[rooms]\nrequest_timeout = 5",
        "[rtmp]\nmesage = \"1 MiB\"",
    ] {
        assert!(text.parse::<Table>().unwrap().try_into::<Config>().is_err(), "{text}");
    }
}

#[test]
fn a_base_path_is_a_plain_path() {
    assert_eq!(load(&["--http-base-path", "/live/"]).unwrap().http.base_path.to_string(), "/live");
    for wrong in ["live", "https://example.org/live", "//example.org", "/a/../b"] {
        let refused = load(&["--http-base-path", wrong]).unwrap_err().to_string();
        assert!(refused.contains("is not a path such as /live"), "{refused}");
    }
}

#[test]
fn more_shards_than_ports_or_ids_are_refused() {
    assert!(load(&["--rtc-shards", "256"]).is_ok());
    assert!(matches!(load(&["--rtc-shards", "257"]), Err(ConfigError::Shards { .. })));
    assert!(matches!(load(&["--rtc-shards", "2", "--rtc-port", "65535"]), Err(ConfigError::Shards { .. })));
}

#[test]
fn announced_addresses_may_have_ports_and_be_names() {
    let config = load(&["--rtc-announce", "203.0.113.7:18189, live.example.org"]).unwrap();
    assert_eq!(config.rtc.announced().unwrap().len(), 2);
    let refused = load(&["--rtc-announce", "203.0.113"]).unwrap_err();
    assert!(refused.to_string().contains("host name"), "{refused}");
}

#[test]
fn applications_of_rtmp_are_named_or_any() {
    let app = |config: &Config| config.rtmp.applications().unwrap();
    assert_eq!(app(&load(&[]).unwrap()).name(), "live");
    assert_eq!(app(&load(&["--rtmp-app", "stream, live"]).unwrap()).name(), "stream");
    assert_eq!(app(&load(&["--rtmp-app", "*"]).unwrap()), Applications::Any);
    assert!(matches!(load(&["--rtmp-app", ","]), Err(ConfigError::RtmpApp(_))));
}

#[test]
fn invalid_rooms_and_unsigned_webhooks_are_refused() {
    assert!(load(&["--rooms-seats", "16", "--rooms-host-leaves", "keep"]).is_ok());
    assert!(matches!(load(&["--rooms-seats", "17"]), Err(ConfigError::Rooms(_))));
    assert!(matches!(load(&["--rooms-away-timeout", "1ms"]), Err(ConfigError::Rooms(_))));
    assert!(load(&["--rooms-host-leaves", "dance"]).is_err());
    assert!(load(&["--webhooks-url", "https://example.org/hook", "--webhooks-secret", "s"]).is_ok());
    let unsigned = load(&["--webhooks-url", "https://example.org/hook"]);
    assert!(matches!(unsigned, Err(ConfigError::WebhookWithoutSecret)));
    for url in ["example.org/hook", "ftp://example.org", "http://", "http:///x"] {
        let refused = load(&["--webhooks-url", url, "--webhooks-secret", "s"]);
        assert!(matches!(refused, Err(ConfigError::WebhookUrl(_))), "{url}");
    }
}

#[test]
fn the_defaults_of_rooms_are_those_of_the_machine() {
    assert_eq!(Rooms::default().settings(), onmic_room::Settings::default());
    assert_eq!(Rooms::default().limits(), onmic_room::Limits::default());
}

#[test]
fn without_a_secret_the_server_listens_on_loopback_only() {
    assert_eq!(load(&[]).unwrap().address().unwrap().to_string(), "127.0.0.1");
    assert!(matches!(load(&["--host", "0.0.0.0"]), Err(ConfigError::OpenToOthers(_))));
    let config = load(&["--auth-secret", "s"]).unwrap();
    assert_eq!(config.address().unwrap().to_string(), "0.0.0.0");
    assert!(!format!("{config:?}").contains("\"s\""));
}
