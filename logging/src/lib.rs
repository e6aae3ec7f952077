//! The log, on standard error. A thread of its own writes it, and nobody waits for that thread.
//!
//! Standard error may be a pipe that nobody reads, a terminal that is stopped, or a file on a full disk. So a line that finds
//! the queue full is dropped, and a line that cannot be written is lost. Both are counted ([`count_lost`]), and nothing else
//! happens. After [`Logs::start`] nothing may write to standard output or standard error by another way, panics included.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use onmic_media::DropReason;

mod filter;
mod rate;

use rate::LogRate;

/// How many lines may wait to be written: 4096 lines of 250 bytes are 1 MB. A session writes two lines at `info`, so they
/// hold the burst of 2000 viewers who come at once.
const LINES: usize = 4096;

/// How long the end of the process waits for the lines that are still in the queue. The library's own limits come to 1.1 s.
const FLUSH_LIMIT: Duration = Duration::from_millis(1500);

/// The lines that were lost since the start of the process.
static LOST: OnceLock<Lost> = OnceLock::new();
/// The lines that were left out because their place writes too many.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Why the log does not start.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("log.filter is not a filter")]
    Filter(#[source] ParseError),
    /// A word of the filter is neither a level nor a target of this server.
    #[error(
        "log.filter has {0:?}, which is neither a level (off, error, warn, info, debug, trace) nor a part of this server, such as onmic_rtc: levels of others are written TARGET=LEVEL"
    )]
    Word(String),
    /// The filter is empty.
    #[error("log.filter is empty: name a level, such as info, or off")]
    Empty,
    /// A process has one log.
    #[error("the log was started before")]
    Started,
}

/// A started log. Dropping it writes what waits, within [`FLUSH_LIMIT`].
pub struct Logs {
    queue: NonBlocking,
    guard: Option<WorkerGuard>,
}

/// Counts the lines that were lost.
#[derive(Clone)]
struct Lost {
    full: ErrorCounter,
    failed: Arc<AtomicU64>,
}

impl Logs {
    /// Starts the log of this process.
    pub fn start(filter: &str) -> Result<Self, LogError> {
        let filter = filter::parse(filter)?;
        let colours = io::stderr().is_terminal();
        let (logs, lost) = Self::write_to(io::stderr());
        LOST.set(lost).map_err(|_| LogError::Started)?;
        let lines = fmt::layer().with_ansi(colours).with_writer(logs.queue.clone());
        registry().with(lines.with_filter(filter.and(LogRate::new(logs.queue.clone(), &LEFT_OUT)))).init();
        std::panic::set_hook(Box::new(report_panic));
        Ok(logs)
    }

    fn write_to(writer: impl Write + Send + 'static) -> (Self, Lost) {
        let failed = Arc::new(AtomicU64::new(0));
        let writer = Forgiving { writer, failed: failed.clone() };
        let (queue, guard) =
            NonBlockingBuilder::default().buffered_lines_limit(LINES).lossy(true).thread_name("log").finish(writer);
        let lost = Lost { full: queue.error_counter(), failed };
        (Self { queue, guard: Some(guard) }, lost)
    }

    /// Writes the reason why the process ends, whatever the filter says. The reason is written in its alternate form, which
    /// names the causes of an error of `anyhow`.
    pub fn say_last(mut self, reason: &dyn Display) {
        let line = last_line(reason);
        let _ = self.queue.write_all(line.as_bytes()); // A queue drops the line or takes it, and does not fail.
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let Some(guard) = self.guard.take() else { return };
        // The guard waits for its thread, and writes to standard output if that does not answer. Either may stand still.
        let (done, ended) = sync_channel(1);
        let flushing = thread::Builder::new().name("log flush".into()).spawn(move || {
            drop(guard);
            let _ = done.send(());
        });
        if flushing.is_ok() {
            let _ = ended.recv_timeout(FLUSH_LIMIT);
        }
    }
}

/// Says why the process ends before it has a log.
pub fn say_without_log(reason: &dyn Display) {
    let _ = io::stderr().write_all(last_line(reason).as_bytes()); // There is nobody left to tell.
}

fn last_line(reason: &dyn Display) -> String {
    format!("onmic: {reason:#}\n")
}

/// Brings the counters of lost lines up to date. Call it before metrics are rendered.
pub fn count_lost() {
    let Some(lost) = LOST.get() else { return };
    let full = u64::try_from(lost.full.dropped_lines()).unwrap_or(u64::MAX);
    for (reason, lines) in [
        (DropReason::LogQueueFull, full),
        (DropReason::LogNotWritten, lost.failed.load(Ordering::Relaxed)),
        (DropReason::LogTooOften, LEFT_OUT.load(Ordering::Relaxed)),
    ] {
        if lines > 0 {
            reason.counter().absolute(lines);
        }
    }
}

/// Logs a panic. The usual hook would write to standard error on the thread that panics, which would wait for its reader.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let (name, what) = (thread.name().unwrap_or("unnamed"), panic.payload_as_str().unwrap_or("no message"));
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let trace = Backtrace::capture(); // RUST_BACKTRACE turns it on.
    match trace.status() {
        BacktraceStatus::Captured => tracing::error!("thread '{name}' panicked at {place}: {what}\n{trace}"),
        _ => tracing::error!("thread '{name}' panicked at {place}: {what}"),
    }
}

/// A writer that loses what it cannot write, and counts the lines.
struct Forgiving<W> {
    writer: W,
    failed: Arc<AtomicU64>,
}

impl<W: Write> Write for Forgiving<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.writer.write_all(line).is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.writer.flush(); // Standard error has no buffer, so nothing is lost here.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender};

    use super::*;

    /// A reader that has stopped reading: the first write waits for ever.
    struct Stalled(Receiver<()>);

    impl Write for Stalled {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A disk that is full.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    /// A reader that takes every line.
    struct Kept(SyncSender<Vec<u8>>);

    impl Write for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.send(line.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stalled_reader_costs_lines_that_are_counted_and_nobody_waits() {
        let (_never, stalled) = sync_channel(0);
        let (mut logs, lost) = Logs::write_to(Stalled(stalled));
        for _ in 0..LINES + 10 {
            logs.queue.write_all(b"a line\n").unwrap();
        }
        // One line may be with the writer already.
        assert!((9..=10).contains(&lost.full.dropped_lines()), "{}", lost.full.dropped_lines());
        drop(logs); // It ends although the writer never does.
    }

    #[test]
    fn a_full_disk_costs_lines_that_are_counted() {
        let (mut logs, lost) = Logs::write_to(Full);
        for _ in 0..10 {
            logs.queue.write_all(b"a line\n").unwrap();
        }
        drop(logs);
        assert_eq!((lost.failed.load(Ordering::Relaxed), lost.full.dropped_lines()), (10, 0));
    }

    #[test]
    fn the_reason_for_the_end_is_written_before_the_process_ends() {
        let (sender, lines) = sync_channel(10);
        let (logs, _) = Logs::write_to(Kept(sender));
        logs.say_last(&anyhow::anyhow!("the address is taken").context("cannot listen"));
        let line = String::from_utf8(lines.try_recv().unwrap()).unwrap();
        assert_eq!(line, "onmic: cannot listen: the address is taken\n");
    }
}
