//! What a token says, once its signature holds: claims to a caller.
//!
//! Pure. A claim that is there and not of its form refuses the token: who issues it meant something that we would
//! not do.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::AuthError;
use crate::caller::{Caller, Role};
use crate::ids::RoomName;
use crate::limits::{
    ROOM_NAME_BYTES_MAX, TOKEN_ID_BYTES_MAX, TOKEN_ROOMS_MAX, USER_ID_BYTES_MAX, USER_NAME_BYTES_MAX,
};

/// The claims as they came. `null` counts as absent; others than these are ignored; one that is there twice is an error.
#[derive(Deserialize)]
pub(super) struct RawClaims {
    exp: Option<Value>,
    nbf: Option<Value>,
    iat: Option<Value>,
    iss: Option<Value>,
    aud: Option<Value>,
    sub: Option<Value>,
    jti: Option<Value>,
    room: Option<Value>,
    rooms: Option<Value>,
    role: Option<Value>,
    name: Option<Value>,
    color: Option<Value>,
    kind: Option<Value>,
}

/// What is asked of a token beyond its signature.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    /// One of these issued it; empty: whoever has the key may.
    pub(super) issuers: Vec<String>,
    /// It is meant for one of these; empty: that is not looked at.
    pub(super) audiences: Vec<String>,
    /// By how much the issuer's clock may differ.
    pub(super) leeway_ms: u64,
    /// By how much that clock may be ahead.
    pub(super) ahead_ms: u64,
    /// Its end is no further away than this.
    pub(super) life_ms_max: u64,
}

impl Expected {
    /// The same of tokens that were made here: their end is by our own clock, their beginning by the clock of whichever
    /// instance has made them.
    pub(super) fn of_ours(&self) -> Self {
        Self { life_ms_max: self.life_ms_max, ahead_ms: self.ahead_ms, ..Self::default() }
    }
}

/// The rooms that a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rooms {
    /// Every room: an admin's token that names none.
    All,
    /// Those of these names and prefixes.
    Some {
        /// Names.
        exact: Vec<RoomName>,
        /// What a room's name begins with. An empty one: any.
        prefixes: Vec<Box<str>>,
    },
}

impl Rooms {
    pub(super) fn hold(&self, room: &RoomName) -> bool {
        match self {
            Self::All => true,
            Self::Some { exact, prefixes } => {
                exact.contains(room) || prefixes.iter().any(|prefix| room.as_str().starts_with(&**prefix))
            }
        }
    }
}

impl RawClaims {
    /// Who it is and where.
    pub(super) fn judge(self, expected: &Expected, now_ms: u64) -> Result<(Caller, Rooms), AuthError> {
        let exp_ms = time_ms(self.exp, "exp")?.ok_or(AuthError::Claim("exp"))?;
        let (nbf_ms, issued_ms) = (time_ms(self.nbf, "nbf")?, time_ms(self.iat, "iat")?);
        // The end with its leeway is the caller's end too: one who is let in is not sent away at once.
        let expires_ms = exp_ms.saturating_add(expected.leeway_ms);
        if expires_ms <= now_ms {
            return Err(AuthError::Expired);
        }
        if nbf_ms.is_some_and(|nbf_ms| nbf_ms > now_ms.saturating_add(expected.ahead_ms)) {
            return Err(AuthError::NotYet);
        }
        if issued_ms.is_some_and(|iat_ms| iat_ms > now_ms.saturating_add(expected.ahead_ms)) {
            return Err(AuthError::NotYet);
        }
        // By its whole life, as far as it tells that: a revocation is kept for one such life, and must outlive it.
        let since_ms = issued_ms.unwrap_or(now_ms).min(now_ms);
        if expires_ms - since_ms > expected.life_ms_max.saturating_add(expected.leeway_ms + expected.ahead_ms)
        {
            return Err(AuthError::TooLong);
        }
        if !is_among(self.iss, &expected.issuers) {
            return Err(AuthError::Issuer);
        }
        if !is_among(self.aud, &expected.audiences) {
            return Err(AuthError::Audience);
        }
        let role = match text(self.role, "role", 32)? {
            Some(role) => role.parse().map_err(|_| AuthError::Claim("role"))?,
            None => Role::Viewer,
        };
        let rooms = rooms(self.room, self.rooms, role)?;
        let kind = text(self.kind, "kind", 32)?;
        let kind = kind.map(|kind| kind.parse().map_err(|_| AuthError::Claim("kind"))).transpose()?;
        let caller = Caller {
            user: Some(text(self.sub, "sub", USER_ID_BYTES_MAX)?.ok_or(AuthError::Claim("sub"))?),
            name: text(self.name, "name", USER_NAME_BYTES_MAX)?,
            color: text(self.color, "color", 7)?.map(color).transpose()?,
            role,
            expires_ms: Some(expires_ms),
            token: text(self.jti, "jti", TOKEN_ID_BYTES_MAX)?,
            issued_ms: issued_ms.unwrap_or(0),
            kind,
        };
        Ok((caller, rooms))
    }
}

/// Seconds since 1970, perhaps with a fraction (RFC 7519, 2); as text they are none.
fn time_ms(claim: Option<Value>, name: &'static str) -> Result<Option<u64>, AuthError> {
    let Some(claim) = claim else { return Ok(None) };
    let seconds = claim.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    let seconds = seconds.ok_or(AuthError::Claim(name))?;
    // Saturates, far behind any deadline.
    Ok(Some((seconds * 1000.0) as u64))
}

/// Text that people may see: not empty, not long, without control characters.
fn text(claim: Option<Value>, name: &'static str, bytes_max: usize) -> Result<Option<Arc<str>>, AuthError> {
    let Some(claim) = claim else { return Ok(None) };
    let text = claim.as_str().filter(|text| is_shown(text, bytes_max)).ok_or(AuthError::Claim(name))?;
    Ok(Some(text.into()))
}

pub(super) fn is_shown(text: &str, bytes_max: usize) -> bool {
    !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control)
}

fn color(text: Arc<str>) -> Result<Arc<str>, AuthError> {
    is_color(&text).then_some(text).ok_or(AuthError::Claim("color"))
}

/// `#rrggbb`.
pub(super) fn is_color(text: &str) -> bool {
    let digits = text.strip_prefix('#');
    digits.is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether a claim, text or a list of texts, names one of those wanted. Where none is wanted, all will do.
fn is_among(claim: Option<Value>, wanted: &[String]) -> bool {
    let is_wanted = |value: &Value| value.as_str().is_some_and(|text| wanted.iter().any(|want| want == text));
    wanted.is_empty()
        || match claim {
            Some(Value::Array(values)) => values.iter().any(is_wanted),
            Some(value) => is_wanted(&value),
            None => false,
        }
}

/// `room` is a name or a list of names; in the list `rooms` an entry that ends in `*` is a prefix.
fn rooms(room: Option<Value>, rooms: Option<Value>, role: Role) -> Result<Rooms, AuthError> {
    if room.is_none() && rooms.is_none() && role == Role::Admin {
        return Ok(Rooms::All);
    }
    let (mut exact, mut prefixes) = (Vec::new(), Vec::new());
    let names = match room {
        Some(Value::Array(names)) => names,
        Some(name) => vec![name],
        None => Vec::new(),
    };
    let patterns = match rooms {
        Some(Value::Array(patterns)) => patterns,
        Some(_) => return Err(AuthError::Claim("rooms")),
        None => Vec::new(),
    };
    if names.len() + patterns.len() > TOKEN_ROOMS_MAX {
        return Err(AuthError::Claim("rooms"));
    }
    for name in names {
        exact.push(room_name(&name).ok_or(AuthError::Claim("room"))?);
    }
    for pattern in patterns {
        match pattern.as_str().and_then(|pattern| pattern.strip_suffix('*')) {
            Some(prefix) if prefix.is_empty() || is_shown(prefix, ROOM_NAME_BYTES_MAX) => {
                prefixes.push(prefix.into());
            }
            Some(_) => return Err(AuthError::Claim("rooms")),
            None => exact.push(room_name(&pattern).ok_or(AuthError::Claim("rooms"))?),
        }
    }
    if exact.is_empty() && prefixes.is_empty() {
        return Err(AuthError::Claim("room"));
    }
    Ok(Rooms::Some { exact, prefixes })
}

fn room_name(name: &Value) -> Option<RoomName> {
    name.as_str().and_then(|name| RoomName::parse(name).ok())
}
