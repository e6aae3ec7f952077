//! A publisher and its network, the same for the same seed: each frame has a true moment of capture, the times that
//! the publisher states of it, and the moment at which it arrives.
//!
//! The same model drives the tests of the packager. Times are in µs of the true clock, from the start of the run.

#![allow(dead_code)] // Each test program uses a part of this module.

mod faults;
mod random;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use onmic_media::codec::{aac, h264, nal, opus};
use onmic_media::{Alignment, Arrival, ClockRate, MediaKind, Parameters, Protocol, Rendition, Ticks};

use self::faults::SECOND;
pub(crate) use self::faults::{Fault, Kind};
use self::random::Random;

/// How long before a fault, and after it, nothing else happens.
const APART: i64 = 20 * SECOND;

/// How long a session by WHIP waits for reports (`rtc/src/rtp/receive/timeline.rs`).
const PATIENCE: i64 = 8 * SECOND;

/// Is a frame on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) kind: MediaKind,
    /// The moment that it shows.
    pub(crate) captured: i64,
    /// The moment at which the encoder took it, in decoding order.
    pub(crate) decoded: i64,
    pub(crate) arrives: i64,
    pub(crate) arrival: Arrival,
}

#[derive(Clone, Copy, Debug)]
enum Cadence {
    /// Frames of this length.
    Even(i64),
    /// A screen that is shared: the length of frames changes every few seconds.
    Varying,
}

#[derive(Clone, Copy, Debug)]
enum Codec {
    Aac(u32),
    Opus,
}

#[derive(Clone, Debug)]
struct Video {
    cadence: Cadence,
    group: i64,
    b_frames: i64,
    base: i64,
    encoder_delay: i64,
}

#[derive(Clone, Debug)]
struct Audio {
    codec: Codec,
    base: i64,
    encoder_delay: i64,
    /// The first packet is captured then.
    from: i64,
}

/// Describes one run.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    pub(crate) seed: u64,
    pub(crate) protocol: Protocol,
    /// Whether sender reports tell how tracks lie beside each other. Some publishers by WHIP send none, or none that are true.
    reports: bool,
    video: Video,
    audio: Audio,
    /// The rate by which both clocks are fast, in ppm.
    drift: i64,
    /// The rate by which that of the audio is faster still, in ppm.
    audio_drift: i64,
    network_delay: i64,
    network_jitter: i64,
    pub(crate) faults: Vec<Fault>,
    lasts: i64,
}

impl Publisher {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let protocol = random.choose(&[Protocol::Rtmp, Protocol::Whip]);
        let lengths = [16_667, 20_000, 33_333, 33_333, 33_367, 40_000, 41_667, 66_667, 100_000];
        let cadence = if random.percent(10) { Cadence::Varying } else { Cadence::Even(random.choose(&lengths)) };
        let b_frames = if matches!(cadence, Cadence::Even(_)) { random.choose(&[0, 0, 1, 2]) } else { 0 };
        let one_clock = random.percent(70);
        let base = |random: &mut Random| random.choose(&[0, 77_000, SECOND, 1_814_400 * SECOND, -5 * SECOND]);
        let base_of_video = base(&mut random);
        let video = Video {
            cadence,
            group: random.between(1, 20) * SECOND,
            b_frames,
            base: base_of_video,
            encoder_delay: random.between(0, if one_clock { 400_000 } else { 80_000 }),
        };
        let audio = Audio {
            codec: random.choose(&[Codec::Aac(44_100), Codec::Aac(48_000), Codec::Opus]),
            base: if one_clock { base_of_video } else { base(&mut random) },
            encoder_delay: random.between(0, 40_000),
            from: if random.percent(20) { random.between(0, 8 * SECOND) } else { 0 },
        };
        let mut faults = Vec::new();
        let mut from = 12 * SECOND;
        for _ in 0..random.between(0, 3) {
            from += random.between(0, SECOND);
            let fault = Fault::draw(&mut random, from);
            from = fault.until + APART;
            faults.push(fault);
        }
        let drift = match random.between(0, 9) {
            0 | 1 => 0,
            2..=7 => random.between(-500, 500),
            _ => random.between(-10_000, 10_000),
        };
        let network_jitter = random.choose(&[0, 10_000, 50_000, 100_000, 150_000]);
        // A generator of its own, so that the other publishers stay as they are.
        let mut random_start = Random::new(seed ^ 0x6275_7273);
        if matches!(cadence, Cadence::Even(_)) && random_start.percent(15) {
            faults.insert(0, Fault::burst(random_start.between(1, 10) * SECOND));
        }
        let reports = protocol == Protocol::Whip && Random::new(seed ^ 0x7265_706f).percent(40);
        let audio_drifts = !reports && one_clock && faults.is_empty() && random_start.percent(60);
        let audio_drift = if audio_drifts { random_start.between(-50_000, 50_000) } else { 0 };
        let mut random_clock = Random::new(seed ^ 0x636c_6f63);
        // How much encoders delay is known by then, also after a burst.
        if audio_drift == 0 && random_clock.percent(20) {
            let fault = Fault::lasting(&mut random_clock, from.max(22 * SECOND));
            from = fault.until + APART;
            faults.push(fault);
        }
        Self {
            seed,
            protocol,
            reports,
            video,
            audio,
            drift,
            audio_drift,
            network_delay: random.between(2_000, 80_000),
            network_jitter,
            faults,
            lasts: from.max(30 * SECOND),
        }
    }

    /// Returns the frames in the order of their arrival.
    pub(crate) fn frames(&self) -> Vec<Sent> {
        let mut random = Random::new(!self.seed);
        let mut frames = self.video(&mut random);
        frames.extend(self.audio(&mut random));
        frames.sort_by_key(|sent| sent.arrives);
        self.deliver(&mut frames, &mut random);
        frames.sort_by_key(|sent| sent.arrives);
        frames
    }

    /// Returns whether audio and video state times of one clock. Otherwise nobody can tell them apart from what
    /// encoders delay.
    pub(crate) fn has_one_clock(&self) -> bool {
        self.audio.base == self.video.base
    }

    /// Returns the least and the largest delay from capture to arrival of frames that the network does not hold up.
    pub(crate) fn usual_delay(&self) -> (i64, i64) {
        let delays = [self.video.encoder_delay, self.audio.encoder_delay];
        let [least, most] = [delays[0].min(delays[1]), delays[0].max(delays[1])];
        (self.network_delay + least, self.network_delay + most + self.reordering())
    }

    /// Returns the least and the largest delay from capture to arrival while there is no fault.
    pub(crate) fn delay(&self) -> (i64, i64) {
        let (least, most) = self.usual_delay();
        (least, most + self.network_jitter)
    }

    /// Returns by how much the network delays some frames more than others.
    pub(crate) fn jitter(&self) -> i64 {
        self.network_jitter
    }

    /// Returns how long a frame of video is shown at most.
    pub(crate) fn longest_frame(&self) -> i64 {
        match self.video.cadence {
            Cadence::Even(length) => length,
            Cadence::Varying => SECOND,
        }
    }

    /// Returns the moment from which all tracks send.
    pub(crate) fn all_send_from(&self) -> i64 {
        self.audio.from
    }

    /// Returns what tells at this moment how tracks lie beside each other.
    pub(crate) fn alignment(&self, at: i64) -> Alignment {
        match self.protocol {
            Protocol::Rtmp => Alignment::Unreported,
            Protocol::Whip if self.reports => Alignment::Reported,
            Protocol::Whip if at < self.all_send_from() + PATIENCE => Alignment::Awaited,
            Protocol::Whip => Alignment::Unreported,
        }
    }

    /// Returns after how long it is known, and followed, that the clocks of audio and video run apart: after 10 s, unless the network
    /// delays each track by itself, and by so much that it hides the drift for longer. `media/src/clock/drift.rs` has the formula.
    pub(crate) fn drift_is_followed_after(&self) -> i64 {
        /// The half seconds of a window, and how far apart tracks have to get in them.
        const WINDOWS: [(f64, f64); 5] = [(8.0, 120e3), (12.0, 90e3), (16.0, 70e3), (24.0, 60e3), (40.0, 50e3)];
        if self.protocol == Protocol::Rtmp || self.audio_drift == 0 {
            return 10 * SECOND;
        }
        // Where only presentation is stated, frames come out of order by two of them, and one of each group of B-frames tells something.
        let length = self.longest_frame();
        let reordered = if self.states_only_presentation() { 2 * length } else { 0 };
        let uncertain = (self.network_jitter + reordered) as f64;
        let telling = 500e3 / (length * (self.video.b_frames + 1)) as f64;
        let deviation = uncertain / (12.0 * telling.clamp(1.0, 5.0)).sqrt();
        let is_found = |(count, rise): &(f64, f64)| {
            let error = (6.0 + 24.0 / (count - 2.0)) * deviation * (12.0 / count).sqrt();
            self.audio_drift.abs() as f64 * count / 2.0 >= error.max(*rise)
        };
        // One that is not found in the longest is made up for by moves.
        let half_seconds = WINDOWS.iter().find(|window| is_found(window)).map_or(40.0, |window| window.0);
        (10 * SECOND).max(half_seconds as i64 * SECOND / 2 + 2 * SECOND)
    }

    /// Returns how much later than captured the first frame is shown, because frames are reordered.
    pub(crate) fn reordering(&self) -> i64 {
        match self.video.cadence {
            Cadence::Even(length) if self.video.b_frames > 0 => length,
            _ => 0,
        }
    }

    /// Whether sender reports tell from then on how tracks lie beside each other, and not their timestamps. They are
    /// followed by the session, which this model has not.
    pub(crate) fn is_realigned(&self, at: i64) -> bool {
        self.reports && self.faults.iter().any(|fault| !fault.is_of_network() && fault.from <= at)
    }

    pub(crate) fn states_only_presentation(&self) -> bool {
        self.protocol == Protocol::Whip && self.video.b_frames > 0
    }

    fn video(&self, random: &mut Random) -> Vec<Sent> {
        let moments = self.moments(random);
        let run = usize::try_from(self.video.b_frames).unwrap() + 1;
        let mut frames = Vec::new();
        let (mut next_keyframe, mut ready) = (0, 0);
        for (at, decoded) in moments.iter().enumerate() {
            // Decoding order of two B-frames: 0, 3 1 2, 6 4 5.
            let shown = match at {
                0 => 0,
                _ if (at - 1) % run == 0 => at + run - 1,
                _ => at - 1,
            };
            let Some(captured) = moments.get(shown).copied() else { continue };
            let keyframe = (at == 0 || (at - 1) % run == 0) && captured >= next_keyframe;
            if keyframe {
                next_keyframe = captured + self.video.group;
            }
            ready = ready.max(captured.max(*decoded) + self.video.encoder_delay);
            if self.is_silent(MediaKind::Video, *decoded) {
                continue;
            }
            let moments = (captured, *decoded);
            frames.push(self.sent(MediaKind::Video, moments, ready, keyframe, frames.len(), random));
        }
        frames
    }

    /// Returns the moments of capture.
    fn moments(&self, random: &mut Random) -> Vec<i64> {
        let (mut moments, mut at, mut length, mut changes) = (Vec::new(), 0, 33_333, 0);
        while at < self.lasts {
            moments.push(at);
            match self.video.cadence {
                Cadence::Even(even) => length = even,
                Cadence::Varying if at >= changes => {
                    length = random.choose(&[33_333, 33_333, 66_667, 200_000, 1_000_000]);
                    changes = at + random.between(1, 6) * SECOND;
                }
                Cadence::Varying => {}
            }
            at += length;
        }
        moments
    }

    fn audio(&self, random: &mut Random) -> Vec<Sent> {
        let (samples, hz) = match self.audio.codec {
            Codec::Aac(hz) => (1024, i64::from(hz)),
            Codec::Opus => (960, 48_000),
        };
        let mut frames = Vec::new();
        for number in 0.. {
            let captured = self.audio.from + number * samples * SECOND / hz;
            if captured >= self.lasts {
                return frames;
            }
            if !self.is_silent(MediaKind::Audio, captured) {
                let ready = captured + self.audio.encoder_delay;
                frames.push(self.sent(MediaKind::Audio, (captured, captured), ready, true, frames.len(), random));
            }
        }
        frames
    }

    fn sent(
        &self,
        kind: MediaKind,
        (captured, decoded): (i64, i64),
        ready: i64,
        keyframe: bool,
        number: usize,
        random: &mut Random,
    ) -> Sent {
        let parameters = self.parameters(kind);
        let mut states = self.states(kind, decoded, random);
        if number % 2 == 1 && self.faults_of(kind).any(|fault| fault.kind == Kind::Pairs && fault.is_on(decoded)) {
            let before = match (kind, self.video.cadence, self.audio.codec) {
                (MediaKind::Video, Cadence::Even(length), _) => length,
                (MediaKind::Video, Cadence::Varying, _) => 33_333,
                (_, _, Codec::Aac(hz)) => 1024 * SECOND / i64::from(hz),
                (_, _, Codec::Opus) => 20_000,
            };
            states -= before;
        }
        let shown_after = captured + if kind == MediaKind::Video { self.reordering() } else { 0 } - decoded;
        let ticks = |micros: i64| match self.protocol {
            Protocol::Rtmp => Ticks(micros.div_euclid(1000)).rescale(ClockRate::MILLIS, parameters.clock_rate()),
            Protocol::Whip => Ticks(micros).rescale(ClockRate::MICROS, parameters.clock_rate()),
        };
        let pts = ticks(states + shown_after);
        let dts = if self.protocol == Protocol::Whip { pts } else { ticks(states) };
        let payload = payload(&parameters, keyframe);
        let arrival = Arrival { rendition: Rendition::MAIN, dts, pts, keyframe, parameters, payload };
        let arrives = ready + self.network_delay;
        Sent { kind, captured, decoded, arrives, arrival }
    }

    fn faults_of(&self, kind: MediaKind) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(move |fault| fault.of.includes(kind))
    }

    fn is_silent(&self, kind: MediaKind, at: i64) -> bool {
        self.faults_of(kind).any(|fault| matches!(fault.kind, Kind::Pause | Kind::Stood) && fault.is_on(at))
    }

    /// Returns what the clock of `kind` shows at `at`.
    fn states(&self, kind: MediaKind, at: i64, random: &mut Random) -> i64 {
        let base = if kind == MediaKind::Video { self.video.base } else { self.audio.base };
        let run: i64 = at + self.faults_of(kind).map(|fault| fault.stops(at)).sum::<i64>();
        // Its clock counts the samples from the first packet on.
        let sampled = if kind == MediaKind::Audio { run - self.audio.from } else { 0 };
        let mut shown = base + run + run * self.drift / SECOND + sampled * self.audio_drift / SECOND;
        for fault in self.faults_of(kind) {
            shown += fault.steps(at);
            if fault.is_on(at) {
                match fault.kind {
                    Kind::Missing => return 0,
                    Kind::SawTooth(length) => return (at - fault.from) % length,
                    Kind::Shaken(most) => shown += random.between(-most, most),
                    _ => {}
                }
            }
        }
        shown
    }

    /// Delays frames as the network does. RTMP keeps the order of all frames, and RTP that of each track.
    fn deliver(&self, frames: &mut [Sent], random: &mut Random) {
        let mut arrived = [i64::MIN; 2];
        for sent in frames {
            let mut at = sent.arrives + random.between(0, self.network_jitter.max(1));
            for fault in self.faults.iter().filter(|fault| fault.is_on(sent.arrives)) {
                match fault.kind {
                    Kind::Stall => at = at.max(fault.until),
                    Kind::Bunches(length) => at = at.max((sent.arrives / length + 1) * length),
                    _ => {}
                }
            }
            let order = if self.protocol == Protocol::Rtmp { 0 } else { sent.kind as usize };
            arrived[order] = at.max(arrived[order]);
            sent.arrives = arrived[order];
        }
    }

    fn parameters(&self, kind: MediaKind) -> Arc<Parameters> {
        thread_local! {
            static KNOWN: [Arc<Parameters>; 5] = known();
        }
        let index = match (kind, self.audio.codec) {
            (MediaKind::Audio, Codec::Aac(44_100)) => 2,
            (MediaKind::Audio, Codec::Aac(_)) => 3,
            (MediaKind::Audio, Codec::Opus) => 4,
            _ => usize::from(self.video.b_frames > 0),
        };
        KNOWN.with(|known| known[index].clone())
    }
}

impl fmt::Display for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            protocol,
            reports,
            video,
            audio,
            drift,
            audio_drift,
            network_delay,
            network_jitter,
            faults,
            ..
        } = self;
        writeln!(f, "seed {seed}: by {}, reports {reports}, {video:?}, {audio:?}", protocol.name())?;
        writeln!(
            f,
            "  drift {drift} ppm, of audio {audio_drift} ppm more, network {network_delay} µs and up to {network_jitter} µs more"
        )?;
        faults.iter().try_for_each(|Fault { kind, of, from, until }| {
            writeln!(f, "  {kind:?} of {of:?} from {:.3} to {:.3} s", *from as f64 / 1e6, *until as f64 / 1e6)
        })
    }
}

/// Returns video without and with B-frames, AAC at two rates, and Opus.
fn known() -> [Arc<Parameters>; 5] {
    let h264 = |stream: &[u8]| {
        Arc::new(Parameters::H264(h264::Parameters::from_access_unit(&nal::from_annex_b(stream)).unwrap()))
    };
    let aac = |hz| Arc::new(Parameters::Aac(aac::Parameters::low_complexity(hz, 2).unwrap()));
    [
        h264(include_bytes!("../../fixtures/h264_baseline.h264")),
        h264(include_bytes!("../../fixtures/h264_main_bframes.h264")),
        aac(44_100),
        aac(48_000),
        Arc::new(Parameters::Opus(opus::Parameters::new(2))),
    ]
}

/// Returns a slice of H.264, a packet of Opus that says 20 ms, or anything for AAC.
fn payload(parameters: &Parameters, keyframe: bool) -> Bytes {
    Bytes::from_static(match parameters {
        Parameters::H264(_) if keyframe => &[0, 0, 0, 2, 0x65, 0x88],
        Parameters::H264(_) => &[0, 0, 0, 2, 0x41, 0x9a],
        _ => &[0xfc, 0xff, 0xfe],
    })
}
