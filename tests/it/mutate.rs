//! Small changes of bytes, from a seed.
#![allow(unreachable_pub)]

use crate::random_docs::Random;

/// Flips, cuts, doubles, replaces bytes.
pub fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = random.index(bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, [0, 1, 0x7f, 0x80, 0xff][random.index(5)]),
            4 => bytes.truncate(at + 1),
            _ => {
                let end = (at + 1 + random.index(8)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}
