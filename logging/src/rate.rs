//! Bounds how often each place in the code writes to the log.
//!
//! A stranger may open thousands of connections a second, each of which ends with a line. So each place has a burst of lines, and 20
//! per second after it. The lines beyond that are left out and counted, and the next one that is written says how many there
//! were. Libraries that write by the `log` crate have one place for each level. Invariant: no peer fills the disk of the log faster than [`LINES_PER_SECOND`] lines for each place in the code.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};

/// The lines that one place may write at once: two thousand sessions may begin, or end, together.
const BURST: u32 = 2048;
/// The lines per second of one place beyond that. With 350 bytes each they are 600 MB a day.
const LINES_PER_SECOND: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1000 / LINES_PER_SECOND as u64);

/// The allowance of one place.
#[derive(Debug)]
struct Place {
    /// Until when the lines written so far count. It lies in the future while the place uses its burst.
    used_until: Instant,
    left_out: u64,
}

impl Place {
    const fn new(now: Instant) -> Self {
        Self { used_until: now, left_out: 0 }
    }

    /// Returns whether a line may be written `now`, and if so, how many were left out before it.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let used_until = self.used_until.max(now) + PAUSE;
        if used_until.duration_since(now) > PAUSE * BURST {
            self.left_out += 1;
            return None;
        }
        self.used_until = used_until;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Lets through as many events of each place as [`Place`] allows.
pub struct LogRate<W> {
    places: Mutex<HashMap<Identifier, Place>>,
    /// Where the number of lines that were left out is written.
    notes: Mutex<W>,
    left_out: &'static AtomicU64,
}

impl<W: Write> LogRate<W> {
    /// Counts what is left out in `left_out`.
    pub fn new(notes: W, left_out: &'static AtomicU64) -> Self {
        Self { places: Mutex::default(), notes: Mutex::new(notes), left_out }
    }

    fn passes(&self, of: &'static Metadata<'static>, now: Instant) -> bool {
        let taken = {
            let mut places = self.places.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            places.entry(of.callsite()).or_insert_with(|| Place::new(now)).take(now)
        };
        match taken {
            None => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            Some(0) => {}
            Some(lines) => {
                let place = (of.file().unwrap_or_else(|| of.target()), of.line().unwrap_or_default());
                let note = format!("onmic: {lines} lines like the next one were left out ({}:{})\n", place.0, place.1);
                let mut notes = self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let _ = notes.write_all(note.as_bytes()); // The queue drops what it cannot take, and counts it.
            }
        }
        true
    }
}

impl<W: Write, S: Subscriber> Filter<S> for LogRate<W> {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE) // Without a hint, the other filter's would not count, and no event were cheap to leave out.
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.passes(event.metadata(), Instant::now())
    }
}

impl<W> fmt::Debug for LogRate<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LogRate").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Sender, channel};

    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{Layer, fmt, registry};

    use super::*;

    struct Lines(Sender<String>);

    impl Write for Lines {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_place_has_a_burst_and_then_20_lines_per_second() {
        let start = Instant::now();
        let mut place = Place::new(start);
        let at_once = (0..10_000).filter(|_| place.take(start).is_some()).count();
        assert_eq!(at_once, BURST as usize);
        let later = start + Duration::from_secs(10);
        let taken: Vec<_> = (0..10_000).filter_map(|_| place.take(later)).collect();
        assert_eq!(taken.len(), 10 * LINES_PER_SECOND as usize);
        assert_eq!((taken[0], taken[1]), (10_000 - u64::from(BURST), 0), "the first one tells of those left out");
        let much_later = later + Duration::from_secs(3600);
        assert_eq!((0..10_000).filter(|_| place.take(much_later).is_some()).count(), BURST as usize);
    }

    #[test]
    fn one_place_that_writes_too_much_silences_no_other() {
        static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
        let (sender, lines) = channel();
        let writer = Arc::new(Mutex::new(Lines(sender.clone())));
        let rate = LogRate::new(Lines(sender), &LEFT_OUT);
        let layer = fmt::layer().with_ansi(false).with_writer(move || Writer(writer.clone())).with_filter(rate);
        tracing::subscriber::with_default(registry().with(layer), || {
            for number in 0..BURST + 500 {
                tracing::info!(number, "loud");
            }
            tracing::info!("quiet");
        });
        let lines: Vec<_> = lines.try_iter().collect();
        let written = |what: &str| u64::try_from(lines.iter().filter(|line| line.contains(what)).count()).unwrap();
        assert_eq!(written("quiet"), 1);
        let left_out = LEFT_OUT.load(Ordering::Relaxed);
        assert!(left_out > 0 && written(" number=") + left_out == u64::from(BURST + 500), "{left_out}");
    }

    struct Writer(Arc<Mutex<Lines>>);

    impl Write for Writer {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
