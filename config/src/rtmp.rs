//! The options of `[rtmp]`.

use std::time::Duration;

use bytesize::ByteSize;
use onmic_ingest::rtmp::Applications;
use onmic_ingest::rtmp::stream_key::APPLICATION;
use serde::{Deserialize, Serialize};

use crate::ConfigError;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rtmp {
    pub port: u16,
    pub tls_port: u16,
    pub app: Vec<String>,
    pub connections: usize,
    pub connections_per_address: usize,
    pub connections_per_second: u32,
    #[serde(with = "humantime_serde")]
    pub start_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    pub message: ByteSize,
}

impl Default for Rtmp {
    fn default() -> Self {
        Self {
            port: 1935,
            tls_port: 0,
            app: vec![APPLICATION.to_owned()],
            connections: 1000,
            connections_per_address: 250,
            connections_per_second: 25,
            start_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            message: ByteSize::mib(8),
        }
    }
}

impl Rtmp {
    /// The applications that publishers and players may name.
    pub fn applications(&self) -> Result<Applications, ConfigError> {
        Applications::new(&self.app).map_err(ConfigError::RtmpApp)
    }
}
