//! Which partition a raw key belongs to.

/// Returns the partition of a raw key as Java's default partitioner has it: `(murmur2(key) & 0x7fffffff) mod count`.
///
/// `key` is the bytes as written (quotes included), `count` is at least 1.
///
/// ```
/// # use stockwatch_core::wire::{partition_for_key, raw_key};
/// assert_eq!(partition_for_key(b"foobar", 6), (-790_332_482_i32 & 0x7fff_ffff) % 6);
/// assert_eq!(raw_key("general motors"), "\"general motors\"");
/// ```
pub fn partition_for_key(key: &[u8], count: i32) -> i32 {
    let positive = i32::try_from(murmur2(key) & 0x7fff_ffff).unwrap_or(0);
    positive % count.max(1)
}

/// MurmurHash2, 32 bit, seed 0x9747b28c: `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h: u32 = 0x9747_b28c ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    let chunks = data.chunks_exact(4);
    let tail = chunks.remainder();
    for chunk in chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    for (i, byte) in tail.iter().enumerate().rev() {
        h ^= u32::from(*byte) << (8 * i);
    }
    if !tail.is_empty() {
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_gives_what_javas_own_test_vectors_say() {
        // From Apache Kafka's UtilsTest.testMurmur2.
        for (text, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()), hash.cast_unsigned(), "{text}");
        }
    }
}
