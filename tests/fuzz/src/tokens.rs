//! Tokens and keys: nothing fails; nobody is let in by a token that was not signed, nor by one whose claims are not in order.
//!
//! The first byte of the input says what the rest is: a token as it came; claims, to be signed; a header (up to the first
//! line end) and claims, signed with the secret, or with the bytes of the public key; a file with keys; where a token for one
//! document is changed, and how.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ruang::auth::{Auth, AuthSettings, DocumentGrant};
use ruang::caller::{Caller, Role};
use ruang::ids::RoomName;
use serde_json::Value;

const SECRET: &str = "f2b4c8a97d10e35b6c92847fae10d3c5";
const PUBLIC: &str = include_str!("../../fixtures/auth/ed25519.pub.pem");
const NOW_MS: u64 = 1_795_000_000_000;
const LEEWAY_MS: f64 = 10_000.0;
const LIFE_MS: f64 = 744.0 * 3_600_000.0;

fn auth_of(key: &str) -> Option<Auth> {
    let variable = |name: &str| (name == "RUANG_AUTH_KEY").then(|| key.to_owned());
    Auth::from_settings_and(&AuthSettings::default(), &variable).ok()
}

static OF_SECRET: LazyLock<Auth> = LazyLock::new(|| auth_of(SECRET).expect("a secret"));
static OF_PUBLIC: LazyLock<Auth> = LazyLock::new(|| auth_of(PUBLIC).expect("a public key"));
static OTHER_ROOM: LazyLock<RoomName> = LazyLock::new(|| RoomName::parse("another").expect("a name"));
static ROOM: LazyLock<RoomName> = LazyLock::new(|| RoomName::parse("retro").expect("a name"));

fn signed(header: &[u8], claims: &[u8], key: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Claims by which somebody was let in have to be these.
fn check(claims: &[u8], caller: &Caller) {
    let claims: Value = serde_json::from_slice(claims).expect("claims are JSON");
    let now_ms = NOW_MS as f64;
    let time_ms = |name: &str| claims[name].as_f64().map(|seconds| seconds * 1000.0);
    let ends_ms = time_ms("exp").expect("it has an end, and that is a number");
    assert!(ends_ms + LEEWAY_MS >= now_ms && ends_ms <= now_ms + LIFE_MS + 2.0 * LEEWAY_MS, "exp {ends_ms}");
    assert!(time_ms("nbf").is_none_or(|from_ms| from_ms < now_ms + LEEWAY_MS + 1.0), "nbf");
    let user = claims["sub"].as_str().expect("it says who");
    assert!(!user.is_empty() && user.len() <= 256 && caller.user.as_deref() == Some(user));
    let role = claims["role"].as_str().unwrap_or("viewer");
    assert_eq!(caller.role.as_str(), role, "no other role than it says");
    let names = |claim: &Value| match claim {
        Value::String(name) => vec![name.clone()],
        Value::Array(names) => names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    let (room, rooms) = (names(&claims["room"]), names(&claims["rooms"]));
    let by_prefix = |name: &String| name.strip_suffix('*').is_some_and(|prefix| "retro".starts_with(prefix));
    let named = room.iter().chain(&rooms).any(|name| name == "retro") || rooms.iter().any(by_prefix);
    let everywhere = room.is_empty() && rooms.is_empty() && caller.role == Role::Admin;
    assert!(named || everywhere, "it is for this room");
}

/// The server's own token for one document opens that document, also where only public keys are set; changed anywhere it
/// opens nothing. For each change: a place, in two bytes, and the byte that stands there from now on.
fn of_a_document(changes: &[u8]) {
    for auth in [&*OF_SECRET, &*OF_PUBLIC] {
        let grant = DocumentGrant {
            room: &ROOM,
            role: Role::Viewer,
            user: Some("ada".into()),
            name: None,
            color: None,
            ttl_s: 60,
            kind: None,
        };
        let token = auth.mint_document_token(&grant, NOW_MS).expect("it can be made");
        let caller = auth.admit(Some(&token), &ROOM, NOW_MS).expect("what was made is admitted");
        assert_eq!((caller.user.as_deref(), caller.role), (Some("ada"), Role::Viewer));
        assert!(auth.admit(Some(&token), &OTHER_ROOM, NOW_MS).is_err(), "to this room only");
        assert!(auth.admit_everywhere(Some(&token), NOW_MS).is_err(), "to this room only");
        let mut changed = token.clone().into_bytes();
        for change in changes.chunks_exact(3) {
            let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % changed.len();
            changed[place] = change[2];
        }
        if let Ok(changed) = String::from_utf8(changed)
            && changed != token
        {
            assert!(auth.admit(Some(&changed), &ROOM, NOW_MS).is_err(), "nobody has signed this");
        }
    }
}

/// See the module. Whether somebody was let in, or the keys are good.
pub fn run(input: &[u8]) -> bool {
    let Some((&which, rest)) = input.split_first() else { return false };
    match which % 6 {
        0 => {
            let Ok(token) = std::str::from_utf8(rest) else { return false };
            for auth in [&*OF_SECRET, &*OF_PUBLIC] {
                assert!(auth.admit(Some(token), &ROOM, NOW_MS).is_err(), "nobody has signed it");
            }
            false
        }
        1 => {
            let token = signed(br#"{"alg":"HS256","typ":"JWT"}"#, rest, SECRET.as_bytes());
            let caller = OF_SECRET.admit(Some(&token), &ROOM, NOW_MS);
            caller.is_ok_and(|caller| {
                check(rest, &caller);
                true
            })
        }
        2 | 3 => {
            let line = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (header, claims) = rest.split_at(line);
            let claims = claims.get(1..).unwrap_or_default();
            let (auth, key) = if which % 6 == 2 { (&*OF_SECRET, SECRET) } else { (&*OF_PUBLIC, PUBLIC) };
            let caller = auth.admit(Some(&signed(header, claims, key.as_bytes())), &ROOM, NOW_MS);
            caller.is_ok_and(|caller| {
                assert_eq!(which % 6, 2, "a public key is no secret");
                let header: Value = serde_json::from_slice(header).expect("a header is JSON");
                assert_eq!(header["alg"], "HS256");
                assert!(header["crit"].is_null());
                assert_ne!(header["kid"], "ruang.document", "that key is another one");
                check(claims, &caller);
                true
            })
        }
        4 => {
            let Ok(key) = std::str::from_utf8(rest) else { return false };
            auth_of(key).is_some()
        }
        _ => {
            of_a_document(rest);
            true
        }
    }
}
