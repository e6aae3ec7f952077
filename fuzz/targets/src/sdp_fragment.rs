//! The body of a PATCH: an accepted fragment has complete credentials.

use onmic_rtc::sdp::{Candidate, Fragment, render_fragment};

/// Takes one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(fragment) = Fragment::parse(text) else { return };
    if let Some(ice) = fragment.ice {
        assert!((4..=256).contains(&ice.ufrag.len()) && (22..=256).contains(&ice.pwd.len()));
        let rendered = render_fragment(&ice, "0", &[Candidate::Udp(([192, 0, 2, 9], 8189).into())]);
        assert_eq!(Fragment::parse(&rendered).expect("our fragment parses").ice, Some(ice));
    }
}
