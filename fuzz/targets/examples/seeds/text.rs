//! Seeds of the targets that take text.

use crate::{FUZZ, Failure, save};

pub fn write() -> Result<(), Failure> {
    for entry in std::fs::read_dir(format!("{FUZZ}/../rtc/src/sdp/golden"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".offer.sdp") {
            save("sdp_offer", name, std::fs::read_to_string(&path)?.replace('\n', "\r\n").as_bytes())?;
        }
    }
    let fragment = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
        a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\na=end-of-candidates\r\n";
    save("sdp_fragment", "restart", fragment.as_bytes())?;

    save("names", "room", b"demo-room_1.x")?;
    save("names", "source", b"demo/anna")?;
    save("names", "key", b"live/demo?x=1&token=T\nanna?token=U\nrtmp://localhost/live?token=V")?;
    for (name, file) in [("init", "video-init-0.mp4"), ("segment", "audio-12.m4s"), ("part", "video-part-75.m4s")] {
        save("names", name, file.as_bytes())?;
    }
    save("hls_query", "part", b"\x02\x03_HLS_msn=10&_HLS_part=2&_HLS_skip=YES")?;
    save("hls_query", "segment", b"\x00\x03_HLS_msn=11&token=T")
}
