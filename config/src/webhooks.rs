//! The options of `[webhooks]`.

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use crate::ConfigError;

#[derive(Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    pub url: String,
    pub secret: String,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhooks({:?})", self.url)
    }
}

impl Webhooks {
    /// Returns the address of the receiver of events, if there is one.
    pub fn receiver(&self) -> Result<Option<Uri>, ConfigError> {
        if self.url.is_empty() {
            return Ok(None);
        }
        let is_http = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https")) && has_host_and_port(url);
        let has_user = |url: &str| url.split(['/', '?', '#']).nth(2).is_some_and(|authority| authority.contains('@'));
        if self.url.contains('#') || has_user(&self.url) {
            return Err(ConfigError::WebhookUrlParts);
        }
        let url =
            self.url.parse::<Uri>().ok().filter(is_http).ok_or_else(|| ConfigError::WebhookUrl(self.url.clone()))?;
        if self.secret.is_empty() { Err(ConfigError::WebhookWithoutSecret) } else { Ok(Some(url)) }
    }
}

/// Returns whether the address has a host, and a port that can be had where it states one.
fn has_host_and_port(url: &Uri) -> bool {
    let Some(authority) = url.authority() else { return false };
    let host = authority.host();
    let states_port = authority.as_str().len() > host.len();
    !host.is_empty() && (!states_port || authority.port_u16().is_some_and(|port| port > 0))
}
