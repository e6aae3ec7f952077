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
        let is_http = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
        let url =
            self.url.parse::<Uri>().ok().filter(is_http).ok_or_else(|| ConfigError::WebhookUrl(self.url.clone()))?;
        if self.secret.is_empty() { Err(ConfigError::WebhookWithoutSecret) } else { Ok(Some(url)) }
    }
}
