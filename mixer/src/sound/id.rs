//! The name of an input within one program's audio.

/// Names an input of a program; whoever wires it chooses the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputId(pub u64);
