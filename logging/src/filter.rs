//! The filter of the log (`log.filter`), in which a word that nothing is named after is refused.
//!
//! For the library each word that is not a level is a target. So `warning` is one, under which nobody logs, and the log stays empty.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::LogError;

/// The crates that log, each of which is a target with all below it.
const TARGETS: [&str; 17] = [
    "onmic",
    "onmic_names",
    "onmic_media",
    "onmic_room",
    "onmic_logging",
    "onmic_rtc",
    "onmic_listen",
    "onmic_http",
    "onmic_signalling",
    "onmic_ingest",
    "onmic_mixer",
    "onmic_stage",
    "onmic_packager",
    "onmic_edge",
    "onmic_store",
    "onmic_control",
    "onmic_config",
];

/// Reads a filter: levels, targets of this server, and `TARGET=LEVEL` for those of any program, separated by commas.
pub(crate) fn parse(text: &str) -> Result<EnvFilter, LogError> {
    let mut words = words(text).filter(|word| !word.is_empty()).peekable();
    if words.peek().is_none() {
        return Err(LogError::Empty);
    }
    if let Some(word) = words.find(|word| !has_meaning(word)) {
        return Err(LogError::Word(word.to_owned()));
    }
    // `rtc_dtls` warns of every extension of a ClientHello that it does not know; browsers send several. `rustls` warns of what
    // strangers send.
    EnvFilter::try_new(format!("rtc_dtls=error,rustls=error,{text}")).map_err(LogError::Filter)
}

/// Returns the words between commas, besides those within brackets, which separate the fields of a span.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    let between = text.split(move |character: char| {
        match character {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    });
    between.map(str::trim)
}

fn has_meaning(word: &str) -> bool {
    let target = word.split("::").next().unwrap_or_default();
    let says_level = word.rsplit_once('=').is_some_and(|(target, level)| !target.is_empty() && !level.is_empty());
    says_level || word.contains('[') || word.parse::<LevelFilter>().is_ok() || TARGETS.contains(&target)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_filter_is_made_of_levels_and_of_targets_that_exist() {
        for filter in [
            "info",
            "INFO",
            "off",
            "warn,onmic_rtc=debug",
            "info, onmic_rtc::session",
            "onmic",
            "info,",
            "hyper=trace",
            "[session{kind=whep}]=debug,info",
        ] {
            assert!(parse(filter).is_ok(), "{filter}: {:?}", parse(filter).err());
        }
        for (filter, word) in [
            ("inf", "inf"),
            ("warning", "warning"),
            ("info;debug", "info;debug"),
            ("info,onmic-rtc", "onmic-rtc"),
            ("info,onmic_rtk", "onmic_rtk"),
            ("onmic_rtc=", "onmic_rtc="),
        ] {
            let refused = parse(filter).unwrap_err().to_string();
            assert!(refused.contains("log.filter") && refused.contains(&format!("{word:?}")), "{refused}");
        }
        for filter in ["", " ", ","] {
            assert!(matches!(parse(filter), Err(LogError::Empty)), "{filter:?}");
        }
        assert!(matches!(parse("onmic=loud"), Err(LogError::Filter(_))));
    }

    #[test]
    fn the_targets_are_the_crates_of_the_server() {
        let workspace = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).unwrap();
        let members = workspace.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
        let names = members.trim_end_matches(']').split(", ").map(|name| name.trim_matches('"'));
        let mut crates: Vec<_> =
            names.filter(|name| !["fuzz/targets", "tidy"].contains(name)).map(|name| format!("onmic_{name}")).collect();
        crates.insert(0, "onmic".to_owned());
        assert_eq!(crates, TARGETS);
    }
}
