//! Parts of messages, cut so that what is counted by its length takes no more memory than that.

use bytes::Bytes;

/// Returns `part`, which was cut out of `whole` bytes, so that it keeps no more than twice its own length and 512 bytes in memory.
/// Whatever is counted by its length is cut by this function, because a slice keeps all that it was cut from.
pub fn part(whole: usize, part: Bytes) -> Bytes {
    if 2 * part.len() + 512 < whole { Bytes::copy_from_slice(&part) } else { part }
}
