//! Reads what a server sends just deep enough to know which blocks are in it. Pure.
//!
//! A server may merge several updates into one, in any order of clients, fold blocks together or
//! replace overwritten ones by GC: all of it counts as "this clock arrived".

use super::bytes::{Cursor, Malformed};

/// Levels of maps and arrays in a value: more than any honest board has.
const DEPTH_MAX: u8 = 64;

/// A message of the y-websocket family, as far as a load test looks at it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// The server asks what we have; the state vector.
    Step1(&'a [u8]),
    /// The answer to our own Step1.
    Step2(&'a [u8]),
    /// Something new.
    Update(&'a [u8]),
    /// `ruang.v1`: how many of this session's Step2 and Update messages are stored.
    Acked(u64),
    /// Presence, keepalives and what else may come.
    Other,
}

/// Tells a message by its first bytes.
#[inline]
pub(super) fn message(payload: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut cursor = Cursor::new(payload);
    match cursor.byte()? {
        0 => match cursor.byte()? {
            0 => Ok(Message::Step1(cursor.buf()?)),
            1 => Ok(Message::Step2(cursor.buf()?)),
            2 => Ok(Message::Update(cursor.buf()?)),
            _ => Err(Malformed("a sync message of an unknown kind")),
        },
        110 => Ok(Message::Acked(cursor.var_uint()?)),
        _ => Ok(Message::Other),
    }
}

/// Calls `found(client, from, to)` for each run of blocks in `update`, in its order. A Skip is a
/// hole and so not found; the delete set is not looked at.
pub(super) fn blocks(update: &[u8], mut found: impl FnMut(u64, u32, u32)) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(update);
    for _ in 0..cursor.var_uint()? {
        let structs = cursor.var_uint()?;
        let client = cursor.var_uint()?;
        let mut clock = cursor.clock()?;
        let mut from = clock;
        for _ in 0..structs {
            let (len, is_skip) = block(&mut cursor)?;
            let end = clock.checked_add(len).ok_or(Malformed("a clock has more than 32 bits"))?;
            if is_skip {
                if from < clock {
                    found(client, from, clock);
                }
                from = end;
            }
            clock = end;
        }
        if from < clock {
            found(client, from, clock);
        }
    }
    Ok(())
}

/// Calls `found(client, clock)` for each entry of a state vector.
pub(super) fn state_vector(bytes: &[u8], mut found: impl FnMut(u64, u32)) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(bytes);
    for _ in 0..cursor.var_uint()? {
        let client = cursor.var_uint()?;
        found(client, cursor.clock()?);
    }
    Ok(())
}

/// Steps over one block: its length in clocks, and whether it is a Skip.
#[inline]
fn block(cursor: &mut Cursor<'_>) -> Result<(u32, bool), Malformed> {
    let info = cursor.byte()?;
    match info {
        0 => return Ok((cursor.clock()?, false)),
        10 => return Ok((cursor.clock()?, true)),
        _ => {}
    }
    for bit in [0x80, 0x40] {
        if info & bit != 0 {
            id(cursor)?;
        }
    }
    if info & 0xc0 == 0 {
        match cursor.var_uint()? {
            0 => id(cursor)?,
            _ => drop(cursor.buf()?),
        }
        if info & 0x20 != 0 {
            cursor.buf()?;
        }
    }
    Ok((content(cursor, info & 0x1f)?, false))
}

fn id(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    cursor.var_uint()?;
    cursor.var_uint()?;
    Ok(())
}

fn content(cursor: &mut Cursor<'_>, kind: u8) -> Result<u32, Malformed> {
    match kind {
        1 => cursor.clock(),
        2 => {
            let len = cursor.clock()?;
            for _ in 0..len {
                cursor.buf()?;
            }
            Ok(len)
        }
        3 | 5 => cursor.buf().map(|_| 1),
        4 => utf16_len(cursor.buf()?),
        6 => {
            cursor.buf()?;
            cursor.buf().map(|_| 1)
        }
        7 => {
            if matches!(cursor.var_uint()?, 3 | 5) {
                cursor.buf()?;
            }
            Ok(1)
        }
        8 => {
            let len = cursor.clock()?;
            for _ in 0..len {
                any(cursor, 0)?;
            }
            Ok(len)
        }
        9 => {
            cursor.buf()?;
            any(cursor, 0).map(|()| 1)
        }
        _ => Err(Malformed("a block of an unknown kind")),
    }
}

fn utf16_len(text: &[u8]) -> Result<u32, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| Malformed("text is not UTF-8"))?;
    u32::try_from(text.encode_utf16().count()).map_err(|_| Malformed("a text is too long"))
}

fn any(cursor: &mut Cursor<'_>, depth: u8) -> Result<(), Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed("a value is nested too deeply"));
    }
    match cursor.byte()? {
        127 | 126 | 121 | 120 => {}
        125 => while cursor.byte()? & 0x80 != 0 {},
        124 => drop(cursor.take(4)?),
        123 | 122 => drop(cursor.take(8)?),
        119 | 116 => drop(cursor.buf()?),
        118 => {
            for _ in 0..cursor.var_uint()? {
                cursor.buf()?;
                any(cursor, depth + 1)?;
            }
        }
        117 => {
            for _ in 0..cursor.var_uint()? {
                any(cursor, depth + 1)?;
            }
        }
        _ => return Err(Malformed("a value of an unknown type")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use yrs::types::Attrs;
    use yrs::updates::decoder::Decode;
    use yrs::{
        Any, Array, Doc, Map, MapPrelim, Options, ReadTxn, StateVector, Text, Transact, Update,
        XmlElementPrelim, XmlFragment, XmlTextPrelim,
    };

    use super::super::author::Author;
    use super::*;

    fn found(update: &[u8]) -> Vec<(u64, u32, u32)> {
        let mut all = Vec::new();
        blocks(update, |client, from, to| all.push((client, from, to))).unwrap();
        all
    }

    #[test]
    fn an_authors_blocks_are_found_alone_merged_and_as_garbage() {
        let (one, two) = (Author { client: 1 << 52, keys: 1 }, Author { client: 9, keys: 3 });
        assert_eq!(found(&one.update(4, 5)), [(1 << 52, 4, 5)]);
        assert_eq!(found(&[0, 0]), []);
        let merged = yrs::merge_updates_v1([one.update(0, 40), two.update(0, 2), two.update(2, 7)]).unwrap();
        println!("merged by yrs: {:?}", found(&merged));
        assert_eq!(found(&merged), [(1 << 52, 0, 40), (9, 0, 7)]);

        let doc = Doc::new();
        doc.transact_mut().apply_update(Update::decode_v1(&merged).unwrap()).unwrap();
        let whole = doc.transact().encode_state_as_update_v1(&StateVector::default());
        println!("a whole document, 39 of 40 sets garbage: {:?}, {} bytes", found(&whole), whole.len());
        assert_eq!(found(&whole), [(1 << 52, 0, 40), (9, 0, 7)]);
    }

    #[test]
    fn a_hole_is_not_found() {
        let author = Author { client: 3, keys: 1 };
        let merged = yrs::merge_updates_v1([author.update(0, 2), author.update(5, 6)]).unwrap();
        println!("blocks 0, 1 and 5 with a Skip between: {:?}", found(&merged));
        assert_eq!(found(&merged), [(3, 0, 2), (3, 5, 6)]);
    }

    #[test]
    fn every_kind_of_content_has_yrs_length() {
        let doc = Doc::with_options(Options { client_id: yrs::ClientID::new(11), ..Options::default() });
        let (map, list) = (doc.get_or_insert_map("m"), doc.get_or_insert_array("l"));
        let (text, xml) = (doc.get_or_insert_text("t"), doc.get_or_insert_xml_fragment("x"));
        let mut txn = doc.transact_mut();
        map.insert(&mut txn, "map", MapPrelim::from([("a", 1.5)]));
        map.insert(&mut txn, "any", Any::from_json(r#"{"a":[1,-70000,null,true,"é",{"b":0.1}]}"#).unwrap());
        map.insert(&mut txn, "doc", Doc::new());
        list.insert_range(&mut txn, 0, [Any::Undefined, Any::from(1i64 << 60), Any::from(vec![1u8, 2])]);
        text.insert(&mut txn, 0, "smile \u{1f600} é");
        text.insert_with_attributes(&mut txn, 2, "b", Attrs::from([("bold".into(), true.into())]));
        text.insert_embed(&mut txn, 1, Any::from_json(r#"{"image":"x"}"#).unwrap());
        text.remove_range(&mut txn, 3, 2);
        xml.push_back(&mut txn, XmlElementPrelim::empty("p"));
        xml.push_back(&mut txn, XmlTextPrelim::new("t"));
        let clock = txn.state_vector().get(&yrs::ClientID::new(11));
        let whole = txn.encode_state_as_update_v1(&StateVector::default());
        println!("maps, lists, text, formats, embeds, XML, subdocument: clocks 0..{clock} found as one run");
        assert_eq!(found(&whole), [(11, 0, clock)]);
    }

    #[test]
    fn messages_are_told_apart_and_bad_bytes_are_errors() {
        assert_eq!(message(&[0, 0, 1, 0]), Ok(Message::Step1(&[0])));
        assert_eq!(message(&[0, 1, 2, 0, 0]), Ok(Message::Step2(&[0, 0])));
        assert_eq!(message(&[110, 3, 1, b'x']), Ok(Message::Acked(3)));
        assert_eq!(message(&[1, 1, 0]), Ok(Message::Other));
        for bad in [&[][..], &[0], &[0, 9], &[0, 2, 5, 1]] {
            println!("{bad:?} is malformed");
            assert!(message(bad).is_err());
        }
        for len in 0..36 {
            let update = Author { client: 7 << 48, keys: 1 }.update(3, 4);
            assert!(blocks(&update[..len.min(update.len() - 2)], |_, _, _| {}).is_err(), "cut at {len}");
        }
        let mut all = Vec::new();
        state_vector(&[2, 9, 1, 7, 200, 1], |client, clock| all.push((client, clock))).unwrap();
        assert_eq!(all, [(9, 1), (7, 200)]);
    }
}
