//! Texts that people show each other: display names, titles, reasons, messages.
//!
//! Invariant: no text changes how the text around it is read. A character that embeds or overrides a direction would turn the
//! rest of a line around (UAX #9), and make a name look like another one. Marks of a direction (U+200E, U+200F, U+061C) act on their
//! neighbours alone, and texts in Arabic or Hebrew need them, as emoji need joiners.

use crate::name::DISPLAY_NAME_MAX;

/// Returns whether a character may be part of a text that others see: it does not control a device, break lines, or embed,
/// override or isolate a direction. A message may have line feeds all the same.
pub fn may_be_shown(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns whether a text may be shown on one line.
pub fn is_line(text: &str) -> bool {
    text.chars().all(may_be_shown)
}

/// Returns the text without the characters that embed, override or isolate a direction.
pub fn without_turns(text: &str) -> String {
    text.chars().filter(|character| !matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')).collect()
}

/// Returns the name that others see: `text` without spaces around it and without characters that embed, override or isolate
/// a direction, which some programs put around every name. `None` unless 1 to [`DISPLAY_NAME_MAX`] characters are left, one of which is
/// seen, on one line.
pub fn display_name(text: &str) -> Option<String> {
    let name = without_turns(text);
    let name = name.trim();
    let fits = name.chars().count() <= DISPLAY_NAME_MAX && is_line(name) && name.chars().any(is_seen);
    fits.then(|| name.to_owned())
}

/// Returns whether a character is seen: it is not a space, a mark, a joiner, a filler or a variation of the one before.
fn is_seen(character: char) -> bool {
    let is_hidden = matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    );
    !is_hidden && !character.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_name_is_short_and_seen_and_on_one_line() {
        for name in ["李雷", "Anna Maria", "نگار\u{200c}ین", "👩\u{200d}🔧", "\u{200f}דנה"] {
            assert_eq!(display_name(name).as_deref(), Some(name));
        }
        assert_eq!(display_name(" Anna ").as_deref(), Some("Anna"));
        let longest = "x".repeat(DISPLAY_NAME_MAX);
        assert_eq!(display_name(&longest), Some(longest.clone()));
        for text in ["", "  ", "a\nb", "a\0", "a\u{2028}b", "\u{200b}\u{feff}", "\u{3164}", &(longest + "x")] {
            assert_eq!(display_name(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_name_does_not_turn_the_text_around_it() {
        let turning = [
            '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
        ];
        for turn in turning {
            assert_eq!(display_name(&format!("{turn}ann{turn}a")).as_deref(), Some("anna"), "{turn:?}");
            assert_eq!(display_name(&turn.to_string()), None);
            assert!(!may_be_shown(turn) && !is_line(&format!("a{turn}")));
        }
        assert!(is_line("Ein Titel – שלום") && may_be_shown('\u{200e}') && !may_be_shown('\n'));
    }
}
