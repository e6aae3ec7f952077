//! The viewers, in a process of their own: each is a real session on a socket of its own, and all run in one thread.
//!
//! To leave the CPU to the server, only every tenth viewer decrypts. The others read the cleartext headers. All viewers
//! count every packet and note the time of every frame's last one. Like browsers they have no receive offload and
//! report once per second. They ask for no repairs: a packet that is lost here stays lost and is counted. Those whose network is bad
//! ([`Losses`]) ask for repairs, and count as viewers, but not in the figures of frames and latency.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{stdin, stdout};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_rtc::rtp::{ReceptionBlock, report};
use onmic_rtc::sdp::Direction;
use onmic_rtc::sdp::client::{Answered, H264, H264_REPAIRS, offer};
use onmic_rtc::transport::client::ClientConfig;
use onmic_rtc::transport::{Client, Credentials, DatagramKind, Identity, Input, Profile, classify};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{Sleep, sleep_until};

use crate::losses::Losses;
use crate::source::{AUDIO_TICKS, VIDEO_TICKS, nanos, read_stamp};
use crate::{machine, wire};

const DECRYPTS_EVERY: usize = 10;
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const SSRC: u32 = 7;
const RECEIVE_BYTES: usize = 1 << 20;

type Failure = Box<dyn std::error::Error>;

/// The notes of all viewers together.
#[derive(Default)]
struct Notes {
    counting: bool,
    connect: Vec<Duration>,
    packets: u64,
    /// The time when each frame was pushed, by whether it is video and by its number.
    pushed: HashMap<(bool, u32), u64>,
    /// The time when each frame was complete.
    arrived: Vec<((bool, u32), u64)>,
    /// The streams of the viewers with a clean network.
    streams: Vec<Rc<RefCell<[Stream; 2]>>>,
    viewers: usize,
    repairs: u64,
    cpu: Duration,
}

/// One stream of one viewer. Each viewer has audio first, then video.
#[derive(Clone, Default)]
struct Stream {
    ssrc: u32,
    /// The RTP time of frame 0.
    origin: Option<u32>,
    sequence: Option<u16>,
    /// The number of sequence numbers that were passed over.
    gaps: u64,
    first: Option<u32>,
    frames: u64,
    packets: u32,
}

/// Runs the process. Every `every`-th viewer, from the first on, loses `percent` of its packets. None does if `every` is 0.
pub fn run(every: usize, percent: u64) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (heard, mut messages) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Ok((tag, text)) = wire::read(&mut stdin()) {
            if heard.send((tag, text, Instant::now())).is_err() {
                return;
            }
        }
    });
    LocalSet::new().block_on(&runtime, async {
        let identity = Identity::generate()?;
        let notes = Rc::new(RefCell::new(Notes::default()));
        let mut local = Credentials::generate();
        while let Some((tag, text, now)) = messages.recv().await {
            match tag {
                wire::JOIN => {
                    local = Credentials::generate();
                    let text = offer(Direction::RecvOnly, &local, identity.fingerprint());
                    wire::write(&mut stdout(), wire::OFFER, &text)?;
                }
                wire::ANSWER => {
                    let number = notes.borrow().viewers;
                    notes.borrow_mut().viewers += 1;
                    let losses = number.is_multiple_of(every.max(1)).then(|| Losses::new(percent, number));
                    let losses = losses.filter(|_| every > 0);
                    let viewer = Viewer::new(&text, local.clone(), &identity, (&notes, losses), now).await?;
                    tokio::task::spawn_local(viewer.run());
                }
                wire::SINKS => {
                    let addresses = open_sinks(text.parse()?).await?;
                    wire::write(&mut stdout(), wire::SINKS, &addresses)?;
                }
                wire::BEGIN => begin(&mut notes.borrow_mut()),
                _ => {
                    let report = end(&mut notes.borrow_mut(), &text);
                    wire::write(&mut stdout(), wire::END, &report)?;
                }
            }
        }
        Ok(())
    })
}

fn begin(notes: &mut Notes) {
    notes.counting = true;
    notes.packets = 0;
    notes.repairs = 0;
    notes.arrived.clear();
    notes.cpu = machine::process_cpu();
    for streams in &notes.streams {
        streams.borrow_mut().iter_mut().for_each(Stream::restart);
    }
}

/// Ends the counting and writes the report. `made` has the numbers of audio and video frames in all.
fn end(notes: &mut Notes, made: &str) -> String {
    notes.counting = false;
    let made: Vec<u64> = made.split(' ').filter_map(|count| count.parse().ok()).collect();
    let (mut frames, mut lost_frames, mut gaps, mut incomplete) = ([0; 2], 0, 0, 0);
    for streams in &notes.streams {
        let streams = streams.borrow();
        for (kind, stream) in streams.iter().enumerate() {
            let expected = stream.first.map_or(0, |first| made[kind] - u64::from(first));
            frames[kind] += stream.frames;
            lost_frames += expected.saturating_sub(stream.frames);
            gaps += stream.gaps;
        }
        incomplete += usize::from(streams.iter().any(|stream| stream.first.is_none()));
    }
    let mut delays = [Vec::new(), Vec::new()];
    for (frame, at) in &notes.arrived {
        if let Some(pushed) = notes.pushed.get(frame) {
            delays[usize::from(frame.0)].push(Duration::from_nanos(at.saturating_sub(*pushed)));
        }
    }
    let [mut sound, mut video] = delays;
    let viewers = notes.streams.len();
    [
        ("connected", notes.connect.len().to_string()),
        ("connect_ms", spread(&mut notes.connect)),
        ("viewers_without_media", incomplete.to_string()),
        ("packets", notes.packets.to_string()),
        ("repairs", notes.repairs.to_string()),
        ("audio_frames_per_viewer", format!("{:.2}", frames[0] as f64 / viewers as f64)),
        ("video_frames_per_viewer", format!("{:.2}", frames[1] as f64 / viewers as f64)),
        ("lost_frames", lost_frames.to_string()),
        ("sequence_gaps", gaps.to_string()),
        ("video_ms", spread(&mut video)),
        ("audio_ms", spread(&mut sound)),
        ("client_cpu_s", (machine::process_cpu() - notes.cpu).as_secs_f64().to_string()),
    ]
    .map(|(name, value)| format!("{name}={value}\n"))
    .concat()
}

/// Writes the median, the 95th percentile and the largest, in milliseconds.
fn spread(delays: &mut [Duration]) -> String {
    delays.sort_unstable();
    let at = |percent: usize| {
        let index = (delays.len() * percent / 100).min(delays.len().saturating_sub(1));
        delays.get(index).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1e3)
    };
    format!("{:.2} {:.2} {:.2}", at(50), at(95), at(100))
}

async fn bind() -> Result<UdpSocket, Failure> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BYTES)?;
    socket.set_nonblocking(true)?;
    Ok(UdpSocket::from_std(socket)?)
}

async fn open_sinks(count: usize) -> Result<String, Failure> {
    let mut addresses = Vec::new();
    for _ in 0..count {
        let socket = bind().await?;
        addresses.push(socket.local_addr()?.to_string());
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 2048];
            while socket.readable().await.is_ok() {
                while socket.try_recv(&mut buffer).is_ok() {}
            }
        });
    }
    Ok(addresses.join(" "))
}

struct Viewer {
    client: Client,
    socket: UdpSocket,
    decrypts: bool,
    answered: Instant,
    report_at: Option<Instant>,
    losses: Option<Losses>,
    streams: Rc<RefCell<[Stream; 2]>>,
    notes: Rc<RefCell<Notes>>,
}

impl Viewer {
    async fn new(
        answer: &str,
        local: Credentials,
        identity: &Arc<Identity>,
        (notes, losses): (&Rc<RefCell<Notes>>, Option<Losses>),
        answered: Instant,
    ) -> Result<Self, Failure> {
        let answer = Answered::parse(answer).ok_or("the answer lacks a value")?;
        let server: SocketAddr = *answer.candidates.first().ok_or("no candidate")?;
        let config = ClientConfig {
            local,
            remote: answer.credentials,
            fingerprint: answer.fingerprint,
            server,
            role: answer.role,
            profiles: vec![Profile::AeadAes128Gcm],
        };
        let socket = bind().await?;
        socket.connect(server).await?;
        let streams = Rc::new(RefCell::new([Stream::default(), Stream::default()]));
        if losses.is_none() {
            notes.borrow_mut().streams.push(streams.clone());
        }
        let decrypts = losses.is_none() && notes.borrow().streams.len() % DECRYPTS_EVERY == 1;
        let client = Client::new(config, identity.clone(), answered);
        Ok(Self { client, socket, decrypts, answered, report_at: None, losses, streams, notes: notes.clone() })
    }

    async fn run(mut self) {
        let mut buffer = [0; 2048];
        let mut timer: std::pin::Pin<Box<Sleep>> = Box::pin(sleep_until(self.answered.into()));
        loop {
            while let Some(transmit) = self.client.poll_transmit() {
                // The client repeats a lost check or flight. This waits instead of trying, because a new socket is not
                // known to be writable.
                let _ = self.socket.send(&transmit.bytes).await;
            }
            let Some(deadline) = self.client.poll_timeout().into_iter().chain(self.report_at).min() else { return };
            if timer.deadline() != deadline.into() {
                timer.as_mut().reset(deadline.into());
            }
            tokio::select! {
                readable = self.socket.readable() => {
                    if readable.is_err() {
                        return;
                    }
                    self.receive(&mut buffer);
                }
                () = &mut timer => {
                    let now = Instant::now();
                    self.client.handle_timeout(now);
                    self.report(now);
                }
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8; 2048]) {
        let (now, at) = (Instant::now(), nanos());
        while let Ok(length) = self.socket.try_recv(buffer) {
            let datagram = &mut buffer[..length];
            if classify(datagram) == Some(DatagramKind::Rtp) {
                match &mut self.losses {
                    Some(losses) => {
                        let is_lost = losses.loses();
                        self.receive_over_losses(datagram, is_lost);
                    }
                    None => self.receive_rtp(datagram, now, at),
                }
            } else if self.client.handle_datagram(now, datagram) == Ok(Input::Connected) {
                self.report_at = Some(now + REPORT_INTERVAL);
                self.notes.borrow_mut().connect.push(now - self.answered);
            }
        }
    }

    /// Counts a packet that was sent, whether or not it arrives over a bad network, and asks for those that are missing.
    fn receive_over_losses(&mut self, datagram: &[u8], is_lost: bool) {
        let notes = &mut *self.notes.borrow_mut();
        let Some(losses) = &mut self.losses else { return };
        let payload_type = datagram[1] & 0x7f;
        notes.packets += u64::from(notes.counting);
        notes.repairs += u64::from(notes.counting && payload_type == H264_REPAIRS);
        if is_lost || payload_type != H264 {
            return;
        }
        let sequence = u16::from_be_bytes([datagram[2], datagram[3]]);
        let ssrc = u32::from_be_bytes([datagram[8], datagram[9], datagram[10], datagram[11]]);
        losses.arrived(ssrc, sequence);
        self.streams.borrow_mut()[1] = Stream { ssrc, sequence: Some(sequence), ..Stream::default() };
        let (mut request, mut sealed) = (Vec::new(), [0; 1500]);
        if losses.poll_request(SSRC, &mut request)
            && let Ok(length) = self.client.seal_rtcp(&request, &mut sealed)
        {
            let _ = self.socket.try_send(&sealed[..length]);
        }
    }

    fn receive_rtp(&mut self, datagram: &mut [u8], now: Instant, at: u64) {
        let (video, marker) = (datagram[1] & 0x7f == H264, datagram[1] & 0x80 != 0);
        let sequence = u16::from_be_bytes([datagram[2], datagram[3]]);
        let word = |at: usize| u32::from_be_bytes([datagram[at], datagram[at + 1], datagram[at + 2], datagram[at + 3]]);
        let (timestamp, ssrc) = (word(4), word(8));
        let streams = &mut *self.streams.borrow_mut();
        let notes = &mut *self.notes.borrow_mut();
        let stream = &mut streams[usize::from(video)];
        let ticks = if video { VIDEO_TICKS } else { AUDIO_TICKS };
        notes.packets += u64::from(notes.counting);
        // The first frames are sent faster than real time, so their timestamps are not on the line of the others.
        if self.decrypts || stream.origin.is_none() || !notes.counting {
            let opened = self.client.handle_datagram(now, datagram);
            let Ok(Input::Rtp(packet)) = opened else { panic!("RTP that does not open: {opened:?}") };
            if let Some((number, pushed)) = read_stamp(payload(packet), video) {
                notes.pushed.insert((video, number), pushed);
                stream.origin = Some(timestamp.wrapping_sub(number.wrapping_mul(ticks)));
            }
        }
        stream.ssrc = ssrc;
        stream.packets += 1;
        if let Some(before) = stream.sequence.replace(sequence) {
            stream.gaps += u64::from(sequence.wrapping_sub(before).wrapping_sub(1));
        }
        let Some(origin) = stream.origin.filter(|_| marker || !video) else { return };
        let number = timestamp.wrapping_sub(origin) / ticks;
        stream.first.get_or_insert(number);
        stream.frames += 1;
        if notes.counting {
            notes.arrived.push(((video, number), at));
        }
    }

    /// Sends a receiver report once per second, as browsers do.
    fn report(&mut self, now: Instant) {
        if self.report_at.is_none_or(|at| now < at) {
            return;
        }
        self.report_at = Some(now + REPORT_INTERVAL);
        let (fraction_lost, cumulative_lost) = self.losses.as_mut().map_or((0, 0), Losses::poll_report);
        let blocks = self.streams.borrow().clone().map(|stream| ReceptionBlock {
            ssrc: stream.ssrc,
            fraction_lost,
            cumulative_lost: cumulative_lost as i32,
            highest_sequence: u32::from(stream.sequence.unwrap_or(0)),
            jitter: 0,
            last_sender_report: 0,
            delay: 0,
        });
        let mut compound = Vec::new();
        report::receiver_report(&mut compound, SSRC, &blocks);
        let mut sealed = [0; 256];
        if let Ok(length) = self.client.seal_rtcp(&compound, &mut sealed) {
            let _ = self.socket.try_send(&sealed[..length]);
        }
    }
}

impl Stream {
    fn restart(&mut self) {
        self.gaps = 0;
        self.first = None;
        self.frames = 0;
    }
}

fn payload(packet: &[u8]) -> &[u8] {
    let extension = match packet[0] & 0x10 {
        0 => 0,
        _ => 4 + 4 * usize::from(u16::from_be_bytes([packet[14], packet[15]])),
    };
    &packet[12 + extension..]
}
