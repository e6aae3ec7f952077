//! The bad network of some viewers: packets that are lost before they arrive, requests for them, and what reports say of it.
//!
//! Losses are independent, and the same in every run. Each missing packet is asked for once, with the next datagram that arrives.

use onmic_rtc::rtp::report;

/// What one viewer loses.
pub struct Losses {
    percent: u64,
    random: u64,
    ssrc: u32,
    next: Option<u16>,
    missing: Vec<u16>,
    expected: u32,
    lost: u32,
    lost_in_all: u32,
}

impl Losses {
    /// Makes the network of the viewer with this number.
    pub fn new(percent: u64, number: usize) -> Self {
        let random = number as u64 + 1;
        Self { percent, random, ssrc: 0, next: None, missing: Vec::new(), expected: 0, lost: 0, lost_in_all: 0 }
    }

    /// Returns whether the next packet is lost.
    pub fn loses(&mut self) -> bool {
        // The generator of Marsaglia (xorshift64*).
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % 100 < self.percent
    }

    /// Notes a packet of video that has arrived, and those that are missing before it.
    pub fn arrived(&mut self, ssrc: u32, sequence: u16) {
        self.ssrc = ssrc;
        let first = self.next.unwrap_or(sequence);
        let missing = sequence.wrapping_sub(first);
        if missing >= 1 << 15 {
            return; // A repeat.
        }
        self.missing.extend((0..missing).map(|offset| first.wrapping_add(offset)));
        self.expected += u32::from(missing) + 1;
        self.lost += u32::from(missing);
        self.next = Some(sequence.wrapping_add(1));
    }

    /// Writes a request for the packets that are missing since the last one. Returns whether there is one.
    pub fn poll_request(&mut self, own_ssrc: u32, out: &mut Vec<u8>) -> bool {
        let wanted = !self.missing.is_empty();
        if wanted {
            report::nack(out, own_ssrc, self.ssrc, self.missing.drain(..));
        }
        wanted
    }

    /// Returns what a report says: the share that was lost since the last one, in 256ths, and the number lost in all.
    pub fn poll_report(&mut self) -> (u8, u32) {
        let share = (self.lost * 256).checked_div(self.expected).unwrap_or(0).min(255) as u8;
        self.lost_in_all += self.lost;
        (self.expected, self.lost) = (0, 0);
        (share, self.lost_in_all)
    }
}
