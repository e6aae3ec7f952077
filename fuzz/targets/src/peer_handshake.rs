//! A handshake whose datagrams to the server are changed on their way. Two sides that are connected afterwards have the
//! same keys.
//!
//! One byte per datagram says what happens to it. Without more input it arrives unchanged.

use crate::Input;
use crate::pair::Pair;
use onmic_rtc::transport::{Input as Brought, Profile, State};

const STEPS: usize = 64;
const PROFILES: [&[Profile]; 3] =
    [&[Profile::AeadAes128Gcm], &[Profile::Aes128CmSha1], &[Profile::Aes128CmSha1, Profile::AeadAes128Gcm]];

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let profiles = PROFILES[usize::from(input.byte().unwrap_or(0)) % PROFILES.len()];
    let mut pair = Pair::validated(profiles);
    for _ in 0..STEPS {
        let Some((to_server, datagram)) = pair.flying.pop_front() else {
            let is_over = matches!(pair.server.state(), State::Closed(_)) || pair.is_connected();
            if is_over && input.0.is_empty() {
                break;
            }
            pair.wait();
            continue;
        };
        if to_server {
            change(&mut pair, &mut input, datagram);
        } else {
            pair.deliver(false, datagram);
        }
    }
    if pair.is_connected() {
        let mut sealed = [0; 64];
        let header = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
        let length = pair.server.seal_rtp(&header, b"picture", &mut sealed).expect("connected");
        let opened = pair.client.handle_datagram(pair.now, &mut sealed[..length]);
        assert!(matches!(opened, Ok(Brought::Rtp(packet)) if packet[12..] == *b"picture"));
    }
}

fn change(pair: &mut Pair, input: &mut Input<'_>, mut datagram: Vec<u8>) {
    let length = datagram.len();
    let place = |input: &mut Input<'_>| usize::from(input.number().unwrap_or(0)) % length;
    match input.byte().unwrap_or(0) % 16 {
        1 => return,
        2 => pair.deliver(true, datagram.clone()),
        3 | 4 => {
            let at = place(input);
            datagram[at] ^= input.byte().unwrap_or(1);
        }
        5 => {
            let at = place(input);
            datagram[at] = input.byte().unwrap_or(0xff);
        }
        6 => datagram.truncate(place(input)),
        7 => {
            let at = place(input);
            datagram.splice(at..at, input.piece().unwrap_or_default().iter().copied());
        }
        8 => {
            let (from, to) = (place(input), place(input));
            datagram.drain(from.min(to)..from.max(to));
        }
        9 => pair.deliver(true, input.piece().unwrap_or_default().to_vec()),
        10 => {
            pair.flying.push_back((true, datagram));
            return;
        }
        11 => return fragments(pair, input, &datagram),
        12 => pair.wait(),
        _ => {}
    }
    pair.deliver(true, datagram);
}

/// Delivers the first handshake message of a record in two fragments, the second one first.
fn fragments(pair: &mut Pair, input: &mut Input<'_>, datagram: &[u8]) {
    const HEADERS: usize = 13 + 12;
    if datagram.len() <= HEADERS + 1 || datagram[0] != 22 {
        return pair.deliver(true, datagram.to_vec());
    }
    let (headers, body) = datagram.split_at(HEADERS);
    let body = &body[..body.len().min(usize::from(u16::from_be_bytes([headers[23], headers[24]])))];
    let cut = usize::from(input.number().unwrap_or(1)) % body.len().max(1);
    for (offset, part) in [(cut, &body[cut..]), (0, &body[..cut])] {
        let mut record = [headers, part].concat();
        record[11..13].copy_from_slice(&((12 + part.len()) as u16).to_be_bytes());
        record[19..22].copy_from_slice(&(offset as u32).to_be_bytes()[1..]);
        record[22..25].copy_from_slice(&(part.len() as u32).to_be_bytes()[1..]);
        pair.deliver(true, record);
    }
}
