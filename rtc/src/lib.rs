//! The server side of WebRTC.

pub mod rtp;
