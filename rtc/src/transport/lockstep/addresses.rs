//! Which addresses a server peer talks to: one that proves nothing gets little, and media follows one that a NAT changes.

use super::*;

#[test]
fn an_address_that_answers_nothing_gets_few_flights() {
    let mut world = World::new(Setup { role: AS_CLIENT, ..Setup::default() });
    world.client.handle_timeout(world.start);
    let mut check = world.client.poll_transmit().unwrap().bytes;
    world.server.handle_datagram(world.start, world.client_address, &mut check).unwrap();
    let (mut sent, end) = (Vec::new(), world.start + Duration::from_secs(14));
    while world.now < end {
        while let Some(transmit) = world.server.poll_transmit() {
            sent.push((world.now - world.start, classify(&transmit.bytes).unwrap()));
        }
        world.now = world.server.poll_timeout().unwrap();
        world.server.handle_timeout(world.now);
    }
    let flights = sent.iter().filter(|(_, kind)| *kind == DatagramKind::Dtls);
    let flights: Vec<_> = flights.map(|(at, _)| at.as_millis() / 100).collect();
    assert_eq!(flights, [0, 10, 30, 70], "{sent:?}");
    assert_eq!(sent.len() - flights.len(), 4, "the answer, and three questions");
}

/// Returns the moments, in tenths of a second, at which a server sends DTLS to an address whose check and hello are forged: the
/// forger has the cookie from its own address, or has none. It sends the hello again in these intervals.
fn flights_to_a_victim(shows_cookie: bool, again: Option<Duration>) -> Vec<u128> {
    let mut world = World::new(Setup::default());
    let (forger, victim, start) = (world.client_address, address(6666), world.start);
    let mut hellos = Vec::new();
    for _ in 0..6 {
        world.client.handle_timeout(world.now);
        while let Some(mut datagram) = world.client.poll_transmit().map(|transmit| transmit.bytes) {
            match classify(&datagram) {
                Some(DatagramKind::Dtls) => hellos.push(datagram),
                _ => {
                    world.server.handle_datagram(world.now, victim, &mut datagram.clone()).unwrap();
                    world.server.handle_datagram(world.now, forger, &mut datagram).unwrap();
                }
            }
        }
        // The forger gets what the server answers to it: the check, and the cookie if it asks for that.
        if shows_cookie && hellos.len() == 1 {
            world.server.handle_datagram(world.now, forger, &mut hellos[0].clone()).unwrap();
        }
        while let Some(mut transmit) = world.server.poll_transmit() {
            if transmit.to == forger {
                let _ = world.client.handle_datagram(world.now, &mut transmit.bytes);
            }
        }
        world.now += Duration::from_millis(10);
    }
    assert_eq!(hellos.len(), 1 + usize::from(shows_cookie), "each is one datagram");
    let mut hello = hellos.pop().unwrap();
    let mut check = loop {
        world.client.handle_timeout(world.client.poll_timeout().unwrap());
        let mut sent = std::iter::from_fn(|| world.client.poll_transmit()).map(|transmit| transmit.bytes);
        if let Some(check) = sent.find(|bytes| classify(bytes) == Some(DatagramKind::Stun)) {
            break check;
        }
    };
    world.server.handle_datagram(world.now, victim, &mut check).unwrap(); // It nominates the victim.
    while world.server.poll_transmit().is_some() {}
    let (began, mut at, mut repeat) = (world.now, Vec::new(), Some(world.now));
    while world.now < start + Duration::from_secs(14) {
        if repeat.is_some_and(|repeat| repeat <= world.now) {
            let _ = world.server.handle_datagram(world.now, victim, &mut hello);
            repeat = again.map(|again| world.now + again);
        }
        while let Some(transmit) = world.server.poll_transmit() {
            if transmit.to == victim && classify(&transmit.bytes) == Some(DatagramKind::Dtls) {
                at.push((world.now - began).as_millis() / 100);
            }
        }
        let next = world.server.poll_timeout().into_iter().chain(repeat).min().unwrap();
        world.now = world.now.max(next);
        world.server.handle_timeout(world.now);
    }
    at.dedup();
    at
}

#[test]
fn a_victim_of_a_forged_hello_gets_few_flights() {
    assert_eq!(flights_to_a_victim(true, None), [0, 10, 30, 70]);
    assert_eq!(flights_to_a_victim(false, None), [0], "a cookie is sent once for each hello");
    let often = flights_to_a_victim(true, Some(Duration::from_millis(50)));
    assert!(often.len() <= 14, "{often:?}");
}

#[test]
fn an_ice_restart_keeps_media_and_ends_the_old_generation() {
    let mut world = World::connected(Setup::default());
    let (local, remote) = (Credentials::generate(), Credentials::generate());
    world.server.restart_ice(local.clone(), remote.clone());
    assert_eq!(world.server.local_ufrags().count(), 2);

    // The old generation stays valid until the client follows.
    world.run_for(Duration::from_secs(10));
    world.server_sends(1, b"before");
    world.client_address = address(6000);
    world.client.restart_ice(world.now, remote, local.clone());
    world.run_for(Duration::from_secs(1));
    world.server_sends(2, b"after");
    world.run_for(Duration::from_secs(40));

    assert_eq!(world.server.local_ufrags().collect::<Vec<_>>(), [local.ufrag]);
    assert_eq!(world.server.remote_addr(), Some(address(6000)));
    assert!(world.both_connected());
    let payloads: Vec<_> = world.client_got.iter().map(|packet| &packet[12..]).collect();
    assert_eq!(payloads, [&b"before"[..], b"after"]);
}

#[test]
fn media_goes_on_when_a_nat_gives_the_client_another_port() {
    let mut world = World::connected(Setup::default());
    // The client does not know, so it nominates nothing. What goes to the old port is lost.
    world.client.nominates = false;
    world.client_address = address(6000);
    world.run_for(Duration::from_secs(8));
    assert_eq!(world.server.remote_addr(), Some(address(6000)));
    world.server_sends(1, b"on");
    world.run_for(Duration::from_secs(60));
    assert!(world.both_connected());
    assert_eq!(world.client_got.len(), 1);
}

#[test]
fn a_publisher_whose_nat_gives_it_another_port_is_taken_at_once_and_answered_there() {
    let mut world = World::connected(Setup::default());
    world.client.nominates = false;
    world.client_address = address(6000);
    for sequence in 0..3 {
        let packet = world.client_seals(sequence, b"picture");
        world.send(true, packet);
    }
    world.run_for(Duration::from_millis(11));
    assert_eq!(world.server_got.len(), 3);
    assert_eq!(world.server.remote_addr(), Some(address(5000)), "nothing has answered at the other port");
    world.run_for(Duration::from_millis(20)); // The question and its answer: a round trip.
    assert_eq!(world.server.remote_addr(), Some(address(6000)));
    world.server_sends(1, b"report");
    world.run_for(Duration::from_secs(60));
    assert_eq!((world.client_got.len(), world.dropped.len()), (1, 0));
    assert!(world.both_connected());
    assert_eq!(world.server.remote_addr(), Some(address(6000)), "its checks come from there");
}

#[test]
fn media_with_a_forged_source_draws_a_question_a_second_and_no_media() {
    let mut world = World::connected(Setup::default());
    let victim = |number: u16| address(7000 + number);
    let mut asked = 0;
    for number in 0..300 {
        // Who is on the path holds packets back, and sends them with other sources.
        let packet = world.client_seals(number, b"picture");
        let (result, sent) = world.server_takes(victim(number), &packet);
        assert_eq!(result, Ok(()), "it is the peer's");
        assert!(sent.iter().all(|transmit| classify(&transmit.bytes) == Some(DatagramKind::Stun)));
        asked += sent.len();
        let (result, sent) = world.server_takes(victim(number), &packet);
        assert_eq!((result, sent), (Err(Dropped::AddressNotValidated), vec![]), "a second time it is not");
        world.run_for(Duration::from_millis(10));
        assert_eq!(world.server.remote_addr(), Some(address(5000)));
    }
    assert_eq!(asked, 3, "in three seconds");
}

#[test]
fn a_peer_that_nominates_an_address_is_not_followed_to_where_its_media_came_from() {
    let mut world = World::connected(Setup::default());
    let packet = world.client_seals(1, b"picture");
    let (_, questions) = world.server_takes(address(6000), &packet);
    world.run_for(Duration::from_secs(3)); // Its check nominates the address that it has.
    world.client.handle_datagram(world.now, &mut questions[0].bytes.clone()).unwrap();
    let answer = world.client.poll_transmit().unwrap().bytes;
    world.server_takes(address(6000), &answer).0.unwrap();
    assert_eq!(world.server.remote_addr(), Some(address(5000)));
}

#[test]
fn dtls_and_media_from_an_unchecked_address_are_dropped() {
    let mut world = World::connected(Setup::default());
    let mut hello = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
    let mut media = [0x80; 60];
    let stranger = address(7000);
    for datagram in [&mut hello[..], &mut media[..]] {
        let result = world.server.handle_datagram(world.now, stranger, datagram);
        assert_eq!(result, Err(Dropped::AddressNotValidated));
    }
}

#[test]
fn dtls_records_that_nothing_uses_are_dropped_with_a_reason() {
    let mut world = World::connected(Setup::default());
    let (from, now) = (world.client_address, world.now);
    let record = |kind, epoch| [&[kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 99, 0, 40][..], &[9; 40]].concat();
    for (kind, epoch) in [(23, 1), (23, 0), (21, 0)] {
        let dropped = world.server.handle_datagram(now, from, &mut record(kind, epoch)).err();
        assert_eq!(dropped, Some(Dropped::DtlsUnused), "{kind}");
    }
    let mut alerts = (0..99).map(|_| world.server.handle_datagram(now, from, &mut record(21, 1)).err());
    assert_eq!(alerts.by_ref().take_while(Option::is_none).count(), 16, "these are read");
    assert!(alerts.all(|dropped| dropped == Some(Dropped::DtlsUnused)));
    assert!(world.both_connected());
}

#[test]
fn random_datagrams_never_panic() {
    let mut world = World::connected(Setup::default());
    let mut fresh = World::new(Setup::default());
    fresh.run_for(Duration::from_millis(30));
    let mut random = StdRng::seed_from_u64(5);
    for _ in 0..20_000 {
        let mut datagram: Vec<u8> = (0..random.random_range(0..90)).map(|_| random.random()).collect();
        if let Some(first) = datagram.first_mut() {
            *first = [0, 1, 20, 21, 22, 23, 128, 144, 200, 255][random.random_range(0..10)];
        }
        if datagram.len() > 13 && datagram[0] < 64 {
            let rest = datagram.len() - 13;
            datagram[1..3].copy_from_slice(&[0xfe, 0xfd]);
            datagram[3..5].copy_from_slice(&[0, random.random_range(0..2)]);
            datagram[11..13].copy_from_slice(&(rest as u16).to_be_bytes());
        }
        let from = address(5000);
        for peer in [&mut world.server, &mut fresh.server] {
            let _ = peer.handle_datagram(world.now, from, &mut datagram.clone());
            while peer.poll_transmit().is_some() {}
        }
        let _ = world.client.handle_datagram(world.now, &mut datagram);
    }
    assert_eq!(world.server.state(), State::Connected);
}
