//! What a writer of the load test writes: real Yjs updates, encoded by hand, that any Yjs server
//! folds. Pure: an author and a clock give the same bytes every time, so nothing needs keeping in
//! order to repeat it after a reconnect.
//!
//! Update `n` of an author is one block, clock `n`: it sets one of the author's keys of the root map
//! [`ROOT`] to `{x: n, y: key}`. With `keys` keys, block `n` follows block `n - keys`, as when a
//! browser drags cards: each key is a chain. About 36 bytes with one key.

use super::bytes::{put_buf, put_var_int, put_var_uint};

/// The root map that is written: cards' positions on a board.
pub(super) const ROOT: &str = "itemPositions";

/// The first two bytes of a sync message, by what follows.
const STEP_1: [u8; 2] = [0, 0];
const STEP_2: [u8; 2] = [0, 1];
const UPDATE: [u8; 2] = [0, 2];

/// One writer: its client id, and how many keys it sets in turn (at least one).
#[derive(Debug, Clone)]
pub(super) struct Author {
    pub(super) client: u64,
    pub(super) keys: u32,
}

impl Author {
    /// The key that block `clock` sets.
    pub(super) fn key(&self, clock: u32) -> String {
        match self.keys {
            1 => format!("w{:x}", self.client),
            keys => format!("w{:x}.{}", self.client, clock % keys),
        }
    }

    /// Appends an Update message with the blocks `from .. to`.
    pub(super) fn put_update_message(&self, out: &mut Vec<u8>, from: u32, to: u32) {
        out.extend_from_slice(&UPDATE);
        put_buf(out, &self.update(from, to));
    }

    /// Appends a Step2 message with the blocks `from .. to`, which may be none.
    pub(super) fn put_step_2_message(&self, out: &mut Vec<u8>, from: u32, to: u32) {
        out.extend_from_slice(&STEP_2);
        put_buf(out, &self.update(from, to));
    }

    /// The blocks `from .. to` as an update (format V1), without a delete set: what a set replaces
    /// is deleted by whoever integrates it.
    pub(super) fn update(&self, from: u32, to: u32) -> Vec<u8> {
        if from >= to {
            return vec![0, 0];
        }
        let mut out = Vec::with_capacity(16 + 32 * (to - from) as usize);
        out.push(1);
        put_var_uint(&mut out, u64::from(to - from));
        put_var_uint(&mut out, self.client);
        put_var_uint(&mut out, u64::from(from));
        for clock in from..to {
            self.put_block(&mut out, clock);
        }
        out.push(0);
        out
    }

    fn put_block(&self, out: &mut Vec<u8>, clock: u32) {
        const ANY: u8 = 8;
        const HAS_ORIGIN: u8 = 0x80;
        const HAS_KEY: u8 = 0x20; // said always, written only where no origin tells it
        if clock >= self.keys {
            out.push(ANY | HAS_ORIGIN | HAS_KEY);
            put_var_uint(out, self.client);
            put_var_uint(out, u64::from(clock - self.keys));
        } else {
            out.push(ANY | HAS_KEY);
            out.push(1); // the parent is a root
            put_buf(out, ROOT.as_bytes());
            put_buf(out, self.key(clock).as_bytes());
        }
        out.extend_from_slice(&[1, 118, 2]); // one value, a map of two
        for (name, value) in [("x", clock), ("y", clock % self.keys)] {
            put_buf(out, name.as_bytes());
            out.push(125);
            put_var_int(out, value);
        }
    }
}

/// The Step1 message of a client that has nothing yet.
pub(super) fn empty_step_1() -> Vec<u8> {
    [&STEP_1[..], &[1, 0]].concat()
}

/// The Step2 message of a client that has nothing to give.
pub(super) fn empty_step_2() -> Vec<u8> {
    [&STEP_2[..], &[2, 0, 0]].concat()
}

#[cfg(test)]
mod tests {
    use yrs::updates::decoder::Decode;
    use yrs::{Doc, Map, ReadTxn, Transact, Update};

    use super::*;

    fn value(doc: &Doc, key: &str) -> String {
        let map = doc.get_or_insert_map(ROOT);
        let txn = doc.transact();
        map.get(&txn, key).map_or_else(|| "absent".into(), |value| value.to_string(&txn))
    }

    #[test]
    fn what_an_author_writes_folds_into_the_last_value() {
        let author = Author { client: (1 << 53) - 7, keys: 1 };
        let doc = Doc::new();
        for clock in 0..300 {
            let update = Update::decode_v1(&author.update(clock, clock + 1)).unwrap();
            doc.transact_mut().apply_update(update).unwrap();
        }
        let value = value(&doc, &author.key(0));
        let bytes = author.update(299, 300).len();
        println!("300 updates of one key, {bytes} bytes each, fold in yrs to {value}");
        assert!(value.contains("299"), "{value}");
        assert!((30..=40).contains(&bytes), "{bytes}");
        assert_eq!(doc.transact().state_vector().get(&yrs::ClientID::new(author.client)), 300);
    }

    #[test]
    fn several_keys_are_several_chains_and_a_range_is_one_update() {
        let author = Author { client: 77, keys: 5 };
        let doc = Doc::new();
        let update = Update::decode_v1(&author.update(0, 12)).unwrap();
        doc.transact_mut().apply_update(update).unwrap();
        for (slot, last) in [(0, 10), (1, 11), (2, 7), (3, 8), (4, 9)] {
            let value = value(&doc, &author.key(slot));
            println!("12 sets over 5 keys: key {slot} holds {value}, the set of clock {last}");
            assert!(value.contains(&last.to_string()), "{value}");
        }
        assert_eq!(author.update(3, 3), [0, 0], "no blocks are the empty update");
    }

    #[test]
    fn messages_carry_the_update_behind_their_type() {
        let author = Author { client: 5, keys: 1 };
        let (mut update, mut step_2) = (Vec::new(), Vec::new());
        author.put_update_message(&mut update, 0, 1);
        author.put_step_2_message(&mut step_2, 0, 0);
        println!("Update starts 00 02, an empty Step2 is 00 01 02 00 00");
        assert_eq!(update[..2], [0, 2]);
        assert_eq!(update[3..], author.update(0, 1));
        assert_eq!(step_2, empty_step_2());
        assert_eq!(empty_step_1(), [0, 0, 1, 0]);
    }
}
