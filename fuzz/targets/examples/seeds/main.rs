//! Writes `seeds/TARGET/…`. Run `cargo run -p onmic-fuzz-targets --example seeds` after fixtures, formats or targets
//! changed.

mod media;
mod rtc;
mod rtmp;
mod text;

type Failure = Box<dyn std::error::Error>;

/// The folder `fuzz/`.
const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn main() -> Result<(), Failure> {
    media::write()?;
    rtmp::write()?;
    rtc::write()?;
    text::write()
}

fn save(target: &str, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let folder = format!("{FUZZ}/seeds/{target}");
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(format!("{folder}/{name}"), bytes)?)
}

/// Writes a piece as the targets take it apart: 16 bits of length, then the bytes.
fn piece(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}
