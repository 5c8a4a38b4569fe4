//! JSON values as the document engine's.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Number, Value};
use yrs::{Any, ArrayPrelim, In, MapPrelim, TextPrelim};

use super::{Misfit, Shape};
use crate::limits::{NAME_BYTES_MAX, VALUE_DEPTH_MAX};

/// A value in the shape that was asked for.
pub(super) fn input(value: &Value, shape: Shape) -> Result<In, Misfit> {
    match (shape, value) {
        (Shape::Json, value) => Ok(In::Any(plain(value, VALUE_DEPTH_MAX)?)),
        (Shape::Text, Value::String(text)) => Ok(In::from(TextPrelim::new(text.as_str()))),
        (Shape::Text, _) => Err(Misfit::Shape("text", "a string")),
        (Shape::Array, Value::Array(values)) => {
            let values = values.iter().map(|value| Ok(In::Any(plain(value, VALUE_DEPTH_MAX)?)));
            Ok(In::from(values.collect::<Result<ArrayPrelim, Misfit>>()?))
        }
        (Shape::Array, _) => Err(Misfit::Shape("array", "a list")),
        (Shape::Map, Value::Object(entries)) => {
            let entries = entries.iter().map(|(key, value)| {
                check_name(key)?;
                Ok((Arc::<str>::from(key.as_str()), In::Any(plain(value, VALUE_DEPTH_MAX)?)))
            });
            Ok(In::from(entries.collect::<Result<MapPrelim, Misfit>>()?))
        }
        (Shape::Map, _) => Err(Misfit::Shape("map", "an object")),
    }
}

/// A key or a root's name, as the gate takes them.
pub(super) fn check_name(name: &str) -> Result<(), Misfit> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX { Err(Misfit::Name) } else { Ok(()) }
}

fn plain(value: &Value, depth: usize) -> Result<Any, Misfit> {
    let below = || depth.checked_sub(1).ok_or(Misfit::Deep);
    Ok(match value {
        Value::Null => Any::Null,
        Value::Bool(flag) => Any::Bool(*flag),
        Value::Number(number) => Any::Number(number_of(number)),
        Value::String(text) => Any::String(text.as_str().into()),
        Value::Array(values) => {
            let depth = below()?;
            Any::Array(values.iter().map(|value| plain(value, depth)).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => {
            let depth = below()?;
            let entries = entries.iter().map(|(key, value)| Ok((key.clone(), plain(value, depth)?)));
            Any::Map(Arc::new(entries.collect::<Result<HashMap<_, _>, Misfit>>()?))
        }
    })
}

/// A number as JavaScript has it. Whole numbers that it has no exact number for become the nearest: they would
/// be a `BigInt` there otherwise, which is another type.
fn number_of(number: &Number) -> yrs::any::Number {
    let float = number.as_f64().unwrap_or(f64::NAN);
    match number.as_i64() {
        Some(whole) if whole.unsigned_abs() <= 1 << 53 => yrs::any::Number::Int(whole),
        _ => yrs::any::Number::Float(float),
    }
}
