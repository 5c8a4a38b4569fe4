//! The same bytes read by hand, some twenty times as fast, where they are what nearly all records have: see
//! [`read`]. What this does not understand is bincode's to judge. Pure.

use super::{Metadata, Role, RoomKind};
use crate::ids::{InstanceId, SessionId};

/// Longer names are left to bincode, which knows the limits.
const TEXT_BYTES_MAX: u64 = 1 << 10;

/// A cursor over bytes of bincode's standard configuration.
struct Reader<'a>(&'a [u8]);

/// Metadata of version 1 without claims. `None`: it is something else, or not whole.
pub(super) fn read(bytes: &[u8]) -> Option<Metadata> {
    let mut reader = Reader(bytes);
    let metadata = Metadata {
        user: reader.option(Reader::text)?.map(str::to_owned),
        session: reader.option(Reader::number)?.map(SessionId),
        instance: InstanceId(reader.number()?),
        role: match reader.byte()? {
            0 => Role::Viewer,
            1 => Role::Editor,
            2 => Role::Facilitator,
            3 => Role::Server,
            4 => Role::Admin,
            _ => return None,
        },
        batch: reader.number()?,
        claims: if reader.byte()? == 0 { Vec::new() } else { return None },
        relayed_by: reader.option(Reader::text)?.map(str::to_owned),
        room_kind: match reader.byte()? {
            0 => RoomKind::Board,
            1 => RoomKind::Free,
            _ => return None,
        },
        admitted_ms: reader.number()?,
    };
    reader.0.is_empty().then_some(metadata)
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// One byte up to 250; above, a byte that says how many follow.
    fn number(&mut self) -> Option<u64> {
        Some(match self.byte()? {
            small @ 0..=250 => u64::from(small),
            251 => u64::from(u16::from_le_bytes(self.take(2)?.try_into().ok()?)),
            252 => u64::from(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            253 => u64::from_le_bytes(self.take(8)?.try_into().ok()?),
            _ => return None,
        })
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.number().filter(|len| *len <= TEXT_BYTES_MAX)?;
        std::str::from_utf8(self.take(len as usize)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// [L20] By hand and by bincode, the same bytes say the same: whole, cut short anywhere, with any byte changed. What
    /// one takes, the other takes as the same; claims and long names are left to bincode.
    #[test]
    fn both_readers_agree() {
        let (mut read_by_hand, mut compared) = (0, 0);
        for (user, relayed_by) in
            [("", ""), ("ann", ""), ("ann", "bob"), ("", "ünì"), (&"x".repeat(251), "y")]
        {
            for number in [0, 1, 250, 251, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
                for (claims, role, room_kind) in [
                    (vec![], Role::Editor, RoomKind::Board),
                    (vec![], Role::Server, RoomKind::Free),
                    (vec![7, 300], Role::Admin, RoomKind::Free),
                ] {
                    let metadata = Metadata {
                        user: some(user),
                        session: (number % 2 == 1).then_some(SessionId(number)),
                        instance: InstanceId(number),
                        role,
                        batch: number,
                        claims: claims.clone(),
                        relayed_by: some(relayed_by),
                        room_kind,
                        admitted_ms: number,
                    };
                    let bytes = metadata.encode_v1().unwrap();
                    assert_eq!(Metadata::decode_any_v1(&bytes), Ok(metadata.clone()));
                    assert_eq!(read(&bytes), claims.is_empty().then_some(metadata));
                    read_by_hand += usize::from(claims.is_empty());
                    for at in 0..bytes.len() {
                        let mut changed = bytes.clone();
                        for flip in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                            changed[at] = bytes[at] ^ flip;
                            compare(&changed);
                            compared += 1;
                        }
                        compare(&bytes[..at]);
                        compare(&[&bytes[..], &[0]].concat());
                    }
                }
            }
        }
        println!("{read_by_hand} read by hand, {compared} with a changed byte compared");
    }

    fn compare(bytes: &[u8]) {
        if let Some(metadata) = read(bytes) {
            assert_eq!(Metadata::decode_any_v1(bytes), Ok(metadata), "{bytes:?}");
        }
    }
}
