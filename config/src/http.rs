//! The options of `[http]`.

use std::time::Duration;

use onmic_http::client::Network;
use onmic_http::{BasePath, Origins};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The first parts of the paths of this server's own routes. `tidy` compares them with the routes.
const OWN_PATHS: [&str; 11] =
    ["api", "flv", "healthz", "hls", "metrics", "readyz", "sessions", "studio", "watch", "whep", "whip"];

/// Schemes by which no page comes, though an address of something else may have them. Applications that show pages have schemes of
/// their own, such as `capacitor`.
const NOT_OF_PAGES: [&str; 8] = ["about", "blob", "data", "file", "ftp", "javascript", "ws", "wss"];

/// The HTTP listener, and what browsers and proxies may do there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    pub port: u16,
    pub tls_certificate: String,
    pub tls_key: String,
    pub trusted_proxies: Vec<Network>,
    pub base_path: BasePath,
    pub origins: Vec<Origins>,
    pub frame_ancestors: Vec<Origins>,
    pub connections: usize,
    pub connections_per_address: usize,
    pub connections_per_second: u32,
    pub requests_per_second: u32,
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            port: 8080,
            tls_certificate: String::new(),
            tls_key: String::new(),
            trusted_proxies: Network::LOOPBACK.to_vec(),
            base_path: BasePath::default(),
            origins: Vec::new(),
            frame_ancestors: Vec::new(),
            connections: 20_000,
            connections_per_address: 2000,
            connections_per_second: 200,
            requests_per_second: 4000,
            header_timeout: Duration::from_secs(15),
        }
    }
}

impl Http {
    /// Checks that the base path does not begin like a route of this server: requests for that route would lead nowhere.
    pub(super) fn check_base_path(&self) -> Result<(), ConfigError> {
        if OWN_PATHS.contains(&self.base_path.first()) {
            return Err(ConfigError::BasePath(self.base_path.to_string()));
        }
        Ok(())
    }

    /// Checks that a server which asks for no tokens names the sites that it trusts, and that pages can be of these.
    pub(super) fn check_origins(&self, asks_for_tokens: bool) -> Result<(), ConfigError> {
        let trusted = [("http.origins", &self.origins), ("http.frame_ancestors", &self.frame_ancestors)];
        for (option, origins) in trusted {
            let wrong = origins.iter().map(Origins::to_string).find(|text| {
                text.split_once("://").is_some_and(|(scheme, _)| NOT_OF_PAGES.contains(&&*scheme.to_ascii_lowercase()))
            });
            if let Some(wrong) = wrong {
                return Err(ConfigError::OriginScheme(option, wrong));
            }
        }
        let all = trusted.into_iter().find(|(_, origins)| origins.iter().any(Origins::are_all));
        match all {
            Some((option, _)) if !asks_for_tokens => Err(ConfigError::OpenToAllPages(option)),
            _ => Ok(()),
        }
    }
}
