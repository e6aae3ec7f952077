//! Who gets in: the keys of tokens, and where tokens come over a network in clear.

use std::time::Duration;

use onmic_control::SECRET_BYTES;
use onmic_http::client::Network;
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    pub secret: String,
    pub secret_file: String,
    pub keys_file: String,
    pub audience: Vec<String>,
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

impl Default for Auth {
    fn default() -> Self {
        let (secret, secret_file, keys_file) = Default::default();
        Self { secret, secret_file, keys_file, audience: Vec::new(), grace: Duration::from_secs(30) }
    }
}

impl Auth {
    /// Whether the server asks for no tokens.
    pub fn is_open(&self) -> bool {
        [&self.secret, &self.secret_file, &self.keys_file].iter().all(|source| source.is_empty())
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_open() { "Auth(none)" } else { "Auth(keys)" })
    }
}

impl Config {
    /// Returns the secret in the contents of `auth.secret_file`: all of it but the end of the last line.
    pub fn secret_of_file(contents: &[u8]) -> Result<&[u8], ConfigError> {
        let secret = contents.strip_suffix(b"\n").unwrap_or(contents);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if secret.len() < SECRET_BYTES {
            return Err(ConfigError::ShortSecret { option: "auth.secret_file", bytes: secret.len() });
        }
        check_letters("auth.secret_file", secret)?;
        Ok(secret)
    }

    /// Checks the secrets that stand in the configuration itself.
    pub(super) fn check_secrets(&self) -> Result<(), ConfigError> {
        for (option, secret) in [("auth.secret", &self.auth.secret), ("webhooks.secret", &self.webhooks.secret)] {
            if (1..SECRET_BYTES).contains(&secret.len()) {
                return Err(ConfigError::ShortSecret { option, bytes: secret.len() });
            }
            if !secret.is_empty() {
                check_letters(option, secret.as_bytes())?;
            }
        }
        if !self.auth.secret.is_empty() && !self.auth.secret_file.is_empty() {
            return Err(ConfigError::TwoSecrets);
        }
        if !self.auth.audience.is_empty() && self.auth.is_open() {
            return Err(ConfigError::AudienceWithoutKey);
        }
        Ok(())
    }

    /// Returns a sentence for each port by which tokens come over a network in clear. A proxy that is named in
    /// `http.trusted_proxies` ends TLS itself. Those of loopback are named by default, and say nothing.
    pub fn in_clear(&self) -> Result<Vec<String>, ConfigError> {
        let has_proxy = self.http.trusted_proxies.iter().any(|network| !Network::LOOPBACK.contains(network));
        if self.auth.is_open() || self.address()?.is_loopback() || has_proxy {
            return Ok(Vec::new());
        }
        let mut sentences = Vec::new();
        if !self.has_certificate() {
            sentences.push(format!(
                "tokens come in clear by HTTP on port {}, and whoever listens can use them: set http.tls_certificate, or let a proxy \
                 have the certificate and name it in http.trusted_proxies",
                self.http.port
            ));
        }
        if self.rtmp.port != 0 {
            sentences.push(format!(
                "tokens in the stream keys of RTMP come in clear on port {}: let publishers use RTMPS (rtmp.tls_port), and set \
                 rtmp.port = 0",
                self.rtmp.port
            ));
        }
        Ok(sentences)
    }
}

/// Refuses a secret that anybody guesses, and one whose users hold another, without the end of its line.
fn check_letters(option: &'static str, secret: &[u8]) -> Result<(), ConfigError> {
    let is_blank = secret.iter().all(u8::is_ascii_whitespace);
    let has_end_of_line = secret.last().is_some_and(|last| b"\r\n".contains(last));
    if is_blank || has_end_of_line { Err(ConfigError::BlankSecret(option)) } else { Ok(()) }
}
