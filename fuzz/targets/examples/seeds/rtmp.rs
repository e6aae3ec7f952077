//! Seeds of the RTMP targets, made by our own writers.

use bytes::{Buf, Bytes};
use onmic_ingest::rtmp::amf::{self, Value};
use onmic_ingest::rtmp::chunk::{ChunkWriter, MessageHeader, Output};
use onmic_ingest::rtmp::message;
use onmic_media::codec::{aac, h264, nal};
use onmic_media::{Codec, Parameters, flv};

use crate::{FUZZ, Failure, save};

/// The stages at which a conversation begins: the first byte of the target.
mod after {
    pub const NOTHING: u8 = 0;
    pub const HANDSHAKE: u8 = 1;
    pub const CONNECT: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const WITH_TIME: u8 = 8;
}

pub fn write() -> Result<(), Failure> {
    let session = |name: &str, begins: u8, bytes: &[u8]| save("rtmp_session", name, &[&[begins, 255], bytes].concat());
    let connect = Peer::default().connect().done();
    let mut handshake = vec![0; 1 + 2 * 1536];
    handshake[0] = 3;
    session("publish", after::NOTHING, &[&handshake[..], &connect, &publish()].concat())?;
    session("connect", after::HANDSHAKE, &connect)?;
    session("commands", after::CONNECT, &publish())?;
    session("play", after::CONNECT, &play())?;
    session("media", after::PUBLISH, &media()?)?;
    session("media_in_time", after::PUBLISH | after::WITH_TIME, &media()?)?;
    session("media_without_headers", after::PUBLISH, &media_without_headers()?)?;
    session("more_after_a_refusal", after::HANDSHAKE, &more_after_a_refusal())?;
    session("control", after::PUBLISH, &control())?;

    save("rtmp_chunk", "commands", &[&[6], &connect[..]].concat())?;
    save("rtmp_chunk", "media", &[&[200], &media()?[..]].concat())?;
    // The seed has all header types, two interleaved streams, ids of two and three bytes, and an
    // extended timestamp.
    let headers: [&[u8]; 9] = [
        &[0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 4],
        &[0x04, 0, 0, 40, 0, 0, 6, 8, 1, 0, 0, 0, 1, 2, 3, 4],
        &[0x00, 9, 0xff, 0xff, 0xff, 0, 0, 5, 9, 1, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4],
        &[0xc4, 5, 6],
        &[0xc0, 9, 1, 0, 0, 0, 5],
        &[0x44, 0, 0, 23, 0, 0, 2, 8, 1, 2],
        &[0x84, 0, 0, 23, 3, 4],
        &[0xc4, 5, 6],
        &[0x01, 1, 1, 0, 0, 1, 0, 0, 1, 18, 1, 0, 0, 0, 5],
    ];
    save("rtmp_chunk", "headers", &[&[1], &headers.concat()[..]].concat())?;

    let values = Value::object([
        ("duration", Value::Number(0.0)),
        ("tags", Value::StrictArray(vec![Value::Null, Value::Undefined, Value::Date(5.0), Value::Boolean(true)])),
        ("inner", Value::EcmaArray(vec![("a".to_owned(), Value::text("b"))])),
    ]);
    save("amf", "values", &amf::write(&[Value::text("onMetaData"), values]))?;
    save("amf", "long_string_and_typed_object", b"\x0c\0\0\0\x01a\x10\0\x01C\0\x01a\x05\0\0\x09")?;
    // AMF3: an array, an object with traits, a reference to them, a dictionary. Then a reference, XML, Latin-1, a movie clip.
    let amf3 = b"\x11\x09\x05\x03k\x02\x01\x0a\x1b\x03C\x03m\x04\x05\x03d\x03\x01\x0a\x01\x05\0\0\0\0\0\0\0\0\x01\x11\x11\x03\0\x04\x01\x03";
    let odd = b"\x07\0\0\x0f\0\0\0\x03<a>\x02\0\x04caf\xe9\x04";
    save("amf", "odd", &[&amf3[..], odd].concat())?;
    save("amf", "capabilities", &amf::write(&[connect_object()]))
}

fn connect_object() -> Value {
    Value::object([
        ("app", Value::text("live/room?token=T")),
        ("flashVer", Value::text("FMLE/3.0 (compatible; FMSc/1.0)")),
        ("tcUrl", Value::text("rtmp://localhost/live?token=U")),
        ("fourCcList", Value::StrictArray(vec![Value::text("hvc1"), Value::text("*")])),
        ("videoFourCcInfoMap", Value::object([("av01", Value::Number(4.0))])),
        ("capsEx", Value::Number(1.0)),
    ])
}

fn publish() -> Bytes {
    let mut peer = Peer::default();
    let key = Value::text("anna?token=T");
    peer.command(0, "releaseStream", &[Value::Null, key.clone()]).command(0, "FCPublish", &[Value::Null, key.clone()]);
    peer.command(0, "createStream", &[Value::Null]).command(1, "publish", &[Value::Null, key, Value::text("live")]);
    peer.command(1, "FCUnpublish", &[Value::Null]).command(0, "unheard-of", &[]).done()
}

fn play() -> Bytes {
    let mut peer = Peer::default();
    peer.command(0, "createStream", &[Value::Null]).command(1, "play", &[Value::Null, Value::text("room")]);
    peer.command(1, "pause", &[Value::Null, Value::Boolean(true)]).command(1, "receiveVideo", &[Value::Null]);
    peer.command(1, "seek", &[Value::Null]).command(1, "deleteStream", &[Value::Null, Value::Number(1.0)]).done()
}

fn media() -> Result<Bytes, Failure> {
    let stream = nal::from_annex_b(&std::fs::read(format!("{FUZZ}/../media/tests/fixtures/h264_baseline.h264"))?);
    let sets = Parameters::H264(h264::Parameters::from_access_unit(&stream).ok_or("no parameter sets")?);
    let sound = Parameters::Aac(aac::Parameters::low_complexity(44_100, 2)?);
    let header = flv::write_video_header(Codec::H264, true, 40);
    let frame = [&header[..], &nal::join([&[0x65, 0x88, 0x84][..]])].concat();
    let about =
        [Value::text("@setDataFrame"), Value::text("onMetaData"), Value::object([("width", Value::Number(64.0))])];
    let mut peer = Peer::default();
    peer.message(4, message::DATA_AMF0, 0, amf::write(&about));
    peer.message(6, message::VIDEO, 0, flv::write_video_config(&sets)).message(6, message::VIDEO, 0, frame.clone());
    peer.message(4, message::AUDIO, 0, flv::write_audio_config(&sound));
    peer.message(4, message::AUDIO, 21, [&flv::write_audio_header(Codec::Aac)[..], b"\x21\x10"].concat());
    peer.message(6, message::VIDEO, 0xffff_fff0, frame.clone()).message(6, message::VIDEO, 30, frame);
    peer.message(6, message::AGGREGATE, 60, b"\x08\0\0\x04\0\0\x09\0\0\0\0\xaf\x01\x21\x10\0\0\0\x0f".to_vec());
    Ok(peer.done())
}

/// Writes video in start codes with its parameter sets in band, two frames of ADTS in one tag, and a codec nobody carries.
fn media_without_headers() -> Result<Bytes, Failure> {
    let stream = std::fs::read(format!("{FUZZ}/../media/tests/fixtures/h264_baseline.h264"))?;
    let aac = aac::Parameters::low_complexity(44_100, 2)?;
    let adts = [&aac.adts_header(2)?[..], b"\x21\x10"].concat();
    let mut peer = Peer::default();
    peer.message(6, message::VIDEO, 0, b"\x17\0\0\0\0".to_vec());
    peer.message(6, message::VIDEO, 0, [&b"\x17\x01\0\0\0"[..], &stream].concat());
    peer.message(4, message::AUDIO, 0, [&flv::write_audio_header(Codec::Aac)[..], &adts, &adts].concat());
    peer.message(4, message::AUDIO, 30, b"\x70\0".to_vec()).message(6, message::VIDEO, 33, b"\x91vvc1\0".to_vec());
    Ok(peer.done())
}

/// Writes one aggregate: a connect to an application that does not exist, and audio.
fn more_after_a_refusal() -> Bytes {
    let object = Value::object([("app", Value::text("vod"))]);
    let connect = amf::write(&[Value::text("connect"), Value::Number(1.0), object]);
    let part = |kind: u8, body: &[u8]| [&[kind, 0, 0, body.len() as u8, 0, 0, 0, 0, 0, 0, 0], body, &[0; 4]].concat();
    let parts = [part(message::COMMAND_AMF0, &connect), part(message::AUDIO, b"\xaf\x01")].concat();
    Peer::default().message(6, message::AGGREGATE, 0, parts).done()
}

fn control() -> Bytes {
    let mut peer = Peer::default();
    peer.message(2, message::SET_CHUNK_SIZE, 0, message::number(128)).message(2, message::ABORT, 0, message::number(4));
    peer.message(2, message::WINDOW_ACKNOWLEDGEMENT_SIZE, 0, message::number(20_000));
    peer.message(2, message::SET_PEER_BANDWIDTH, 0, message::peer_bandwidth(30_000, 0));
    peer.message(2, message::ACKNOWLEDGEMENT, 0, message::number(7));
    peer.message(2, message::USER_CONTROL, 0, message::user_control(message::PING_REQUEST, 9)).done()
}

#[derive(Default)]
struct Peer {
    writer: ChunkWriter,
    output: Output,
}

impl Peer {
    fn message(&mut self, chunk_stream: u8, kind: u8, timestamp: u32, body: impl Into<Bytes>) -> &mut Self {
        self.on(MessageHeader { chunk_stream, kind, timestamp, stream: 1 }, body.into())
    }

    fn command(&mut self, stream: u32, name: &str, arguments: &[Value]) -> &mut Self {
        let values = [&[Value::text(name), Value::Number(4.0)], arguments].concat();
        let header = MessageHeader { chunk_stream: 3, kind: message::COMMAND_AMF0, timestamp: 0, stream };
        self.on(header, amf::write(&values))
    }

    fn connect(&mut self) -> &mut Self {
        self.command(0, "connect", &[connect_object()])
    }

    fn on(&mut self, header: MessageHeader, body: Bytes) -> &mut Self {
        self.writer.write(&mut self.output, header, &[], body);
        self
    }

    fn done(&mut self) -> Bytes {
        self.output.copy_to_bytes(self.output.remaining())
    }
}
