//! The forms in which an offer has media, as sentences about it name them.

use crate::sdp::{Flow, MediaKind, Offer, OfferedCodec};

/// The parameters of `a=fmtp` that make a form of a codec one that is not taken.
const FORM_PARAMETERS: [&str; 4] = ["profile-id", "profile", "packetization-mode", "tx-mode"];
/// The payload types that go beside a codec and are not codecs by themselves.
const REPAIRS: [&str; 6] = ["rtx", "red", "ulpfec", "flexfec-03", "telephone-event", "CN"];
/// The most forms that a sentence names, and the most characters of each.
const FORMS_NAMED: usize = 4;
const FORM_CHARS: usize = 60;

/// Names the forms in which the sections of a kind have media that flows this way. `None` if there is no such section.
pub(crate) fn offered_forms(offer: &Offer, kind: MediaKind, flow: Flow) -> Option<String> {
    let mut sections = offer.sections(kind, flow).peekable();
    sections.peek()?;
    let mut forms: Vec<String> = Vec::new();
    let codecs = sections.flat_map(|at| &offer.media[at].codecs);
    for form in codecs.filter(|codec| !REPAIRS.iter().any(|name| codec.name.eq_ignore_ascii_case(name))).map(form_of) {
        if forms.len() < FORMS_NAMED && !forms.contains(&form) {
            forms.push(form);
        }
    }
    Some(if forms.is_empty() { "no codec that it names".to_owned() } else { forms.join(", ") })
}

/// Names a payload type with the parameters for which this server may refuse it.
fn form_of(codec: &OfferedCodec) -> String {
    let stated = |name: &&str| Some(format!("{name}={}", codec.parameter(name)?));
    let stated: Vec<_> = FORM_PARAMETERS.iter().filter_map(stated).collect();
    let form = if stated.is_empty() { codec.name.clone() } else { format!("{} ({})", codec.name, stated.join(", ")) };
    printable(&form)
}

/// Cuts a peer's text, and leaves its printable characters alone.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|letter| letter.is_ascii_graphic() || *letter == ' ').take(FORM_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::Direction;
    use crate::sdp::client::offer;
    use crate::transport::{Credentials, Identity};

    fn forms(kind: MediaKind, flow: Flow, from: &str, to: &str) -> Option<String> {
        let fingerprint = Identity::generate().unwrap().fingerprint();
        let text = offer(Direction::SendOnly, &Credentials::generate(), fingerprint);
        assert!(text.contains(from), "{text}");
        offered_forms(&Offer::parse(&text.replace(from, to)).unwrap(), kind, flow)
    }

    #[test]
    fn forms_are_named_with_what_makes_them_differ_and_cut() {
        let video = |to: &str| forms(MediaKind::Video, Flow::Receive, "H264/90000", to).unwrap();
        assert_eq!(video("VP9/90000\r\na=fmtp:96 profile-id=2;x=y"), "VP9 (profile-id=2)");
        assert_eq!(video("ulpfec/90000"), "no codec that it names");
        let long = video(&format!("{}\u{7}/90000", "x".repeat(999)));
        assert!(long.len() <= FORM_CHARS && long.is_ascii(), "{long}");
    }

    #[test]
    fn sections_of_the_other_direction_have_no_forms() {
        let audio = |flow| forms(MediaKind::Audio, flow, "opus/48000/2", "PCMU/8000");
        assert_eq!((audio(Flow::Receive).as_deref(), audio(Flow::Send)), (Some("PCMU"), None));
    }
}
