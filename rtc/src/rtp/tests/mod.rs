//! Tests of the parts together: real bitstreams through a bad link, the wire formats as text, other implementations of
//! the payload formats, and viewers in virtual time.

mod beside;
pub(crate) mod fixture;
pub(crate) mod gilbert;
mod interop;
mod layout;
mod levels;
mod link;
mod lossy_publisher;
mod publisher;
mod recovery;
mod simulcast;
mod viewer;
