//! Which slot a key is in, and which server has a slot, as a cluster says it.
//!
//! Pure.

use std::ops::RangeInclusive;

use redis::Value;

use crate::log::redis::address::HostPort;

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key: by what stands between its first `{` and the first `}` after that, if that is something;
/// else by all of it.
pub(super) fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(tag, _)| tag);
    crc16(if tag.is_empty() { key } else { tag }.as_bytes()) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |mut crc: u16, byte| {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        }
        crc
    })
}

/// Who has which slots, as one server of the cluster sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SlotMap {
    /// Sorted, not overlapping; gaps are slots that nobody has.
    ranges: Vec<(RangeInclusive<u16>, HostPort)>,
}

impl SlotMap {
    /// Reads the answer to `CLUSTER SLOTS`. `asked` is the host that gave it: a server that does not know its own
    /// name leaves it out.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub(super) fn read(answer: Value, asked: &str) -> Result<Self, String> {
        let rows: Vec<Vec<Value>> =
            redis::from_redis_value(answer).map_err(|error| format!("CLUSTER SLOTS: {error}"))?;
        let mut ranges = rows.into_iter().map(|row| range(row, asked)).collect::<Result<Vec<_>, _>>()?;
        ranges.sort_by_key(|(slots, _)| *slots.start());
        if ranges.is_empty() {
            return Err("no server of the cluster has any slots".to_owned());
        }
        Ok(Self { ranges })
    }

    /// Who has a slot.
    pub(super) fn owner(&self, slot: u16) -> Option<&HostPort> {
        let at = self.ranges.partition_point(|(slots, _)| *slots.end() < slot);
        self.ranges.get(at).filter(|(slots, _)| slots.contains(&slot)).map(|(_, owner)| owner)
    }

    /// Everyone who has slots, each once, in the order of their first slots.
    pub(super) fn owners(&self) -> Vec<HostPort> {
        let mut owners: Vec<HostPort> = Vec::new();
        for (_, owner) in &self.ranges {
            if !owners.contains(owner) {
                owners.push(owner.clone());
            }
        }
        owners
    }
}

/// `[first, last, [host, port, …], replicas …]`.
fn range(row: Vec<Value>, asked: &str) -> Result<(RangeInclusive<u16>, HostPort), String> {
    let bad = || "CLUSTER SLOTS: a range has another form than we know".to_owned();
    let mut row = row.into_iter();
    // As they are: the crate would fold larger numbers into smaller ones.
    let small = |value: Option<Value>| {
        redis::from_redis_value::<i64>(value?).ok().and_then(|it| u16::try_from(it).ok())
    };
    let mut number = || small(row.next());
    let (first, last) = number().zip(number()).ok_or_else(bad)?;
    let owner: Vec<Value> = row.next().and_then(|it| redis::from_redis_value(it).ok()).ok_or_else(bad)?;
    let mut owner = owner.into_iter();
    let host: Option<String> =
        owner.next().and_then(|it| redis::from_redis_value(it).ok()).ok_or_else(bad)?;
    let port = small(owner.next()).filter(|port| *port != 0).ok_or_else(bad)?;
    if first > last || last >= SLOTS {
        return Err(bad());
    }
    let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| asked.to_owned());
    Ok((first..=last, (host, port)))
}

/// Where `MOVED` and `ASK` send: `SLOT HOST:PORT`, the host empty if it is the one that was `asked`.
pub(super) fn redirection(text: &str, asked: &str) -> Option<HostPort> {
    let place = text.split_ascii_whitespace().nth(1)?;
    let (host, port) = place.rsplit_once(':')?;
    let host = if host.is_empty() { asked } else { host };
    Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [L90] Slots are those of Redis: values from its specification and from `CLUSTER KEYSLOT`.
    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (key, slot) in
            [("foo", 12_182), ("123456789", 12_739), ("{foo}bar", 12_182), ("a{foo}{b}", 12_182)]
        {
            assert_eq!(slot_of(key), slot, "{key}");
        }
        // An empty tag and one that is not closed are none.
        assert_eq!(slot_of("{}foo"), crc16(b"{}foo") % SLOTS);
        assert_eq!(slot_of("{foo"), crc16(b"{foo") % SLOTS);
        assert_eq!(slot_of("{{foo}}"), crc16(b"{foo") % SLOTS);
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn row(first: i64, last: i64, host: Value, port: i64) -> Value {
        let owner = Value::Array(vec![host, Value::Int(port), bulk("id"), Value::Array(vec![])]);
        let replica = Value::Array(vec![bulk("replica"), Value::Int(1), bulk("id")]);
        Value::Array(vec![Value::Int(first), Value::Int(last), owner, replica])
    }

    /// [L90] The map is read as Redis gives it: gaps, servers without a name, in any order.
    #[test]
    fn maps_are_read() {
        let rows =
            vec![row(200, 16_383, bulk("b"), 2), row(0, 100, Value::Nil, 1), row(101, 150, bulk(""), 3)];
        let map = SlotMap::read(Value::Array(rows), "asked").expect("a map");
        let owner = |slot| map.owner(slot).map(|(host, port)| format!("{host}:{port}"));
        assert_eq!(owner(0).as_deref(), Some("asked:1"));
        assert_eq!(owner(100), owner(0));
        assert_eq!(owner(150).as_deref(), Some("asked:3"));
        assert_eq!((owner(151), owner(199)), (None, None));
        assert_eq!(owner(16_383).as_deref(), Some("b:2"));
        assert_eq!(map.owners().len(), 3);
    }

    /// [L90] An answer of another form is an error in words, not a panic.
    #[test]
    fn strange_maps_are_refused() {
        for strange in [
            Value::Array(vec![]),
            Value::Nil,
            Value::Okay,
            Value::Array(vec![Value::Array(vec![])]),
            Value::Array(vec![row(5, 4, bulk("a"), 1)]),
            Value::Array(vec![row(0, 16_384, bulk("a"), 1)]),
            Value::Array(vec![row(-1, 7, bulk("a"), 1)]),
            Value::Array(vec![row(0, 7, bulk("a"), 65_536)]),
        ] {
            println!("{}", SlotMap::read(strange, "asked").expect_err("strange"));
        }
    }

    /// [L90] Redirections name a server; without a host it is the host that was asked.
    #[test]
    fn redirections_are_read() {
        let to = |text| redirection(text, "asked").map(|(host, port)| format!("{host} {port}"));
        assert_eq!(to("3999 127.0.0.1:6381").as_deref(), Some("127.0.0.1 6381"));
        assert_eq!(to("3999 :6381").as_deref(), Some("asked 6381"));
        assert_eq!(to("3999 ::1:6381").as_deref(), Some("::1 6381"));
        for bad in ["", "3999", "3999 x", "3999 x:y", "3999 x:70000"] {
            assert_eq!(to(bad), None, "{bad}");
        }
    }
}
