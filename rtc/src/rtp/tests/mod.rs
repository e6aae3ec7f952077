//! What the pieces do together: real bitstreams through a bad link, the wire formats as text, other implementations of
//! the payload formats, viewers in virtual time.

pub(crate) mod fixture;
mod interop;
mod layout;
mod link;
mod publisher;
mod viewer;
