//! onmic: a live streaming gateway. RTMP and WHIP in, WHEP, LL-HLS, HTTP-FLV and RTMP out.
//!
//! Reads the configuration, starts the node, and ends it on SIGTERM or Ctrl-C. What runs is in `node.rs`.

mod config;
mod health;
mod listen;
mod node;
mod pages;
mod telemetry;

use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use config::Config;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("onmic: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    let matches = config::command().get_matches();
    let config = Config::load(&matches)?;
    if matches.get_flag("healthcheck") {
        return health::ask(&config);
    }
    telemetry::start_logs(&config.log.filter)?;
    let metrics = telemetry::start_metrics()?;
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok().context("a TLS provider was set before")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let ended = tokio::spawn(end_on_signal(stop.clone())?);
        let outcome = node::run(config, metrics, stop).await;
        ended.abort();
        outcome
    })
}

fn end_on_signal(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    })
}
