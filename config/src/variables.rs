//! The environment variables that look like options and are not.
//!
//! A variable that was meant as an option and is not one would be missed in silence. So one under the name of a section is an
//! error, and so is one that is nearly an option. Others that begin with `ONMIC_` may belong to scripts around the server. They are
//! named in the log. Kubernetes tells every container of a namespace about its services: `ONMIC_SERVICE_HOST`,
//! `ONMIC_WEB_PORT_8080_TCP`. Those are nobody's mistake.

use super::ConfigError;
use super::option::Opt;

/// What all variables of options begin with.
const PREFIX: &str = "ONMIC_";

/// The variables that name something else than an option.
const OTHERS: [&str; 1] = ["ONMIC_CONFIG"];

/// The most edits by which a name is still taken for a slip of the pen.
const SLIPS: usize = 2;

/// Returns the names that are ignored, or the first one that was meant as one of `options`. `variables` are names and values.
pub fn ignored(
    options: &[Opt],
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<String>, ConfigError> {
    let known = || options.iter().map(|option| option.variable.as_str()).chain(OTHERS);
    let sections = || options.iter().filter(|option| option.path.len() > 1).map(|option| option.path[0].to_uppercase());
    let mut ignored = Vec::new();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if known().any(|known| known == name) || is_of_kubernetes(rest, &value) {
            continue;
        }
        let nearest = known().min_by_key(|known| strsim::levenshtein(known, &name)).unwrap_or_default();
        let is_in_section =
            sections().any(|section| rest.strip_prefix(section.as_str()).is_some_and(|key| key.starts_with('_')));
        if is_in_section || strsim::levenshtein(nearest, &name) <= SLIPS {
            return Err(ConfigError::UnknownVariable { name, nearest: nearest.to_owned() });
        }
        ignored.push(name);
    }
    ignored.sort();
    Ok(ignored)
}

/// Returns whether Kubernetes or docker links made a variable `ONMIC_rest` for a service.
fn is_of_kubernetes(rest: &str, value: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    let has = |wanted: &[&str]| words.windows(wanted.len()).any(|window| window == wanted);
    let has_port_of_protocol = words.windows(3).any(|window| {
        window[0] == "PORT" && window[1].parse::<u16>().is_ok() && ["TCP", "UDP", "SCTP"].contains(&window[2])
    });
    has(&["SERVICE", "HOST"]) || has(&["SERVICE", "PORT"]) || has_port_of_protocol || {
        words.last() == Some(&"PORT") && value.contains("://")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::option::options;

    fn found(name: &str, value: &str) -> Result<Vec<String>, String> {
        ignored(&options(), [(name.to_owned(), value.to_owned())]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_variable_that_was_meant_as_an_option_is_refused_with_the_nearest_one() {
        for (wrong, nearest) in [
            ("ONMIC_HTTP_PROT", "ONMIC_HTTP_PORT"),
            ("ONMIC_HTP_PORT", "ONMIC_HTTP_PORT"),
            ("ONMIC_HOTS", "ONMIC_HOST"),
            ("ONMIC_AUTH_SECERT", "ONMIC_AUTH_SECRET"),
            ("ONMIC_ROOMS_SEATS_MAX", "ONMIC_ROOMS_SEATS"),
            ("ONMIC_CONFG", "ONMIC_CONFIG"),
        ] {
            let refused = found(wrong, "1").unwrap_err();
            assert!(refused.contains(wrong) && refused.contains(nearest), "{refused}");
        }
    }

    #[test]
    fn options_and_what_is_not_ours_are_left_alone() {
        for (name, value) in [
            ("ONMIC_HTTP_PORT", "8080"),
            ("ONMIC_CONFIG", "onmic.toml"),
            ("HTTP_PORT", "1"),
            ("ONMIC_SERVICE_HOST", "10.0.0.1"),
            ("ONMIC_SERVICE_PORT_HTTP", "8080"),
            ("ONMIC_PORT", "tcp://10.0.0.1:8080"),
            ("ONMIC_HTTP_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("ONMIC_HTTP_SERVICE_HOST", "10.0.0.1"),
        ] {
            assert_eq!(found(name, value), Ok(Vec::new()), "{name}");
        }
    }

    #[test]
    fn what_is_far_from_any_option_is_named_in_the_log() {
        for name in ["ONMIC_BIN", "ONMIC_MEDIA", "ONMIC_HTTP", "ONMIC_IMAGE_TAG"] {
            assert_eq!(found(name, "x"), Ok(vec![name.to_owned()]));
        }
    }
}
