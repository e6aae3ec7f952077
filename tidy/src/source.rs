//! A Rust file in which the parts that checks must not look at are blanked: comments, the contents of literals, and
//! tests.

/// Holds a Rust file.
pub struct Source {
    /// The path from the root of the project.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// The text, byte for byte, with spaces in place of comments, the contents of literals and items under
    /// `#[cfg(test)]`.
    pub code: String,
    /// The modules in files of their own that it declares only for tests.
    pub test_modules: Vec<String>,
}

impl Source {
    /// Makes a source from the text of a file.
    pub fn new(path: &str, text: &str) -> Self {
        let (code, test_modules) = without_tests(blanked(text));
        Self { path: path.to_owned(), text: text.to_owned(), code, test_modules }
    }

    /// Returns the lines of `code`, numbered from 1, each with the same line of `text`.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str, &str)> {
        self.code.lines().zip(self.text.lines()).zip(1..).map(|((code, text), number)| (number, code, text))
    }

    /// Returns the number and the text of the line that the byte `at` is in.
    pub fn line_at(&self, at: usize) -> (usize, &str) {
        let number = self.text[..at].matches('\n').count() + 1;
        (number, self.text.lines().nth(number - 1).unwrap_or_default().trim())
    }

    /// Returns the lines that have `word` in `code`, as a whole word or a whole path.
    pub fn find<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        self.lines().filter(move |(_, code, _)| has_word(code, word)).map(|(number, _, text)| (number, text.trim()))
    }
}

/// Returns whether `line` has `word`, and not only as a part of a longer name.
pub fn has_word(line: &str, word: &str) -> bool {
    let is_name = |character: Option<char>| character.is_some_and(|one| one.is_alphanumeric() || one == '_');
    let goes_on = |behind: &str| word.ends_with(|end| is_name(Some(end))) && is_name(behind.chars().next());
    let starts_before = |before: &str| word.starts_with(|first| is_name(Some(first))) && is_name(before.chars().last());
    line.match_indices(word).any(|(at, _)| !starts_before(&line[..at]) && !goes_on(&line[at + word.len()..]))
}

/// Replaces comments and literals in `text` by spaces.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest, 1, 0),
            'r' if !out.ends_with(|before: char| before.is_alphanumeric() || before == '_') => raw_string(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (gone, behind) = rest.split_at(length);
            blank(&mut out, gone);
            rest = behind;
        }
    }
    out
}

/// Appends spaces in place of `gone`, and its line ends.
fn blank(out: &mut String, gone: &str) {
    out.extend(gone.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
}

/// Returns the length of the comment that `rest` begins with. Comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Returns the length of the string that `rest` begins with. Its content begins after `opening` bytes, and it ends with
/// a quote and `hashes` hashes.
fn string(rest: &str, opening: usize, hashes: usize) -> usize {
    let (bytes, is_raw) = (rest.as_bytes(), opening > 1);
    let mut at = opening;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if !is_raw => at += 2,
            b'"' if bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count() >= hashes => {
                return at + 1 + hashes;
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Returns the length of the raw string that `rest` begins with, or 0 if there is none.
fn raw_string(rest: &str) -> usize {
    let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    if rest[1 + hashes..].starts_with('"') { string(rest, 2 + hashes, hashes) } else { 0 }
}

/// Returns the length of the character literal that `rest` begins with, or 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((escaped, _))) => rest[escaped + 1..].find('\'').map_or(0, |end| escaped + 1 + end + 1),
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 0,
    }
}

/// Replaces each item under `#[cfg(test)]` in `code` by spaces. Returns also the names of the modules among them that
/// are in files of their own.
fn without_tests(code: String) -> (String, Vec<String>) {
    const TEST: &str = "#[cfg(test)]";
    let (mut out, mut modules) = (String::with_capacity(code.len()), Vec::new());
    let mut rest = &code[..];
    while let Some(at) = rest.find(TEST) {
        let (before, item) = rest.split_at(at);
        let length = TEST.len() + item_length(&item[TEST.len()..]);
        let (item, behind) = item.split_at(length);
        if let Some(name) = item.strip_suffix(';').and_then(|item| item.rsplit_once("mod ")) {
            modules.push(name.1.trim().to_owned());
        }
        out.push_str(before);
        blank(&mut out, item);
        rest = behind;
    }
    out.push_str(rest);
    (out, modules)
}

/// Returns the length of an item, up to its semicolon or its closing brace.
fn item_length(item: &str) -> usize {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (at, character) in item.char_indices() {
        match character {
            '(' | '[' => others += 1,
            ')' | ']' => others = others.saturating_sub(1),
            '{' => braces += 1,
            '}' if braces > 1 => braces -= 1,
            '}' => return at + 1,
            ';' if braces == 0 && others == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_literals_and_tests_are_blanked_and_the_rest_keeps_its_position() {
        let text = r###"
let a = b; // spawn
/* spawn /* nested */ spawn */ let lifetime: &'a str = "spawn \" // spawn";
let raw = r#"spawn " spawn"#; let quote = '"'; let escaped = '\''; let letter = 'é';
#[cfg(test)]
use spawn::{spawn};
#[cfg(test)]
mod apart;
let after = 1;
#[cfg(test)]
#[expect(clippy::spawn, reason = "spawn")]
mod tests {
    fn a() { let x = [1; 2]; spawn() }
}
let last = 2;
"###;
        let source = Source::new("a.rs", text);
        assert_eq!(source.code.len(), text.len());
        assert_eq!(source.code.lines().count(), text.lines().count());
        assert!(!source.code.contains("spawn") && !source.code.contains("nested"), "{}", source.code);
        for kept in
            ["let a = b;", "let lifetime: &'a str =", "let raw =", "let letter =", "let after = 1;", "let last = 2;"]
        {
            assert!(source.code.contains(kept), "{kept} in {}", source.code);
        }
        assert_eq!(source.test_modules, ["apart"]);
        let at = text.find("let last").unwrap();
        assert_eq!(&source.code[at..at + 8], "let last");
    }

    #[test]
    fn a_word_is_not_found_in_a_longer_name() {
        assert!(has_word("tokio::spawn(x)", "spawn"));
        assert!(!has_word("respawn(x)", "spawn") && !has_word("spawned", "spawn"));
        assert!(has_word("a.elapsed()", ".elapsed()"));
        assert!(has_word("std::time::Instant::now()", "Instant::now"));
    }
}
