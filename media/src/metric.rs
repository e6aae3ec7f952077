//! All metrics: the name, labels, unit and description of each are declared here and nowhere else. The crates count
//! under these names, and [`describe`] tells the recorder of the binary what they mean. A test writes docs/METRICS.md
//! from this list.

use metrics::{Histogram, Unit, describe_counter, describe_gauge, describe_histogram};

/// Declares the values of a label as an enum. Each value has a sentence, a variant and a name.
macro_rules! label_values {
    ($(#[$attribute:meta])+ $enum:ident: $($(#[doc = $line:literal])+ $variant:ident => $name:literal,)+) => {
        $(#[$attribute])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $enum {
            $($(#[doc = $line])+ $variant,)+
        }

        impl $enum {
            /// Lists all values.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns the value of the label.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Returns what the value means, as a sentence.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($line),+).trim(),)+
                }
            }
        }
    };
}
pub(crate) use label_values;

/// States how a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The value only grows.
    Counter,
    /// The value goes up and down.
    Gauge,
    /// The metric is a distribution of values.
    Histogram,
}

impl Kind {
    /// Returns the kind's name in Prometheus' text format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Describes one metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name. The unit comes last in it.
    pub name: &'static str,
    /// The kind of metric.
    pub kind: Kind,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// What the metric counts, as a sentence.
    pub sentence: &'static str,
}

/// Declares the metrics. Each has a sentence, a constant for the name, the name, the kind and the labels.
macro_rules! metrics_of_onmic {
    ($(#[doc = $line:literal] $constant:ident = $name:literal, $kind:ident, [$($label:literal),*];)+) => {
        $(#[doc = $line] pub const $constant: &str = $name;)+

        /// Lists all metrics.
        pub const ALL: &[Metric] = &[
            $(Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], sentence: $line },)+
        ];
    };
}

metrics_of_onmic! {
    /// Counts frames that came in or went out.
    FRAMES = "onmic_frames_total", Counter, ["direction", "protocol", "kind"];
    /// Counts bytes that came in or went out with media: those of RTP and RTCP packets, of RTMP connections, of HTTP-FLV and of the answers of LL-HLS. What UDP, TCP and TLS add is not counted.
    BYTES = "onmic_bytes_total", Counter, ["direction", "protocol"];
    /// Counts packets that went out to WebRTC viewers.
    PACKETS = "onmic_packets_total", Counter, ["direction", "protocol"];
    /// Counts requests and commands that were denied, by how they came and by the reasons below.
    DENIED = "onmic_denied_total", Counter, ["protocol", "reason"];
    /// Counts connections, WebSockets and answers of HTTP that the server ended, by how they were asked for and by the reasons below.
    CLOSED = "onmic_closed_total", Counter, ["protocol", "reason"];
    /// Counts what was dropped, by the reasons below.
    DROPS = "onmic_drops_total", Counter, ["reason"];
    /// Counts frames whose timestamps were corrected, by what was wrong with them.
    TIMESTAMPS_CORRECTED = "onmic_timestamps_corrected_total", Counter, ["reason"];
    /// Counts how often dates stepped because the system clock was set, by the direction: forward, back.
    CLOCK_STEPS = "onmic_clock_steps_total", Counter, ["direction"];
    /// Measures how long a frame took in one of the stages below, in seconds.
    STAGES = "onmic_stage_seconds", Histogram, ["stage"];
    /// Counts viewers; those of LL-HLS are estimated from their requests: one for each user agent of an address, 64 at most (IPv6: of a /64).
    VIEWERS = "onmic_viewers", Gauge, ["kind"];
    /// Counts sources.
    SOURCES = "onmic_sources", Gauge, ["protocol"];
    /// Counts connections.
    CONNECTIONS = "onmic_connections", Gauge, ["protocol"];
    /// Counts answers to LL-HLS requests.
    HLS_REQUESTS = "onmic_hls_requests_total", Counter, ["kind", "status"];
    /// Counts LL-HLS requests that wait for a part.
    HLS_BLOCKED = "onmic_hls_blocked", Gauge, [];
    /// Counts WHEP sessions that players gave up, and offers without a usable codec, by the reasons below.
    WHEP_GIVEN_UP = "onmic_whep_given_up_total", Counter, ["reason"];
    /// Counts the reports of WHEP viewers on how they receive video, or audio where they get no video, by what their network loses. Each viewer sends one a second.
    WHEP_REPORTS = "onmic_whep_reports_total", Counter, ["network"];
    /// Measures the round trip to WHEP viewers with each of these reports, in seconds.
    WHEP_ROUND_TRIP = "onmic_whep_round_trip_seconds", Histogram, ["network"];
    /// Measures for how long a WHEP viewer is told to hold frames back, so that repairs come in time, with each of these reports, in seconds.
    WHEP_HOLD = "onmic_whep_hold_seconds", Histogram, ["network"];
    /// Counts the packets that WHEP viewers asked for again, and what became of it, by the outcomes below.
    WHEP_REPAIRS = "onmic_whep_repairs_total", Counter, ["network", "outcome"];
    /// Measures the time from the arrival of a packet's frame to the repeat that a WHEP viewer asked for, in seconds.
    WHEP_REPAIR_AGE = "onmic_whep_repair_age_seconds", Histogram, ["network"];
    /// Counts how often the level of a WHEP viewer's video was another one than before, by the reasons below. Audio alone counts as one.
    WHEP_LEVEL_CHANGES = "onmic_whep_level_changes_total", Counter, ["reason"];
    /// Counts WHEP viewers who can have another level of the video, by the one that they get: main, rendition (another one of the publisher's), rung (one of the node's own ladder), none (audio alone).
    WHEP_LEVELS = "onmic_whep_levels", Gauge, ["level"];
    /// Counts what was open by a token, a ticket or a seat and was ended, by the reasons below.
    PERMITS_ENDED = "onmic_permits_ended_total", Counter, ["reason"];
    /// Counts threads and tasks that ended by a panic, by their name. Each was replaced, or ended what it was for.
    THREADS_DIED = "onmic_threads_died_total", Counter, ["thread"];
    /// Counts addresses that media of WebRTC publishers came from before a connectivity check did, as behind a NAT that gives another port.
    RTC_NEW_ADDRESSES = "onmic_rtc_new_addresses_total", Counter, [];
    /// Counts packets to WHEP viewers that make losses good without a request: repair packets of video (`fec`), and audio packets that repeat earlier ones (`red`).
    RTC_REDUNDANT_PACKETS = "onmic_rtc_redundant_packets_total", Counter, ["form"];
    /// Counts the bytes that these take: the payloads of `fec`, and what `red` adds to its packets.
    RTC_REDUNDANT_BYTES = "onmic_rtc_redundant_bytes_total", Counter, ["form"];
    /// Counts datagrams of WebRTC that came to a shard of the port and were handed to that of their session.
    RTC_HANDED_OVER = "onmic_rtc_handed_over_total", Counter, [];
    /// Measures the time since the last turn of the WebRTC thread that has been busy the longest, in seconds.
    RTC_TURN = "onmic_rtc_turn_seconds", Gauge, [];
    /// Counts tracks that are being derived now.
    DERIVED_TRACKS = "onmic_derived_tracks", Gauge, ["recipe"];
    /// Counts what is refused now, or has less than it wants, because a budget of the node is spent, by the kinds below.
    OVERLOAD = "onmic_overload", Gauge, ["kind"];
    /// Measures how much is held of a budget of the node: pixels per second, or bytes, by the kinds below.
    BUDGET_HELD = "onmic_budget_held", Gauge, ["kind"];
    /// Counts audio mixes that are running now.
    AUDIO_MIXES = "onmic_audio_mixes", Gauge, [];
    /// Counts audible jumps in the audio of mixed inputs.
    AUDIO_JUMPS = "onmic_audio_jumps_total", Counter, [];
    /// Counts rooms.
    ROOMS = "onmic_rooms", Gauge, [];
    /// Counts connections to the events of rooms.
    ROOM_CLIENTS = "onmic_room_clients", Gauge, [];
    /// Counts events of rooms.
    EVENTS = "onmic_events_total", Counter, ["kind"];
    /// Counts writes of the state that a restart keeps, by outcome: written, failed.
    STATE_WRITES = "onmic_state_writes_total", Counter, ["outcome"];
    /// Counts webhooks by outcome: sent, retried, failed.
    WEBHOOKS = "onmic_webhooks_total", Counter, ["outcome"];
}

label_values! {
    /// Names what takes time: these are the values of the label `stage` of [`STAGES`].
    Latency:
    /// The time from a frame's arrival, or from its turn if it was held, until the kernel has the packets of the last WHEP
    /// viewer.
    WhepSend => "whep_send",
    /// The time from the arrival of a part's last frame to the playlist that lists the part.
    HlsPart => "hls_part",
    /// The time from the arrival of the lead's video frame to the encoded frame of the mix that shows it.
    MixVideo => "mix_video",
    /// The time of one turn of an audio mix: it reads, mixes and encodes what is due.
    MixAudio => "mix_audio",
    /// The time from a video frame's entry into the deriver to the output of its H.264.
    TranscodeH264 => "transcode_h264",
    /// The time from a video frame's entry into the deriver to the output of its VP8.
    TranscodeVp8 => "transcode_vp8",
    /// The time from a video frame's entry into the deriver to the output of all its rungs.
    TranscodeRung => "transcode_rung",
    /// The time from an audio frame's entry into the deriver to the output of its Opus.
    TranscodeOpus => "transcode_opus",
    /// The time from an audio frame's entry into the deriver to the output of its AAC.
    TranscodeAac => "transcode_aac",
}

label_values! {
    /// Names what a viewer's network loses: these are the values of the label `network`. The loss is smoothed over seconds.
    Network:
    /// It loses less than 0.5 % of the packets.
    Clean => "clean",
    /// It loses 0.5 % to 5 %.
    Light => "light",
    /// It loses 5 % to 20 %.
    Heavy => "heavy",
    /// It loses 20 % or more.
    Severe => "severe",
}

impl Network {
    /// Returns the network that loses this share of packets, from 0 to 1.
    pub fn of_loss(loss: f32) -> Self {
        match loss {
            _ if loss >= 0.2 => Self::Severe,
            _ if loss >= 0.05 => Self::Heavy,
            _ if loss >= 0.005 => Self::Light,
            _ => Self::Clean,
        }
    }
}

label_values! {
    /// Names what became of requests for lost packets: these are the values of the label `outcome` of [`WHEP_REPAIRS`].
    Repair:
    /// A packet was asked for. Each packet counts once for a viewer.
    Asked => "asked",
    /// A packet was asked for again, though its repeat could have arrived. What is not asked again was repaired: one less
    /// `asked_again` / `asked` is the success.
    AskedAgain => "asked_again",
    /// A packet was repeated.
    Repeated => "repeated",
    /// A further copy of the repeat was sent, because the network loses much.
    Copied => "copied",
    /// A request came while a repeat was on its way, so it was passed over.
    Duplicate => "duplicate",
}

label_values! {
    /// Names why a viewer gets another level of the video: these are the values of the label `reason` of [`WHEP_LEVEL_CHANGES`].
    LevelReason:
    /// The viewer chose it by hand, or left the choice to the server again.
    Hand => "hand",
    /// The player does not need more pixels, or its own limit does not allow more bits.
    Size => "size",
    /// The estimate of the path does not carry the level before.
    Estimate => "estimate",
    /// Packets of the level before waited too long before they could leave.
    Queue => "queue",
    /// The path lost too much.
    Loss => "loss",
    /// The path carries more than the level before.
    Carried => "carried",
    /// The level before has ended, or is not there any more.
    Ended => "ended",
}

label_values! {
    /// Names the levels that viewers get: these are the values of the label `level` of [`WHEP_LEVELS`].
    LevelKind:
    /// The main video.
    Main => "main",
    /// Another rendition that the publisher makes.
    Rendition => "rendition",
    /// A rung of the node's own ladder.
    Rung => "rung",
    /// Audio alone.
    AudioOnly => "none",
}

label_values! {
    /// Names why a player gave WHEP up: these are the values of the label `reason` of [`WHEP_GIVEN_UP`]. All but the first
    /// are what the player says when it deletes its session (`DELETE /sessions/ID?reason=blocked`).
    GivenUp:
    /// The offer has no codec in which the room can be watched, so it was refused (406).
    NoCodec => "no_codec",
    /// The connection was not made: the network lets neither UDP nor TCP of WebRTC through, or no announced address is reached.
    Blocked => "blocked",
    /// The connection was made, and no media came.
    NoPacket => "no_packet",
    /// Video came, and the browser showed no frame of it.
    NoPicture => "no_picture",
    /// Only audio came, and the room has video.
    AudioOnly => "audio_only",
    /// Frames stopped during playback, and a new connection did not help.
    Stalled => "stalled",
    /// Most packets were lost on the way to the viewer.
    Lossy => "lossy",
    /// Packets were lost on the way to the viewer, and video was frozen for a tenth of the time.
    Frozen => "frozen",
    /// Packets were lost on the way to the viewer, and a twentieth of the audio was missing.
    AudioGaps => "audio_gaps",
    /// The player tried WHEP again beside LL-HLS, and the network still did not carry it.
    StillPoor => "still_poor",
    /// The player stated another reason.
    Other => "other",
}

impl GivenUp {
    /// Returns the reason of this name.
    pub fn named(name: &str) -> Self {
        Self::ALL.iter().copied().find(|reason| reason.name() == name).unwrap_or(Self::Other)
    }
}

impl Latency {
    /// Returns the histogram that records the seconds of this stage.
    pub fn histogram(self) -> Histogram {
        metrics::histogram!(STAGES, "stage" => self.name())
    }
}

/// Tells the recorder what each metric means.
pub fn describe() {
    for metric in ALL {
        let unit = match metric.name {
            name if name.ends_with("_seconds") => Unit::Seconds,
            BYTES => Unit::Bytes,
            _ => Unit::Count,
        };
        let sentence = metric.sentence.trim();
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, unit, sentence),
            Kind::Gauge => describe_gauge!(metric.name, unit, sentence),
            Kind::Histogram => describe_histogram!(metric.name, unit, sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write;

    use super::*;
    use crate::budget::Work;
    use crate::closed::Closed;
    use crate::denial::{Asked, Denial};
    use crate::drops::DropReason;
    use crate::permit::Ending;

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/METRICS.md");

    /// `UPDATE_DOCS=1 cargo test -p onmic-media documented` writes the document anew.
    #[test]
    fn every_metric_stage_and_drop_reason_is_documented() {
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(DOCUMENT, document()).unwrap();
        }
        let written = std::fs::read_to_string(DOCUMENT).unwrap();
        assert_eq!(written, document(), "UPDATE_DOCS=1 cargo test -p onmic-media documented");
    }

    #[test]
    fn every_name_is_declared_once_and_every_sentence_ends() {
        let names = ALL.iter().map(|metric| metric.name).chain(DropReason::ALL.iter().map(|reason| reason.name()));
        let count = ALL.len() + DropReason::ALL.len();
        assert!(GivenUp::ALL.iter().all(|reason| GivenUp::named(reason.name()) == *reason));
        assert_eq!(GivenUp::named("a reason of tomorrow"), GivenUp::Other);
        assert_eq!(names.collect::<BTreeSet<_>>().len(), count);
        let of_metrics = ALL.iter().map(|metric| metric.sentence);
        let sentences = of_metrics.chain(DropReason::ALL.iter().map(|reason| reason.sentence()));
        assert!(
            sentences
                .chain(Latency::ALL.iter().map(|stage| stage.sentence()))
                .chain(GivenUp::ALL.iter().map(|reason| reason.sentence()))
                .chain(Network::ALL.iter().map(|network| network.sentence()))
                .chain(Repair::ALL.iter().map(|outcome| outcome.sentence()))
                .chain(LevelReason::ALL.iter().map(|reason| reason.sentence()))
                .chain(LevelKind::ALL.iter().map(|kind| kind.sentence()))
                .chain(Ending::ALL.iter().map(|reason| reason.sentence()))
                .chain(Work::ALL.iter().map(|work| work.sentence()))
                .chain(Denial::ALL.iter().map(|reason| reason.sentence()))
                .chain(Asked::ALL.iter().map(|asked| asked.sentence()))
                .chain(Closed::ALL.iter().map(|reason| reason.sentence()))
                .all(|sentence| sentence.ends_with('.'))
        );
    }

    fn document() -> String {
        let mut out = String::from(
            "# Metrics\n\n`GET /metrics` answers in Prometheus' text format. This page is written from `media/src/metric.rs`, \
             `media/src/denial.rs`,\n`media/src/closed.rs` and `media/src/drops.rs` by a test.\n\n| metric | kind | labels | |\n| --- | --- | --- | --- |\n",
        );
        for Metric { name, kind, labels, sentence } in ALL {
            let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
            writeln!(out, "| `{name}` | {} | {labels} | {} |", kind.name(), sentence.trim()).unwrap();
        }
        out.push_str("\n## Stages\n\n| `stage` | |\n| --- | --- |\n");
        for stage in Latency::ALL {
            writeln!(out, "| `{}` | {} |", stage.name(), stage.sentence()).unwrap();
        }
        out.push_str("\n## Kinds of work that a budget of the node bounds\n\n| `kind` | |\n| --- | --- |\n");
        for work in Work::ALL {
            writeln!(out, "| `{}` | {} |", work.name(), work.sentence()).unwrap();
        }
        out.push_str("\n## Networks of viewers\n\n| `network` | |\n| --- | --- |\n");
        for network in Network::ALL {
            writeln!(out, "| `{}` | {} |", network.name(), network.sentence()).unwrap();
        }
        out.push_str("\n## Outcomes of requests for lost packets\n\n| `outcome` | |\n| --- | --- |\n");
        for outcome in Repair::ALL {
            writeln!(out, "| `{}` | {} |", outcome.name(), outcome.sentence()).unwrap();
        }
        out.push_str("\n## Reasons to get another level\n\n| `reason` | |\n| --- | --- |\n");
        for reason in LevelReason::ALL {
            writeln!(out, "| `{}` | {} |", reason.name(), reason.sentence()).unwrap();
        }
        out.push_str("\n## Reasons to give WHEP up\n\n| `reason` | |\n| --- | --- |\n");
        for reason in GivenUp::ALL {
            writeln!(out, "| `{}` | {} |", reason.name(), reason.sentence()).unwrap();
        }
        out.push_str("\n## Reasons to end what was opened\n\n| `reason` | |\n| --- | --- |\n");
        for reason in Ending::ALL {
            writeln!(out, "| `{}` | {} |", reason.name(), reason.sentence()).unwrap();
        }
        out.push_str("\n## Reasons to deny what was asked for\n\nThe label `protocol` is one of ");
        out.push_str(&Asked::ALL.iter().map(|asked| format!("`{}`", asked.name())).collect::<Vec<_>>().join(", "));
        out.push_str(
            ".\nA limit that denies counts a drop of its own name as well.\n\n| `reason` | |\n| --- | --- |\n",
        );
        for reason in Denial::ALL {
            writeln!(out, "| `{}` | {} |", reason.name(), reason.sentence()).unwrap();
        }
        out.push_str("\n## Reasons to end a connection or an answer\n\n| `reason` | |\n| --- | --- |\n");
        for reason in Closed::ALL {
            writeln!(out, "| `{}` | {} |", reason.name(), reason.sentence()).unwrap();
        }
        out.push_str(
            "\n## Reasons for drops\n\nA reader that fell behind is `behind_…` everywhere: \
             `sum(rate(onmic_drops_total{reason=~\"behind_.*\"}[5m]))`.\n\n| `reason` | |\n| --- | --- |\n",
        );
        for reason in DropReason::ALL {
            writeln!(out, "| `{}` | {} |", reason.name(), reason.sentence()).unwrap();
        }
        out
    }
}
