//! Renders the media playlist, whole or as a delta update (rfc8216bis 4.4, 6.2).
//!
//! All clients get the same text. It is rendered by hand, because it has tags that no library writes.
//!
//! **The end of a segment** is listed together with the first part of the next one. Until then its parts are listed as those
//! of an open segment, and a client that asks for one more waits for that part. So the last lines of a playlist are never
//! a whole segment and a hint, which video.js 8 mistakes: it takes the parts that it had seen for parts of the hinted
//! segment, and asks again for the part that it has, which a cache answers with the same playlist for six target durations.
//! The first segment is listed at once, because players wait for it, and so is one whose successor has no parts.
//!
//! **Durations** are stated with nine decimals and longer by one part in twenty million ([`STRETCH`]), so that their sum is never behind
//! the media. shaka 5 places each part by the sum of the durations before it, and loses all frames up to the next keyframe
//! where the place that follows from the media is later than that by any amount ([`ORIGIN_SECONDS`]): with five decimals it lost
//! five of six parts at 30 frames per second.
//!
//! [`ORIGIN_SECONDS`]: crate::fragment::ORIGIN_SECONDS

use std::fmt::Write;
use std::time::Duration;

use crate::names::File;
use crate::rendition::Rendition;
use crate::segment::{Init, Segment};
use crate::settings::{PART_HOLD_BACK, Settings};

/// A stated duration is longer by one part in this many: by 4 ms a day. A part of 200 ms is longer by 10 ns, which is more
/// than shaka's sums are rounded by (a double has steps of 3.7 ns at 2^24 s).
const STRETCH: u64 = 20_000_000;

/// Parts are listed for segments within this many target durations of the end (rfc8216bis 6.2.2).
const PARTS_FOR: u32 = 3;

/// Holds what a playlist states beside its own rendition.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The other renditions of the stream, for EXT-X-RENDITION-REPORT.
    pub others: &'a [&'a Rendition],
    /// Whether the stream has ended.
    pub ended: bool,
}

/// The playlist of `rendition`, or `None` before its first segment: players need one, and it tells the target duration,
/// which may not change. With `skip` it leaves out the segments that a client
/// has had for six target durations. If there is no such segment, it is the whole playlist.
pub fn render(rendition: &Rendition, settings: &Settings, around: Around<'_>, skip: bool) -> Option<String> {
    let part_target = rendition.part_target()?;
    rendition.segments().next().filter(|_| rendition.newest().is_some())?;
    let mut text = String::with_capacity(8192);
    header(&mut text, rendition, settings, part_target);
    let ages = Ages::of(rendition);
    let skipped = if skip { ages.older_than(settings.skip_until()) } else { 0 };
    if skipped > 0 {
        line(&mut text, format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"));
    }
    // Players that see parts take the last one for the end of the playlist, so none is listed before a whole segment.
    let parted = rendition.segments().rposition(|segment| segment.whole).map_or(0, |whole| whole + 1);
    let begun = rendition.open().is_some_and(|open| open.whole || !open.listed().is_empty());
    let last = rendition.segments().len() - 1;
    let mut init: Option<&Init> = None;
    for (index, listed) in rendition.segments().enumerate() {
        if index >= skipped {
            let with_parts = index >= parted && ages.0[index] <= settings.target * PARTS_FOR;
            segment(&mut text, rendition, listed, init, with_parts.then_some(part_target));
            let has_parts = with_parts && !listed.listed().is_empty();
            if index < last || index == 0 || begun || around.ended || !has_parts {
                line(&mut text, format_args!("#EXTINF:{},", Seconds(stated(listed.duration))));
                line(&mut text, format_args!("{}", File::Segment(rendition.key(), listed.msn)));
            }
            // The MAP is repeated after EXT-X-SKIP: shaka 5 does not look it up in the playlist that it had before.
            init = Some(&listed.init);
        }
    }
    if let Some(open) = rendition.open().filter(|open| !open.listed().is_empty()) {
        segment(&mut text, rendition, open, init, Some(part_target));
    }
    if around.ended {
        text.push_str("#EXT-X-ENDLIST\n");
        return Some(text);
    }
    let hint = File::Part(rendition.key(), rendition.next_part());
    line(&mut text, format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}\""));
    for other in around.others {
        let Some(newest) = other.newest() else { continue };
        let uri = File::Playlist(other.key());
        line(
            &mut text,
            format_args!("#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={},LAST-PART={}", newest.msn, newest.part),
        );
    }
    Some(text)
}

fn header(text: &mut String, rendition: &Rendition, settings: &Settings, part_target: Duration) {
    text.push_str("#EXTM3U\n#EXT-X-VERSION:9\n");
    line(text, format_args!("#EXT-X-TARGETDURATION:{}", settings.target_secs()));
    line(
        text,
        format_args!(
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={:.1},PART-HOLD-BACK={:.3},HOLD-BACK={:.1}",
            settings.skip_until().as_secs_f64(),
            (part_target * PART_HOLD_BACK).as_secs_f64(),
            (settings.target * 3).as_secs_f64(),
        ),
    );
    line(text, format_args!("#EXT-X-PART-INF:PART-TARGET={:.3}", part_target.as_secs_f64()));
    let first = rendition.segments().next().map(|segment| segment.msn);
    let first = first.or(rendition.open().map(|open| open.msn)).unwrap_or(0);
    line(text, format_args!("#EXT-X-MEDIA-SEQUENCE:{first}"));
    line(text, format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", rendition.discontinuity_sequence()));
    if rendition.independent() {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
}

/// Writes all lines of a segment but its EXTINF and URI: those that must stand before its first part, and with a target for them
/// its parts.
fn segment(
    text: &mut String,
    rendition: &Rendition,
    segment: &Segment,
    before: Option<&Init>,
    part_target: Option<Duration>,
) {
    let key = rendition.key();
    if segment.discontinuity {
        text.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if before.is_none_or(|before| before.number != segment.init.number) {
        line(text, format_args!("#EXT-X-MAP:URI=\"{}\"", File::Init(key, segment.init.number)));
    }
    line(text, format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", segment.program_date_time));
    if segment.gap {
        text.push_str("#EXT-X-GAP\n");
    }
    let Some(part_target) = part_target else { return };
    for (number, part) in (segment.first_part..).zip(segment.listed()) {
        let uri = File::Part(key, number);
        let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
        let duration = Seconds(stated(part.duration).min(part_target));
        line(text, format_args!("#EXT-X-PART:DURATION={duration},URI=\"{uri}\"{independent}"));
    }
}

/// Holds the distance from the end of each complete segment to the end of the playlist.
struct Ages(Vec<Duration>);

impl Ages {
    fn of(rendition: &Rendition) -> Self {
        let open = rendition.open().filter(|open| !open.whole);
        let mut age = open.map_or(Duration::ZERO, |open| open.duration);
        let mut ages: Vec<_> = rendition
            .segments()
            .rev()
            .map(|segment| {
                let of_this = age;
                age += segment.duration;
                of_this
            })
            .collect();
        ages.reverse();
        Self(ages)
    }

    fn older_than(&self, limit: Duration) -> usize {
        self.0.iter().take_while(|age| **age > limit).count()
    }
}

/// The duration that is stated for one of this length ([`STRETCH`]).
fn stated(duration: Duration) -> Duration {
    duration + Duration::from_nanos((duration.as_nanos() as u64).div_ceil(STRETCH))
}

struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.0.as_secs(), self.0.subsec_nanos())
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
    text.push('\n');
}
