//! The options of `[turn]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::rtc::is_ice_server;

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Turn {
    pub urls: Vec<String>,
    pub secret: String,
    pub secret_file: String,
    #[serde(with = "humantime_serde")]
    pub lifetime: Duration,
}

impl Default for Turn {
    fn default() -> Self {
        let (urls, secret, secret_file) = Default::default();
        Self { urls, secret, secret_file, lifetime: Duration::from_secs(6 * 3600) }
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Turn({:?})", self.urls)
    }
}

impl Turn {
    /// Returns the secret in the contents of `turn.secret_file`: all of it but the end of the last line.
    pub fn secret_of_file(contents: &[u8]) -> Result<&[u8], ConfigError> {
        let secret = contents.strip_suffix(b"\n").unwrap_or(contents);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if secret.iter().all(u8::is_ascii_whitespace) { Err(ConfigError::TurnSecret) } else { Ok(secret) }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_turn = |url: &&String| url.starts_with("turn") && is_ice_server(url);
        if let Some(wrong) = self.urls.iter().find(|url| !is_turn(url)) {
            return Err(ConfigError::TurnUrl(wrong.clone()));
        }
        let secrets = [&self.secret, &self.secret_file].iter().filter(|secret| !secret.trim().is_empty()).count();
        if secrets != usize::from(!self.urls.is_empty()) { Err(ConfigError::TurnSecret) } else { Ok(()) }
    }
}
