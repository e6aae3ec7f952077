//! Names of the inputs of one program's audio.

/// Names an input of a program. The owner of the mixer chooses the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputId(pub u64);
