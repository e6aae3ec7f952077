//! Faults of threads, for tests of what a panic costs. They come by what the threads call anyway: the recorder of metrics panics
//! when it is told of a measurement, or asked for a metric, for which a fault is planned.
#![allow(unreachable_pub)] // Each test that uses it is a crate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
};
use onmic_media::metric::THREADS_DIED;
use parking_lot::{Mutex, MutexGuard};

/// The fault that is planned.
static PLAN: Mutex<Option<Fault>> = Mutex::new(None);
/// The deaths that were counted, by the name of the thread.
static DEATHS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
/// The recorder of a process cannot be replaced, so tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// The next `times` measurements of what is labelled `label` panic on threads of this name.
struct Fault {
    thread: &'static str,
    label: &'static str,
    times: u32,
}

/// The recorder of metrics of a test, which brings faults in.
pub struct Faults;

impl Faults {
    /// Installs the recorder, unless a test before has, and waits for the turn of this test.
    pub fn begin() -> MutexGuard<'static, ()> {
        let turn = TURN.lock();
        metrics::set_global_recorder(Self).ok();
        DEATHS.lock().clear();
        turn
    }

    /// Plans a fault.
    pub fn plan(thread: &'static str, label: &'static str, times: u32) {
        PLAN.lock().replace(Fault { thread, label, times });
    }

    /// Ends the fault.
    pub fn forget() {
        PLAN.lock().take();
    }

    /// Returns how often threads of this name have died in this test.
    pub fn deaths(thread: &str) -> u64 {
        DEATHS.lock().get(thread).copied().unwrap_or(0)
    }
}

/// Panics if a fault is planned for this measurement on this thread.
fn strike(labels: &[Label]) {
    {
        let mut plan = PLAN.lock();
        let Some(fault) = &mut *plan else { return };
        let is_meant =
            thread::current().name() == Some(fault.thread) && labels.iter().any(|label| label.value() == fault.label);
        if !is_meant || fault.times == 0 {
            return;
        }
        fault.times -= 1;
    }
    panic!("a planned fault");
}

/// A metric with its labels.
struct Metric(Vec<Label>);

impl CounterFn for Metric {
    fn increment(&self, value: u64) {
        *DEATHS.lock().entry(self.0[0].value().to_owned()).or_default() += value;
    }

    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Metric {
    fn record(&self, _: f64) {
        strike(&self.0);
    }
}

impl Recorder for Faults {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> = key.labels().cloned().collect();
        if key.name() == THREADS_DIED {
            return Counter::from_arc(Arc::new(Metric(labels)));
        }
        strike(&labels);
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        strike(&key.labels().cloned().collect::<Vec<_>>());
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Metric(key.labels().cloned().collect())))
    }
}
