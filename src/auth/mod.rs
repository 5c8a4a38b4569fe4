//! Who may enter: a token to a [`Caller`], once, where a client comes in; and for how long that holds.
//!
//! In reading order: `claims` is what a token says, `keys` what it is signed with, `crypto` how; `mint` makes tokens;
//! `revoked` is which of them do not count any more, `keeper` has all instances know that; `standing` is a live
//! session's right to go on; `settings` reads all this from files and environment; `metrics` counts who is refused, and why.
//!
//! Invariants:
//! - Nothing of a token is believed before its signature holds; its key has one algorithm, whatever the token says.
//! - No text from here holds a token, a claim's value or a secret.
//! - The answer for a room that a token is not for is the same whether the room exists or not: nobody here knows.
//! - A revocation ends with the last token that it can be about, and never before, whatever the store does.

mod claims;
mod crypto;
pub mod keeper;
mod keys;
mod metrics;
mod mint;
mod revoked;
mod server_token;
pub mod settings;
mod standing;

use std::sync::Arc;

use jsonwebtoken::crypto::verify;
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::decode_header;
use parking_lot::RwLock;

use crate::board::drafts::Draft;
use crate::caller::{Caller, Role};
use crate::ids::RoomName;
use crate::limits::TOKEN_BYTES_MAX;
use crate::wire::close::{self, Close};
use claims::{Expected, RawClaims, Rooms};
pub use keys::KeyError;
use keys::{Key, KeySet};
pub use metrics::Metrics;
use mint::RandomSecret;
pub use mint::{DocumentGrant, Grant, MintError};
use revoked::Revoked;
pub use revoked::{Revocation, RevocationError, Target};
use server_token::ServerToken;
pub use settings::{AuthSettings, KeyFile, SettingsError};
pub use standing::{Ended, Renewal, Standing};

/// Names the server's own key in tokens that it made itself, for single documents.
const DOCUMENT_KID: &str = "ruang.document";

/// Why nobody is let in. The texts go to strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is none.
    #[error("a token is needed")]
    Missing,
    /// It was not even looked at.
    #[error("a token has at most {TOKEN_BYTES_MAX} bytes")]
    TooLarge,
    /// Three parts, a header with one of four algorithms.
    #[error("the token is no JWT that is signed with HS256, RS256, ES256 or EdDSA")]
    Malformed,
    /// The header names a key that is not known here, or none where there are several.
    #[error("the token's key is not known here")]
    UnknownKey,
    /// The header names another algorithm than the key's.
    #[error("the token's algorithm is not that of its key")]
    Algorithm,
    /// The signature does not hold.
    #[error("the token's signature does not hold")]
    Signature,
    /// A claim that is needed is missing, or one is not of its form.
    #[error("the token's claim `{0}` is missing or not of its form")]
    Claim(&'static str),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// Its end is too far away.
    #[error("the token lives longer than is allowed here")]
    TooLong,
    /// Another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// Meant for others.
    #[error("the token is for another audience")]
    Audience,
    /// It was taken back.
    #[error("the token is revoked")]
    Revoked,
    /// It is good, but not for this.
    #[error("the token is not for this room")]
    Room,
    /// Hidden cards are one person's, and nobody says who comes.
    #[error("a draft room is for one person alone: it needs a token that says who comes")]
    Nobody,
}

impl AuthError {
    /// How a socket says so. Final codes: another token has to come.
    #[must_use]
    pub fn close(self) -> Close {
        let code = if self.status() == 403 { close::FORBIDDEN } else { close::UNAUTHORIZED };
        Close::new(code, self.to_string())
    }

    /// What it is counted as.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Claim(_) => "claim",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::TooLong => "too_long",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Revoked => "revoked",
            Self::Room => "room",
            Self::Nobody => "nobody",
        }
    }

    /// How HTTP says so: 401 or 403.
    #[must_use]
    pub fn status(self) -> u16 {
        if matches!(self, Self::Room | Self::Nobody) { 403 } else { 401 }
    }
}

/// Decides who may enter. One for a process; shared.
pub struct Auth {
    keys: RwLock<Arc<Keys>>,
    expected: Expected,
    revoked: Revoked,
    settings: Option<AuthSettings>,
    /// For the server's own key, if there is nothing else.
    random: RandomSecret,
}

/// What tokens are signed with.
struct Keys {
    /// Of those who issue tokens.
    issued: Option<KeySet>,
    /// What opens everything.
    server: Option<ServerToken>,
    /// The server's own.
    document: Key,
    /// What that follows from, in words.
    document_from: &'static str,
}

impl Auth {
    /// Lets everybody in, as an admin: for development. Tokens are ignored, but for those that this server has made
    /// itself.
    #[must_use]
    pub fn open() -> Self {
        let random = RandomSecret::draw();
        let (document, document_from) = (random.document_key(), settings::RANDOM);
        let keys = Keys { issued: None, server: None, document, document_from };
        Self::with(keys, AuthSettings::default().expected(), None, random)
    }

    fn with(keys: Keys, expected: Expected, settings: Option<AuthSettings>, random: RandomSecret) -> Self {
        crypto::install();
        Self { keys: RwLock::new(Arc::new(keys)), expected, revoked: Revoked::default(), settings, random }
    }

    /// What the key follows from that signs tokens for single documents, in words without secrets.
    #[must_use]
    pub fn document_key_from(&self) -> &'static str {
        self.keys.read().document_from
    }

    /// Whether everybody is let in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.keys.read().are_none()
    }

    /// Who somebody is in a room, by the token that came, if one came. `now_ms` is the time in ms since 1970.
    ///
    /// # Errors
    /// [`AuthError`] says why not. It does not depend on whether the room exists.
    pub fn admit(&self, token: Option<&str>, room: &RoomName, now_ms: u64) -> Result<Caller, AuthError> {
        let (caller, rooms) = self.identify(token, now_ms)?;
        // Whoever may enter a board may enter their own draft of it, and nobody else may, whatever their token is for.
        let draft = Draft::of(room);
        let held = rooms.hold(room) || draft.as_ref().is_some_and(|draft| rooms.hold(&draft.board));
        if !held {
            return Err(AuthError::Room);
        }
        if let Some(draft) = &draft {
            let user = caller.user.as_deref().ok_or(AuthError::Nobody)?;
            if !draft.is_of(user) {
                return Err(AuthError::Room);
            }
        }
        if self.is_revoked(&caller, room, now_ms) {
            return Err(AuthError::Revoked);
        }
        Ok(caller)
    }

    /// What is taken back for a board is for its drafts, too.
    fn is_revoked(&self, caller: &Caller, room: &RoomName, now_ms: u64) -> bool {
        let covers = |room: &RoomName| self.revoked.covers(caller, room, now_ms);
        covers(room) || Draft::of(room).is_some_and(|draft| covers(&draft.board))
    }

    /// The same for what is about no single room, such as making documents under any name: an admin whose token
    /// names no rooms.
    ///
    /// # Errors
    /// [`AuthError`]; [`AuthError::Room`] for everybody else.
    pub fn admit_everywhere(&self, token: Option<&str>, now_ms: u64) -> Result<Caller, AuthError> {
        let (caller, rooms) = self.identify(token, now_ms)?;
        if rooms != Rooms::All || caller.role != Role::Admin {
            return Err(AuthError::Room);
        }
        if self.revoked.covers_everywhere(&caller, now_ms) {
            return Err(AuthError::Revoked);
        }
        Ok(caller)
    }

    /// What is revoked now.
    #[must_use]
    pub fn revocations(&self, now_ms: u64) -> Vec<Revocation> {
        self.revoked.forget_expired(now_ms);
        self.revoked.all().into_iter().map(|(_, revocation)| revocation).collect()
    }

    fn identify(&self, token: Option<&str>, now_ms: u64) -> Result<(Caller, Rooms), AuthError> {
        let keys = Arc::clone(&*self.keys.read());
        let anybody = || (Caller::anonymous(Role::Admin), Rooms::All);
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return if keys.are_none() { Ok(anybody()) } else { Err(AuthError::Missing) };
        };
        if token.len() <= TOKEN_BYTES_MAX && keys.server.as_ref().is_some_and(|server| server.is(token)) {
            return Ok(anybody());
        }
        match keys.read(token) {
            // Where everybody is let in, a token that was made here says less than none would: so it is meant.
            Err(_) if keys.are_none() => Ok(anybody()),
            Err(error) => Err(error),
            Ok((claims, By::Issuer)) => claims.judge(&self.expected, now_ms),
            Ok((claims, By::Us)) => {
                let (caller, rooms) = claims.judge(&self.expected.of_ours(), now_ms)?;
                Ok((mint::nobody_is_no_user(caller), rooms))
            }
        }
    }
}

/// Who signed a token.
enum By {
    Issuer,
    Us,
}

impl Keys {
    /// Whether nobody can be asked for a token: everybody is let in.
    fn are_none(&self) -> bool {
        self.issued.is_none() && self.server.is_none()
    }

    /// The claims of a token whose signature holds.
    fn read(&self, token: &str) -> Result<(RawClaims, By), AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::TooLarge);
        }
        let header = decode_header(token).map_err(|_| AuthError::Malformed)?;
        // Extensions that must be understood are not (RFC 7515, 4.1.11).
        if header.crit.is_some() {
            return Err(AuthError::Malformed);
        }
        let (key, by) = if header.kid.as_deref() == Some(DOCUMENT_KID) {
            (&self.document, By::Us)
        } else {
            let issued = self.issued.as_ref().ok_or(AuthError::UnknownKey)?;
            (issued.find(header.kid.as_deref()).ok_or(AuthError::UnknownKey)?, By::Issuer)
        };
        if header.alg != key.algorithm {
            return Err(AuthError::Algorithm);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
        let holds = verify(signature, message.as_bytes(), &key.verifies, key.algorithm);
        if !holds.map_err(|_| AuthError::Malformed)? {
            return Err(AuthError::Signature);
        }
        // Only now, and judged by `claims`: the crate looks at fewer of them, and by a clock of its own.
        let claims = insecure_decode_claims(token).map_err(|_| AuthError::Malformed)?;
        Ok((claims, by))
    }
}
