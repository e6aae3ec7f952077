//! TLS handshakes that fail, for all protocols.

use std::io;

use onmic_media::Closed;
use rustls::Error;

/// Returns why the server closed a connection over an error of its TLS handshake. `None` if the peer ended it, or it broke.
pub fn closed(error: &io::Error) -> Option<Closed> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    (!matches!(error, Error::AlertReceived(_))).then_some(Closed::Malformed)
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn only_what_is_not_tls_is_closed_by_the_server() {
        let invalid = |error| closed(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert_eq!(invalid(Error::DecryptError), Some(Closed::Malformed));
        assert_eq!(
            invalid(Error::AlertReceived(AlertDescription::UnknownCA)),
            None,
            "a peer that does not trust us leaves"
        );
        assert_eq!(closed(&io::ErrorKind::UnexpectedEof.into()), None);
    }
}
