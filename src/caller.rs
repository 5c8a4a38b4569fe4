//! Who is at the other end: what a token, or its absence, says of a client. Decided once, where it comes in;
//! after that the value is the proof.
//!
//! Pure. Nothing here checks anything: `auth` does.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::kind::RoomKind;

/// The name under which a person is known to whoever issues tokens: the claim `sub`.
pub type UserId = Arc<str>;

/// What a caller may do in a room. Ordered: each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads, and is seen.
    Viewer,
    /// Reads and writes.
    Editor,
    /// Reads, writes and leads.
    Facilitator,
    /// All of that, in every room; deletes rooms.
    Admin,
}

impl Role {
    /// All roles, weakest first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Editor, Self::Facilitator, Self::Admin];

    /// Whether edits of this role are stored.
    #[must_use]
    pub fn may_write(self) -> bool {
        self >= Self::Editor
    }

    /// As tokens and settings write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Facilitator => "facilitator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| "a role is viewer, editor, facilitator or admin".to_owned())
    }
}

/// One caller in one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is; `None` without identity. All anonymous callers count as one user.
    pub user: Option<UserId>,
    /// The name that others see; stamped into presence.
    pub name: Option<Arc<str>>,
    /// The color that others see (`#rrggbb`); stamped into presence.
    pub color: Option<Arc<str>>,
    /// What it may do.
    pub role: Role,
    /// When it stops being that, in milliseconds since 1970; `None`: never.
    pub expires_ms: Option<u64>,
    /// The token's own name (claim `jti`), by which it can be revoked.
    pub token: Option<Arc<str>>,
    /// When the token was made (claim `iat`), in milliseconds since 1970; 0: it does not say.
    pub issued_ms: u64,
    /// The kind of the rooms that it makes (claim `kind`); `None`: their names decide.
    pub kind: Option<RoomKind>,
}

impl Caller {
    /// A caller without a token on a server that asks for none.
    #[must_use]
    pub fn anonymous(role: Role) -> Self {
        Self {
            user: None,
            name: None,
            color: None,
            role,
            expires_ms: None,
            token: None,
            issued_ms: 0,
            kind: None,
        }
    }

    /// Whoever comes, on a server that asks for no tokens: nobody in particular, who may do all. One value for all.
    #[must_use]
    pub fn anyone() -> Arc<Self> {
        static ANYONE: LazyLock<Arc<Caller>> = LazyLock::new(|| Arc::new(Caller::anonymous(Role::Admin)));
        Arc::clone(&ANYONE)
    }

    /// As sessions hold it: all that are nobody in particular share one value.
    #[must_use]
    pub fn shared(self) -> Arc<Self> {
        let anyone = Self::anyone();
        if self == *anyone { anyone } else { Arc::new(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_print_as_they_parse() {
        assert!(Role::ALL.is_sorted());
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert!(!Role::Viewer.may_write() && Role::Editor.may_write());
        assert!("Editor".parse::<Role>().is_err());
    }
}
