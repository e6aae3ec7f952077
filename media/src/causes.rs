//! An error as one line of text.

use std::error::Error;

/// Returns what an error says, and what each of its causes says, from the nearest to the first.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ended::{Ended, TakenOver};

    #[test]
    fn an_error_is_told_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("the stream broke")]
        struct Broke(#[source] std::io::Error);

        let cause = std::io::Error::other(Ended::from(TakenOver));
        let told = with_causes(&Broke(cause));
        assert_eq!(told, format!("the stream broke: {TakenOver}"));
    }
}
