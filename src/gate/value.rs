//! Values inside blocks: `Any` (lib0's binary values) and JSON (embeds, formats, presence).
//! They are passed over, never built: a value costs its bytes and a bounded piece of stack.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::read::Reader;
use super::refusal::Refusal;
use crate::limits::VALUE_DEPTH_MAX;

/// Passes over one `Any`. With `CHECK` its strings must be UTF-8; without, an earlier pass has
/// checked them.
pub(super) fn pass_any<const CHECK: bool>(reader: &mut Reader<'_>, depth: usize) -> Result<(), Refusal> {
    match reader.byte()? {
        // undefined, null, false, true
        127 | 126 | 121 | 120 => Ok(()),
        125 => reader.pass_signed(),
        124 => reader.take(4).map(drop),
        123 | 122 => reader.take(8).map(drop),
        119 => pass_text::<CHECK>(reader),
        116 => reader.blob().map(drop),
        tag @ (118 | 117) => {
            if depth >= VALUE_DEPTH_MAX {
                return Err(Refusal::ValueTooDeep);
            }
            let is_map = tag == 118;
            for _ in 0..reader.count(1 + usize::from(is_map))? {
                if is_map {
                    pass_text::<CHECK>(reader)?;
                }
                pass_any::<CHECK>(reader, depth + 1)?;
            }
            Ok(())
        }
        _ => Err(Refusal::UnknownValue),
    }
}

/// Passes over one string.
pub(super) fn pass_text<const CHECK: bool>(reader: &mut Reader<'_>) -> Result<(), Refusal> {
    if CHECK { reader.text().map(drop) } else { reader.blob().map(drop) }
}

/// Checks JSON that yrs will decode: by the same parser, with the same ideas of numbers (integers
/// fit 64 bits signed, or are so large that they become floats) and of strings (no half surrogate
/// pair), but without building anything. What yrs cannot decode would make the whole update fail there.
pub(super) fn check_embedded_json(json: &str) -> Result<(), Refusal> {
    check_json_depth(json)?;
    let mut parser = serde_json::Deserializer::from_str(json);
    AsYrs.deserialize(&mut parser).and_then(|()| parser.end()).map_err(|_| Refusal::BadJson)
}

/// Checks JSON that only clients parse (presence). Half surrogate pairs are fine there: people cut
/// their names in the middle of an emoji.
pub(super) fn check_foreign_json(json: &str) -> Result<(), Refusal> {
    check_json_depth(json)?;
    serde_json::from_str::<IgnoredAny>(json).map(drop).map_err(|_| Refusal::BadJson)?;
    check_numbers(json)
}

/// Counts open brackets outside of strings: as deep as any parser will recurse.
fn check_json_depth(json: &str) -> Result<(), Refusal> {
    let mut depth = 0_usize;
    for (_, byte) in outside_strings(json) {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > VALUE_DEPTH_MAX {
                    return Err(Refusal::ValueTooDeep);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Checks that numbers of well-formed JSON have a value: of `1e400` browsers make infinity, and parsers like
/// serde's, which some clients have, refuse all that it stands in.
fn check_numbers(json: &str) -> Result<(), Refusal> {
    /// With fewer digits and no exponent every number has one.
    const DIGITS_MIN: usize = 300;
    let mut begins = None;
    for (at, byte) in outside_strings(json).chain([(json.len(), b' ')]) {
        match (begins, byte) {
            (None, b'-' | b'0'..=b'9') => begins = Some(at),
            (None, _) | (Some(_), b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') => {}
            (Some(from), _) => {
                begins = None;
                let number = &json[from..at];
                let may_be_large = number.len() >= DIGITS_MIN || number.contains(['e', 'E']);
                if may_be_large && serde_json::from_str::<f64>(number).is_err() {
                    return Err(Refusal::BadJson);
                }
            }
        }
    }
    Ok(())
}

/// The bytes of JSON that stand in no string, and where; with the quote that a string begins with.
fn outside_strings(json: &str) -> impl Iterator<Item = (usize, u8)> {
    let (mut in_string, mut escaped) = (false, false);
    json.bytes().enumerate().filter(move |&(_, byte)| {
        let is_outside = !in_string;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
        is_outside
    })
}

/// Visits a JSON value as yrs' decoder does, and drops it. The depth was checked before.
struct AsYrs;

impl<'de> DeserializeSeed<'de> for AsYrs {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AsYrs {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        i64::try_from(number).map(drop).map_err(|_| E::custom("integer above 2^63"))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(AsYrs)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(AsYrs)?.is_some() {
            map.next_value_seed(AsYrs)?;
        }
        Ok(())
    }
}
