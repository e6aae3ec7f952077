//! Unchanged datagrams to a peer, from an address that has passed a check and from one that has
//! not.

use crate::Input;
use crate::pair::Pair;
use onmic_rtc::transport::{DatagramKind, Profile, Route, State, classify, stun_local_ufrag};

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut pair = Pair::validated(&[Profile::AeadAes128Gcm]);
    let mut input = Input(data);
    while let Some(datagram) = input.piece() {
        assert!(stun_local_ufrag(datagram).is_none_or(|fragment| !fragment.contains(':')));
        // A check may come from any address, the rest only from an address that has passed one.
        if classify(datagram) != Some(DatagramKind::Stun) {
            let mut copy = datagram.to_vec();
            assert!(
                pair.server.handle_datagram(pair.now, Route::Udp(([203, 0, 113, 5], 9).into()), &mut copy).is_err()
            );
        }
        pair.deliver(true, datagram.to_vec());
        pair.flying.clear();
    }
    assert_ne!(pair.server.state(), State::Connected);
    pair.wait();
    pair.server.close(pair.now);
}
