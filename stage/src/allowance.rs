//! What a room's mix may cost: its part of the node's budget of pixels, and the form that this pays for.
//!
//! Nothing takes from a mix what it holds. A mix that grows, or begins late, takes the form that what is left pays for, and its
//! lead's publisher is told so. It becomes whole when others have ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::budget::Settled;
use onmic_media::{Advice, Budget, DropReason, Held, Hub, MediaKind, RoomName, Source, Spent, Work};
use onmic_mixer::price::{self, MixForm};

use crate::direction::Direction;

/// A mix becomes more at most this often, because each time its viewers see another size or frame rate.
const GROWS_EVERY: Duration = Duration::from_secs(5);

/// What a mix holds of the budget. Dropping it gives that back, and ends what its publisher was told.
pub(super) struct Allowance {
    room: RoomName,
    held: Held,
    whole: MixForm,
    form: Option<MixForm>,
    /// Whether it settled for less than the whole.
    is_less: bool,
    settled: Instant,
    changed: Instant,
    told: Option<Arc<Source>>,
}

impl Allowance {
    /// Begins with nothing.
    pub(super) fn new(room: RoomName, budget: &Arc<Budget>, whole: MixForm, now: Instant) -> Result<Self, Spent> {
        let held = budget.take(Work::Mix, 0)?;
        Ok(Self { room, held, whole, form: None, is_less: false, settled: now, changed: now, told: None })
    }

    /// Returns the form of the mix. `None` if the mix may not begin.
    pub(super) fn form(&self) -> Option<MixForm> {
        self.form
    }

    /// Returns when it settled last.
    pub(super) fn settled(&self) -> Instant {
        self.settled
    }

    /// Settles for what there is for the sources of `direction` as they are now. Returns the form.
    pub(super) fn settle(&mut self, direction: &Direction, hub: &Hub, now: Instant) -> Option<MixForm> {
        self.settled = now;
        let shown = direction.sources.iter().filter(|source| source.show);
        let inputs: Vec<u64> = shown.map(|source| pixel_rate(hub.source(&source.name), now)).collect();
        let before = self.form;
        let may_grow = now.saturating_duration_since(self.changed) >= GROWS_EVERY;
        let whole = self.whole;
        let form = self.held.settle(|room| choose(whole, before, &inputs, room, may_grow));
        if form != before {
            self.changed = now;
        }
        if self.note(form) {
            DropReason::MixReduced.count(1);
            tracing::warn!(room = %self.room, "the budget of pixels is spent: the program {}", sentence(form));
        }
        let lead = direction.sources.first().and_then(|lead| hub.source(&lead.name));
        self.tell(lead, self.is_less);
        self.form
    }

    /// Takes a form. Returns whether it is a reduction that is new.
    fn note(&mut self, form: Option<MixForm>) -> bool {
        let is_less = form.is_none_or(|form| self.whole.is_more_than(&form));
        let was_less = std::mem::replace(&mut self.is_less, is_less);
        let before = std::mem::replace(&mut self.form, form);
        is_less && (!was_less || form != before)
    }

    fn tell(&mut self, lead: Option<Arc<Source>>, is_less: bool) {
        let told = lead.filter(|_| is_less);
        let is_same = |other: &Arc<Source>| told.as_ref().is_some_and(|told| Arc::ptr_eq(told, other));
        if let Some(before) = self.told.take_if(|before| !is_same(before)) {
            before.advise_of_program(None);
        }
        if let Some(lead) = told {
            lead.advise_of_program(Some(Advice::Overloaded(sentence(self.form))));
            self.told = Some(lead);
        }
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.tell(None, false);
    }
}

/// Says how the program of this form is.
fn sentence(form: Option<MixForm>) -> String {
    let Some(MixForm { canvas, frame_rate_max, inputs }) = form else {
        return "is not mixed, and shows what it showed before".to_owned();
    };
    let mut sentence = format!("has {frame_rate_max:.0} frames per second at {}x{}", canvas.width, canvas.height);
    if inputs < usize::MAX {
        sentence.push_str(&format!(", and video of {inputs} of its participants"));
    }
    sentence
}

/// Chooses the form of a mix that has the form `before`, where it may hold `room` at most.
fn choose(
    whole: MixForm,
    before: Option<MixForm>,
    inputs: &[u64],
    room: u64,
    may_grow: bool,
) -> (Settled, Option<MixForm>) {
    let best = whole.within(room, inputs);
    let chosen = match (before, best) {
        // It does not begin with nothing but placeholders.
        (None, Some((MixForm { inputs: 0, .. }, _))) if !inputs.is_empty() => None,
        // More is taken with a tenth to spare, so that a price that wavers does not take it back soon.
        (Some(before), Some((best, _))) if best.is_more_than(&before) => {
            let more =
                whole.within(room - room / 10, inputs).filter(|(more, _)| may_grow && more.is_more_than(&before));
            more.or_else(|| Some((before, before.price(inputs))))
        }
        // Not even placeholders are paid for: a mix that runs goes on all the same.
        (Some(_), None) => Some((whole.least(), 0)),
        (_, best) => best,
    };
    let settled = |amount, form: Option<MixForm>| Settled { amount, lacks: form != Some(whole) };
    match chosen {
        Some((form, amount)) => (settled(amount, Some(form)), Some(form)),
        None => (settled(0, None), None),
    }
}

/// Returns the pixels per second of a source's video, 0 without video.
fn pixel_rate(source: Option<Arc<Source>>, now: Instant) -> u64 {
    let video = source.and_then(|source| source.feed().original(MediaKind::Video));
    video.map_or(0, |video| price::of_track(&video.parameters(), &video.measured(now)))
}

#[cfg(test)]
mod tests {
    use onmic_mixer::scene::Size;

    use super::*;

    const HD30: u64 = 1280 * 720 * 30;
    const WHOLE: MixForm = MixForm::whole(Size::HD, 30.0);

    fn form(before: Option<MixForm>, inputs: &[u64], room: u64, may_grow: bool) -> Option<MixForm> {
        let (settled, form) = choose(WHOLE, before, inputs, room, may_grow);
        assert!(settled.amount <= room, "{form:?} costs {} of {room}", settled.amount);
        assert_eq!(settled.lacks, form != Some(WHOLE));
        form
    }

    #[test]
    fn a_mix_is_reduced_at_once_and_grows_after_a_while_with_room_to_spare() {
        let inputs = [HD30, HD30];
        let price = WHOLE.price(&inputs);
        assert_eq!(form(None, &inputs, price, false), Some(WHOLE), "the first form is the best at once");
        let slow = form(Some(WHOLE), &inputs, price - 1, false).unwrap();
        assert_eq!((slow.frame_rate_max, slow.canvas), (15.0, Size::HD));
        assert_eq!(form(Some(slow), &inputs, price * 2, false), Some(slow));
        assert_eq!(form(Some(slow), &inputs, price, true), Some(slow), "nothing is to spare");
        assert_eq!(form(Some(slow), &inputs, price * 2, true), Some(WHOLE));
        let three = [HD30; 3];
        assert_eq!(form(Some(WHOLE), &three, WHOLE.price(&three), false), Some(WHOLE), "a participant is seen at once");
    }

    #[test]
    fn a_mix_that_may_show_nobody_does_not_begin_and_one_that_runs_goes_on() {
        let inputs = [HD30, HD30];
        assert_eq!(form(None, &inputs, HD30 / 8, true), None);
        assert_eq!(form(None, &[], HD30 / 8, true).unwrap().frame_rate_max, 15.0);
        assert_eq!(form(Some(WHOLE), &inputs, HD30 / 8, true).unwrap().inputs, 0);
        assert_eq!(form(Some(WHOLE), &inputs, 0, true).unwrap().inputs, 0);
    }

    #[test]
    fn a_reduction_is_counted_once_whether_or_not_there_is_a_publisher_to_tell() {
        let room = || "demo".parse().unwrap();
        let mut allowance = Allowance::new(room(), &Budget::new(1), WHOLE, Instant::now()).unwrap();
        let slow = Some(MixForm { frame_rate_max: 15.0, ..WHOLE });
        let forms = [None, None, slow, slow, Some(WHOLE), Some(WHOLE), slow, None];
        let counted = forms.map(|form| allowance.note(form));
        assert_eq!(counted, [true, false, true, false, false, false, true, true]);
    }

    #[test]
    fn a_form_is_told_as_a_sentence() {
        let message = |form| Advice::Overloaded(sentence(form)).message();
        let small = MixForm { canvas: Size::canvas(640, 360, Size::HD), frame_rate_max: 15.0, inputs: 1 };
        assert!(
            message(Some(small)).contains("the program has 15 frames per second at 640x360, and video of 1 of its")
        );
        assert!(message(None).contains("the program is not mixed, and shows what it showed before."));
    }
}
