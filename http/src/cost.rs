//! What a refusal costs whoever asked, where it is more than a request. The toll counts it.

/// How much a request that was refused costs, if it is more than others. The problem of the refusal puts it into the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost(pub usize);
