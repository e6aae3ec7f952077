//! The `onmic` program: reads the configuration, starts a node, and stops it on SIGTERM, SIGQUIT or Ctrl-C.

use std::process::ExitCode;

use anyhow::Context;
use onmic::{Config, Node, command, health, telemetry};
use onmic_logging::Logs;
use tikv_jemallocator::Jemalloc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Serves Rust and FFmpeg alike. glibc's kept 119 MB after 32 conversions had ended; this gives them back in ten seconds.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match prepare() {
        Ok(Some((config, logs))) => match run(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                logs.say_last(&error);
                ExitCode::FAILURE
            }
        },
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            onmic_logging::say_without_log(&error);
            ExitCode::FAILURE
        }
    }
}

/// Reads the configuration and starts the log. Returns nothing to run if the command line asked for a health check, which
/// has passed then.
fn prepare() -> anyhow::Result<Option<(Config, Logs)>> {
    let matches = command().get_matches();
    let config = Config::load(&matches)?;
    if matches.get_flag("healthcheck") {
        health::ask(&config)?;
        return Ok(None);
    }
    let logs = Logs::start(&config.log.filter)?;
    for name in Config::ignored_variables()? {
        tracing::warn!(name, "an environment variable begins like an option and is not one; it is ignored");
    }
    Ok(Some((config, logs)))
}

fn run(config: &Config) -> anyhow::Result<()> {
    let metrics = telemetry::start_metrics()?;
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok().context("a TLS provider was set before")?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the tokio runtime does not start")?;
    runtime.block_on(async {
        let mut signals = Signals::watch()?;
        let mut node = Node::start(config, metrics)?;
        let outcome = tokio::select! {
            () = signals.next() => Ok(()),
            ended = node.ended() => ended,
        };
        node.stop().await?;
        outcome
    })
}

/// The signals that ask the process to stop, and those that would end it at once if nobody watched them.
struct Signals {
    stop: [Signal; 3],
    others: [Signal; 3],
}

impl Signals {
    fn watch() -> anyhow::Result<Self> {
        let watch = |kind| signal(kind).context("a signal cannot be watched");
        Ok(Self {
            stop: [watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?, watch(SignalKind::quit())?],
            others: [
                watch(SignalKind::hangup())?,
                watch(SignalKind::user_defined1())?,
                watch(SignalKind::user_defined2())?,
            ],
        })
    }

    /// Waits for a signal to stop. The end of a terminal and the rotation of logs end no stream.
    async fn next(&mut self) {
        let [terminate, interrupt, quit] = &mut self.stop;
        let [hangup, user1, user2] = &mut self.others;
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = quit.recv() => return,
                _ = hangup.recv() => {}
                _ = user1.recv() => {}
                _ = user2.recv() => {}
            }
            tracing::info!("a signal is passed over: files of keys and certificates are read again when they change");
        }
    }
}
