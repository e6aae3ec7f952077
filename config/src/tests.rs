//! Tests what the configuration takes, and what it refuses.

use bytesize::ByteSize;
use onmic_ingest::rtmp::Applications;

use super::*;
use crate::option::{DOCUMENT, Opt};

const SECRET: &str = "a secret of the tests, thirty-two bytes long";

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
    assert!(load(&["--mixer-opus-packet", "15ms"]).unwrap_err().to_string().contains("10ms or 20ms"));
    assert!(load(&["--mixer-opus-packet", "40ms"]).unwrap_err().to_string().contains("10ms to 20ms"));
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
    for own in ["/api", "/api/v2", "/whep", "/hls/", "/flv", "/metrics", "/watch", "/sessions/x"] {
        let refused = load(&["--http-base-path", own]).unwrap_err().to_string();
        assert!(refused.contains("begins like a path of this server's own"), "{refused}");
    }
    for other in ["/apis", "/live/api", "/API"] {
        assert!(load(&["--http-base-path", other]).is_ok(), "{other}");
    }
}

#[test]
fn origins_are_written_as_browsers_state_them_and_all_of_them_need_a_secret() {
    let config = load(&["--http-origins", "https://app.example, http://localhost:*"]).unwrap();
    assert_eq!(config.http.origins.len(), 2);
    for option in ["--http-origins", "--http-frame-ancestors"] {
        let refused = load(&[option, "app.example"]).unwrap_err().to_string();
        assert!(refused.contains("is not an origin of pages"), "{refused}");
        let refused = load(&[option, "*"]).unwrap_err().to_string();
        assert!(refused.contains("http.") && refused.contains("auth.secret is empty"), "{refused}");
        assert!(load(&[option, "*", "--auth-secret", SECRET]).is_ok());
        for scheme in ["ws", "WSS", "file", "ftp"] {
            let refused = load(&[option, &format!("https://app.example, {scheme}://app.example")]).unwrap_err();
            assert!(matches!(refused, ConfigError::OriginScheme(..)), "{scheme}: {refused}");
        }
        assert!(load(&[option, "capacitor://localhost"]).is_ok());
    }
}

#[test]
fn more_shards_than_ids_are_refused_and_all_have_one_port() {
    assert!(load(&["--rtc-shards", "256"]).is_ok());
    assert!(load(&["--rtc-shards", "257"]).unwrap_err().to_string().contains("rtc.shards is 257: it is 0 to 256"));
    assert!(load(&["--rtc-shards", "256", "--rtc-port", "65535"]).is_ok());
}

#[test]
fn tcp_has_the_port_of_udp_or_its_own_or_none() {
    let tcp = |arguments: &[&str]| load(arguments).map(|config| config.rtc.tcp.number(config.rtc.port));
    assert_eq!(tcp(&[]).unwrap(), Some(8189));
    assert_eq!(tcp(&["--rtc-port", "9000"]).unwrap(), Some(9000));
    assert_eq!(tcp(&["--rtc-tcp", "443"]).unwrap(), Some(443));
    assert_eq!(tcp(&["--rtc-tcp", "off"]).unwrap(), None);
    for wrong in ["0", "70000", "-1", "on", ""] {
        let refused = tcp(&[&format!("--rtc-tcp={wrong}")]).unwrap_err().to_string();
        assert!(refused.contains("\"same\", \"off\" or a port"), "{refused}");
    }
    let file: Table = "[rtc]\ntcp = 443".parse().unwrap();
    assert_eq!(file.try_into::<Config>().unwrap().rtc.tcp.number(1), Some(443));
}

#[test]
fn announced_addresses_may_have_ports_and_be_names() {
    let config = load(&["--rtc-announce", "203.0.113.7:18189, live.example.org"]).unwrap();
    assert_eq!(config.rtc.announced().unwrap().len(), 2);
    let refused = load(&["--rtc-announce", "203.0.113"]).unwrap_err();
    assert!(refused.to_string().contains("host name"), "{refused}");
    for nowhere in ["0.0.0.0", "224.0.0.1:8189", "::"] {
        let refused = load(&["--rtc-announce", nowhere]).unwrap_err().to_string();
        assert!(refused.contains("rtc.announce") && refused.contains("not the address of a machine"), "{refused}");
    }
}

#[test]
fn applications_of_rtmp_are_named_or_any() {
    let app = |config: &Config| config.rtmp.applications().unwrap();
    assert_eq!(app(&load(&[]).unwrap()).name(), "live");
    assert_eq!(app(&load(&["--rtmp-app", "stream, live"]).unwrap()).name(), "stream");
    assert_eq!(app(&load(&["--rtmp-app", "*"]).unwrap()), Applications::Any);
    assert!(matches!(load(&["--rtmp-app", "a?b"]), Err(ConfigError::RtmpApp(_))));
    assert!(load(&["--rtmp-app", ""]).unwrap_err().to_string().contains("rtmp.app has 0 entries"));
}

#[test]
fn invalid_rooms_and_unsigned_webhooks_are_refused() {
    assert!(load(&["--rooms-seats", "16", "--rooms-host-leaves", "keep"]).is_ok());
    assert!(load(&["--rooms-seats", "17"]).unwrap_err().to_string().contains("rooms.seats is 17"));
    assert!(load(&["--rooms-host-leaves", "dance"]).is_err());
    assert!(load(&["--webhooks-url", "https://example.org/hook", "--webhooks-secret", SECRET]).is_ok());
    let unsigned = load(&["--webhooks-url", "https://example.org/hook"]);
    assert!(matches!(unsigned, Err(ConfigError::WebhookWithoutSecret)));
    let with = |url: &str| load(&["--webhooks-url", url, "--webhooks-secret", SECRET]);
    for url in [
        "example.org/hook",
        "ftp://example.org",
        "http://",
        "http:///x",
        "http://x:99999/",
        "http://x:0/",
        "http://x:/",
    ] {
        assert!(matches!(with(url), Err(ConfigError::WebhookUrl(_))), "{url}: {:?}", with(url));
    }
    for url in ["http://user:sesame@x/", "https://user@x/hook", "http://x/hook#here"] {
        let refused = with(url).unwrap_err();
        assert!(matches!(refused, ConfigError::WebhookUrlParts) && !refused.to_string().contains("sesame"), "{url}");
    }
    for url in ["http://x:8080", "https://[2001:db8::1]:8443/a@b?c=d:e", "http://[::1]/"] {
        assert!(with(url).is_ok(), "{url}: {:?}", with(url));
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
    let config = load(&["--auth-secret", SECRET]).unwrap();
    assert_eq!(config.address().unwrap().to_string(), "0.0.0.0");
    assert!(!format!("{config:?}").contains(SECRET));
}

#[test]
fn keys_in_files_close_the_server_and_there_is_one_secret() {
    for option in ["--auth-secret-file", "--auth-keys-file"] {
        assert_eq!(load(&[option, "/etc/onmic/keys"]).unwrap().address().unwrap().to_string(), "0.0.0.0");
    }
    let both = load(&["--auth-secret", SECRET, "--auth-secret-file", "/etc/onmic/secret"]);
    assert!(matches!(both, Err(ConfigError::TwoSecrets)));
    assert_eq!(Config::secret_of_file(format!("{SECRET}\r\n").as_bytes()).unwrap(), SECRET.as_bytes());
    for blank in [" ".repeat(40) + "\n", format!("{SECRET}\n\n"), format!("{SECRET}\n\r\n")] {
        assert!(matches!(Config::secret_of_file(blank.as_bytes()), Err(ConfigError::BlankSecret(_))), "{blank:?}");
    }
    for short in ["", "\n", "sesame\n"] {
        let refused = Config::secret_of_file(short.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains("auth.secret_file is too short"), "{refused}");
    }
}

#[test]
fn it_is_told_where_tokens_come_in_clear() {
    let told = |arguments: &[&str]| {
        let arguments: Vec<_> = ["--auth-secret", SECRET].iter().chain(arguments).copied().collect();
        let sentences = load(&arguments).unwrap().in_clear().unwrap();
        ["HTTP on port", "keys of RTMP"].map(|word| sentences.iter().any(|sentence| sentence.contains(word)))
    };
    let tls = ["--http-tls-certificate", "c.pem", "--http-tls-key", "k.pem"];
    assert_eq!(told(&[]), [true, true]);
    assert_eq!(told(&["--rtmp-port", "0"]), [true, false]);
    assert_eq!(told(&tls), [false, true]);
    assert_eq!(told(&[&tls[..], &["--rtmp-port", "0"]].concat()), [false, false]);
    assert_eq!(told(&["--host", "127.0.0.1"]), [false, false]);
    assert_eq!(told(&["--http-trusted-proxies", "127.0.0.0/8,10.1.0.0/16"]), [false, false]);
    assert!(load(&[]).unwrap().in_clear().unwrap().is_empty());
}

/// Returns whether the default of an option is a number, a time, a size or a list.
fn has_a_range(option: &Opt) -> bool {
    match &option.default {
        Value::Integer(_) | Value::Float(_) | Value::Array(_) => true,
        Value::String(text) => {
            let humantime = humantime_serde::re::humantime::parse_duration(text);
            humantime.is_ok() || text.parse::<ByteSize>().is_ok()
        }
        _ => false,
    }
}

#[test]
fn every_option_that_is_an_amount_has_one_range() {
    let is_port = |name: &str| name.ends_with(".port") || name.ends_with("_port"); // Their type has their range.
    let amounts: Vec<String> =
        options().iter().filter(|option| has_a_range(option)).map(|option| option.path.join(".")).collect();
    let ranged: Vec<&str> = limits::LIMITS.iter().map(|limit| limit.option).collect();
    for amount in amounts.iter().filter(|name| !is_port(name)) {
        assert_eq!(ranged.iter().filter(|name| *name == amount).count(), 1, "{amount} has one row in LIMITS");
    }
    assert!(ranged.iter().all(|name| amounts.iter().any(|amount| amount == name)), "{ranged:?}");
}

#[test]
fn values_that_cannot_work_are_refused_and_the_sentence_names_the_option() {
    for (arguments, option) in [
        (&["--hls-part", "0s"][..], "hls.part"),
        (&["--hls-part", "1ns"], "hls.part"),
        (&["--hls-part", "4s", "--hls-segment", "1s"], "hls.part"),
        (&["--hls-window", "2s"], "hls.window"),
        (&["--hls-segment", "15s"], "hls.window"),
        (&["--hls-segment", "1h"], "hls.segment"),
        (&["--mixer-opus-bitrate", "1"], "mixer.opus_bitrate"),
        (&["--mixer-aac-bitrate", "4000000"], "mixer.aac_bitrate"),
        (&["--mixer-bitrate", "1000"], "mixer.bitrate"),
        (&["--mixer-frame-rate", "NaN"], "mixer.frame_rate"),
        (&["--rtmp-message", "100 GiB"], "rtmp.message"),
        (&["--rtmp-message", "1 KiB"], "rtmp.message"),
        (&["--rtmp-start-timeout", "0s"], "rtmp.start_timeout"),
        (&["--rtmp-connections", "0"], "rtmp.connections"),
        (&["--http-connections", "1"], "http.connections"),
        (&["--http-connections-per-address", "0"], "http.connections_per_address"),
        (&["--http-header-timeout", "10ms"], "http.header_timeout"),
        (&["--http-port", "70000"], "http.port"),
        (&["--rtc-sessions", "0"], "rtc.sessions"),
        (&["--rtc-sessions=-1"], "rtc.sessions"),
        (&["--rtc-consent-timeout", "0s"], "rtc.consent_timeout"),
        (&["--rtc-ice-servers", "stun.example.org"], "rtc.ice_servers"),
        (&["--rtc-ice-servers", "stun:a>;x"], "rtc.ice_servers"),
        (&["--rtc-ice-servers", "stun:a:99999"], "rtc.ice_servers"),
        (&["--rtc-ice-servers", "turn:a:0?transport=udp"], "rtc.ice_servers"),
        (&["--rtc-ice-servers", "stun::3478"], "rtc.ice_servers"),
        (&["--rtc-ice-servers", "turn:[2001:db8::x]:3478"], "rtc.ice_servers"),
        (&["--ingest-sources", "0"], "ingest.sources"),
        (&["--drain", "1 day"], "drain"),
        (&["--rooms-away-timeout", "1ms"], "rooms.away_timeout"),
        (&["--rooms-empty-timeout", "2 days"], "rooms.empty_timeout"),
        (&["--auth-secret", "x"], "auth.secret"),
        (&["--auth-secret", &"thirty-one bytes are one too few"[1..]], "auth.secret"),
        (&["--webhooks-url", "https://example.org/", "--webhooks-secret", "sesame"], "webhooks.secret"),
    ] {
        let refused = load(arguments).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(option), "{arguments:?}: {refused:?}");
        assert!(!refused.contains("sesame") && !refused.contains("hirty-one"), "a secret is not shown: {refused}");
    }
}

#[test]
fn values_at_the_ends_of_their_ranges_work() {
    for arguments in [
        &["--mixer-bitrate", "0"][..],
        &["--rtc-ice-servers", "stun:stun.example.org:3478,turn:[2001:db8::1]:3478?transport=tcp"],
        &["--rtmp-message", "16 MiB", "--hls-cache", "0"],
        &["--hls-part", "500ms", "--hls-segment", "500ms", "--hls-window", "2s"],
        &["--rooms-away-timeout", "100ms", "--rooms-empty-timeout", "1day"],
        &["--auth-secret", "thirty-two bytes, and not a one!"],
        &["--drain", "0s", "--ingest-grace", "0s"],
    ] {
        assert!(load(arguments).is_ok(), "{arguments:?}: {:?}", load(arguments).err());
    }
}

#[test]
fn values_that_would_do_nothing_are_refused() {
    let (blanks, line) = (" ".repeat(40), format!("{SECRET}\n"));
    for secret in [blanks.as_str(), line.as_str()] {
        for arguments in [&["--auth-secret", secret][..], &["--webhooks-url", "http://x/", "--webhooks-secret", secret]]
        {
            let refused = load(arguments).unwrap_err();
            assert!(
                matches!(refused, ConfigError::BlankSecret(_)) && !refused.to_string().contains(SECRET),
                "{refused}"
            );
        }
    }
    assert!(matches!(load(&["--mixer-x264-preset", ""]), Err(ConfigError::NoPreset)));
    assert!(matches!(load(&["--auth-audience", "me"]), Err(ConfigError::AudienceWithoutKey)));
    assert!(load(&["--auth-audience", "me", "--auth-secret", SECRET]).is_ok());
    assert!(load(&["--auth-audience", "me", "--auth-keys-file", "/etc/onmic/keys"]).is_ok());
}

#[test]
fn no_list_has_an_empty_entry() {
    let lists = options().into_iter().filter(|option| matches!(option.default, Value::Array(_)));
    let flags: Vec<String> = lists.map(|option| format!("--{}", option.flag)).collect();
    assert!(flags.len() >= 6, "{flags:?}");
    for flag in &flags {
        for text in [",", "x,,y", "x, "] {
            let refused = load(&[flag.as_str(), text, "--auth-secret", SECRET]).unwrap_err();
            assert!(matches!(refused, ConfigError::EmptyEntry(_)), "{flag} {text}: {refused}");
        }
    }
    assert!(load(&["--auth-audience", "", "--http-origins", " "]).is_ok(), "an empty text is an empty list");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("onmic.toml");
    fs::write(&file, "[auth]\nsecret_file = \"/etc/onmic/secret\"\naudience = [\" \"]\n").unwrap();
    let refused = load(&["--config", file.to_str().unwrap()]).unwrap_err().to_string();
    assert!(refused.contains("auth.audience has an empty entry"), "{refused}");
}

const SECURITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../SECURITY.md");

/// `UPDATE_DOCS=1 cargo test -p onmic-config documented` writes the table anew.
#[test]
fn the_limits_are_documented_with_their_defaults() {
    const MARKS: [&str; 2] = ["<!-- limits: written by a test -->\n", "<!-- end of limits -->"];
    let mut table = String::from("\n| option | default | range | where it is reached |\n| --- | --- | --- | --- |\n");
    for limit in limits::LIMITS {
        let default = (limit.value)(&Config::default());
        let row = format!("| `{}` | {default} | {} | {} |\n", limit.option, limit.range(), limit.consequence);
        table.push_str(&row);
    }
    table.push('\n');
    let text = fs::read_to_string(SECURITY).unwrap();
    let (before, rest) = text.split_once(MARKS[0]).unwrap();
    let (_, after) = rest.split_once(MARKS[1]).unwrap();
    let written = [before, MARKS[0], &table, MARKS[1], after].concat();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(SECURITY, &written).unwrap();
    }
    assert_eq!(fs::read_to_string(SECURITY).unwrap(), written, "UPDATE_DOCS=1 cargo test -p onmic-config documented");
}

#[test]
fn a_ladder_is_a_list_of_rungs_that_descend_and_may_be_empty() {
    let ladder = |text: &str| load(&["--mixer-ladder", text]).map(|config| config.mixer.ladder().unwrap());
    assert_eq!(load(&[]).unwrap().mixer.ladder().unwrap(), ladder("480p:1000k, 360p:600k, 180p:200k").unwrap());
    assert_eq!(ladder("").unwrap(), onmic_mixer::Ladder::default());
    for (text, sentence) in [
        ("360p:600", "mixer.ladder: \"360p:600\" is not a rung: write HEIGHTp:BITRATEk"),
        ("180p:200k, 360p:600k", "mixer.ladder: each rung of a ladder has a smaller bitrate"),
    ] {
        let refused = ladder(text).unwrap_err().to_string();
        assert!(refused.starts_with(sentence), "{refused}");
    }
}
