//! Making tokens: for `ruang token`, and the server's own for single documents.

use std::sync::Arc;

use jsonwebtoken::{Header, encode};
use ring::hmac;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::claims::{is_color, is_shown};
use super::keys::{Key, KeySet};
use super::{Auth, DOCUMENT_KID};
use crate::caller::{Caller, Role, UserId};
use crate::ids::RoomName;
use crate::kind::RoomKind;
use crate::limits::{ROOM_NAME_BYTES_MAX, USER_ID_BYTES_MAX, USER_NAME_BYTES_MAX};

/// What a token is to say.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Who: the claim `sub`.
    pub user: String,
    /// Rooms, by name.
    pub rooms: Vec<RoomName>,
    /// Rooms, by what their names begin with.
    pub prefixes: Vec<String>,
    /// What for.
    pub role: Role,
    /// For how long, in seconds.
    pub ttl_s: u64,
    /// The name that others see.
    pub name: Option<String>,
    /// The color that others see, `#rrggbb`.
    pub color: Option<String>,
    /// Which key signs; `None`: the first that can.
    pub kid: Option<String>,
    /// The kind of the rooms that its holder makes; `None`: their names decide.
    pub kind: Option<RoomKind>,
}

/// What a token for one document is to say.
#[derive(Debug, Clone)]
pub struct DocumentGrant<'a> {
    /// Which one.
    pub room: &'a RoomName,
    /// What for.
    pub role: Role,
    /// Who; `None`: nobody in particular.
    pub user: Option<UserId>,
    /// The name that others see.
    pub name: Option<Arc<str>>,
    /// The color that others see, `#rrggbb`.
    pub color: Option<Arc<str>>,
    /// For how long, in seconds; no longer than any token may live.
    pub ttl_s: u64,
    /// The kind of the room, if its holder makes it; `None`: its name decides.
    pub kind: Option<RoomKind>,
}

/// Why no token is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// There are only public keys here, or none at all.
    #[error("no key that could sign is configured: a secret, or a private key in PEM")]
    NoKey,
    /// It would be refused everywhere.
    #[error("{0}")]
    Refused(&'static str),
    /// The key does not sign.
    #[error("the key does not sign")]
    Signing,
}

/// Who a document's token is for if nobody is named: a token has to say something. So nobody can have that name in such a
/// token.
const NOBODY: &str = "document";

impl Auth {
    /// Makes a token, signed with a key that issuers use.
    ///
    /// # Errors
    /// [`MintError`]. What is made is admitted, until it expires.
    pub fn mint(&self, grant: &Grant, now_ms: u64) -> Result<String, MintError> {
        let keys = Arc::clone(&*self.keys.read());
        let signing = |key: &&Key| {
            key.signs.is_some() && grant.kid.as_ref().is_none_or(|kid| key.kid.as_ref() == Some(kid))
        };
        let key = keys.issued.as_ref().and_then(|keys| keys.iter().find(signing)).ok_or(MintError::NoKey)?;
        check(grant, self.expected.life_ms_max)?;
        let mut claims = claims(&grant.user, grant.role, grant.ttl_s, now_ms);
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        match grant.rooms.as_slice() {
            [] => {}
            [room] => drop(put("room", json!(room.as_str()))),
            rooms => drop(put("room", rooms.iter().map(RoomName::as_str).collect())),
        }
        if !grant.prefixes.is_empty() {
            put("rooms", grant.prefixes.iter().map(|prefix| format!("{prefix}*")).collect());
        }
        let text = |text: &Option<String>| text.as_deref().map(|text| json!(text));
        text(&grant.name).map(|name| put("name", name));
        text(&grant.color).map(|color| put("color", color));
        grant.kind.map(|kind| put("kind", json!(kind.as_str())));
        self.expected.issuers.first().map(|issuer| put("iss", json!(issuer)));
        self.expected.audiences.first().map(|audience| put("aud", json!(audience)));
        sign(key, key.kid.clone(), &claims)
    }

    /// Makes a token for one document, signed with the server's own key: all instances that share a secret, or that of
    /// the issuers, admit it.
    ///
    /// # Errors
    /// [`MintError`]
    pub fn mint_document_token(&self, grant: &DocumentGrant<'_>, now_ms: u64) -> Result<String, MintError> {
        let keys = Arc::clone(&*self.keys.read());
        if grant.user.as_deref() == Some(NOBODY) {
            return Err(MintError::Refused(
                "the user `document` stands for nobody in such a token: give another id",
            ));
        }
        let user = grant.user.as_deref().unwrap_or(NOBODY);
        check_user(user, grant.name.as_deref(), grant.color.as_deref())?;
        let mut claims = claims(user, grant.role, grant.ttl_s.min(self.expected.life_ms_max / 1000), now_ms);
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("room", json!(grant.room.as_str()));
        grant.name.as_deref().map(|name| put("name", json!(name)));
        grant.color.as_deref().map(|color| put("color", json!(color)));
        grant.kind.map(|kind| put("kind", json!(kind.as_str())));
        sign(&keys.document, Some(DOCUMENT_KID.to_owned()), &claims)
    }
}

/// Those whose tokens name nobody are not one person: they are callers without an identity.
pub(super) fn nobody_is_no_user(caller: Caller) -> Caller {
    let user = caller.user.filter(|user| **user != *NOBODY);
    Caller { user, ..caller }
}

fn check(grant: &Grant, life_ms_max: u64) -> Result<(), MintError> {
    let refuse = |why| Err(MintError::Refused(why));
    check_user(&grant.user, grant.name.as_deref(), grant.color.as_deref())?;
    if grant.rooms.is_empty() && grant.prefixes.is_empty() && grant.role != Role::Admin {
        return refuse("a token names a room or a prefix, unless it is an admin's");
    }
    let good = |prefix: &String| prefix.is_empty() || is_shown(prefix, ROOM_NAME_BYTES_MAX);
    if !grant.prefixes.iter().all(good) {
        return refuse("a prefix has at most 128 bytes and no control characters");
    }
    if grant.ttl_s == 0 || grant.ttl_s.saturating_mul(1000) > life_ms_max {
        return refuse("a token lives a second at least, and no longer than --auth-token-life");
    }
    Ok(())
}

fn check_user(user: &str, name: Option<&str>, color: Option<&str>) -> Result<(), MintError> {
    let refuse = |why| Err(MintError::Refused(why));
    if !is_shown(user, USER_ID_BYTES_MAX) {
        return refuse("a user has 1 to 256 bytes and no control characters");
    }
    if name.is_some_and(|name| !is_shown(name, USER_NAME_BYTES_MAX)) {
        return refuse("a name has 1 to 128 bytes and no control characters");
    }
    if color.is_some_and(|color| !is_color(color)) {
        return refuse("a color is written #rrggbb");
    }
    Ok(())
}

fn claims(user: &str, role: Role, ttl_s: u64, now_ms: u64) -> Map<String, Value> {
    let now_s = now_ms / 1000;
    let id = format!("{:032x}", rand::random::<u128>());
    let claims = json!({
        "sub": user, "role": role.as_str(), "iat": now_s, "exp": now_s.saturating_add(ttl_s), "jti": id,
    });
    let Value::Object(claims) = claims else { unreachable!("it is written as an object") };
    claims
}

fn sign(key: &Key, kid: Option<String>, claims: &Map<String, Value>) -> Result<String, MintError> {
    super::crypto::install();
    let header = Header { kid, ..Header::new(key.algorithm) };
    let signs = key.signs.as_ref().ok_or(MintError::NoKey)?;
    encode(&header, claims, signs).map_err(|_| MintError::Signing)
}

/// The server's own key where nothing is set that it could follow from: of this process alone, and for as long as that lives,
/// however often keys are read again.
pub(super) struct RandomSecret(Zeroizing<[u8; 32]>);

impl RandomSecret {
    pub(super) fn draw() -> Self {
        Self(Zeroizing::new(rand::random()))
    }

    pub(super) fn document_key(&self) -> Key {
        document_key(&self.0[..])
    }
}

/// The server's own key, if it follows from those of the issuers, from the first that signs: then all instances have the
/// same.
pub(super) fn derived_key(keys: &KeySet) -> Option<Key> {
    let private = keys.iter().find_map(Key::private_bytes)?;
    Some(document_key(private))
}

/// The server's own key, from a secret.
pub(super) fn document_key(secret: &[u8]) -> Key {
    // One secret, two purposes: neither key says anything of the other.
    let tag =
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"ruang: tokens for single documents, 1");
    Key::secret(Some(DOCUMENT_KID.to_owned()), tag.as_ref())
        .expect("a tag of HMAC-SHA-256 has 32 bytes, and hardly ever fewer than eight different ones")
}
