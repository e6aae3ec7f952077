//! Connectivity checks of a peer that knows the password and puts any attributes into them. Each attribute is 16 bits
//! of type, then the value after 16 bits of length.

use crate::Input;
use crate::pair::{Pair, client_address, local, remote};
use onmic_rtc::transport::{Profile, stun_local_ufrag};
use rtc_stun::attributes::{ATTR_USERNAME, AttrType, RawAttribute};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, Message, Setter, TransactionId};
use rtc_stun::textattrs::TextAttribute;

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let crypto = rtc_crypto::default_provider().expect("a cryptography feature is enabled");
    let username = format!("{}:{}", local().ufrag, remote().ufrag);
    let mut setters: Vec<Box<dyn Setter>> = vec![
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId([7; 12])),
        Box::new(TextAttribute::new(ATTR_USERNAME, username)),
    ];
    while let Some(kind) = input.number()
        && let Some(value) = input.piece()
        && setters.len() < 64
    {
        let value = &value[..value.len().min(256)];
        let length = value.len() as u16;
        setters.push(Box::new(RawAttribute { typ: AttrType(kind), length, value: value.to_vec() }));
    }
    setters.push(Box::new(MessageIntegrity::new_short_term_integrity_with_provider(local().pwd, crypto.crypto())));
    setters.push(Box::new(FINGERPRINT));
    let mut message = Message::new();
    if message.build(&setters).is_err() {
        return;
    }
    let mut pair = Pair::new(&[Profile::AeadAes128Gcm]);
    assert_eq!(stun_local_ufrag(&message.raw).is_some(), message.raw.len() <= 1280);
    pair.deliver(true, message.raw);
    if let Some((_, answer)) = pair.flying.pop_front() {
        assert!(answer.len() < 256 && pair.flying.is_empty());
    }
    assert!(pair.server.remote_addr().is_none_or(|address| address == client_address()));
}
