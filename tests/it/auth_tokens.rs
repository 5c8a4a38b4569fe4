//! Which tokens are let in, as whom, and which are not.

use ruang::auth::{Auth, AuthError, AuthSettings};
use ruang::caller::Role;
use serde_json::{Value, json};

use crate::auth_support::*;

/// [A1] Without keys everybody is let in, as an admin without a name; a token makes no difference.
#[test]
fn without_keys_everybody_may_enter() {
    let auth = Auth::open();
    assert!(auth.is_open());
    for token in [None, Some(""), Some("x"), Some("a.b.c"), Some(&*token("HS256", &claims(&json!({}))))] {
        let caller = auth.admit(token, &room("any"), now_ms()).unwrap();
        assert_eq!((caller.role, caller.user, caller.expires_ms), (Role::Admin, None, None));
    }
}

/// [A2] A token of each algorithm is admitted by its key, and says who it is.
#[test]
fn good_tokens_say_who_it_is() {
    for alg in ALGORITHMS {
        let auth = auth(&[public_key(alg)]);
        assert!(!auth.is_open());
        let (exp, iat) = (now_s() + 60, now_s() - 86_400);
        let said = claims(&json!({
            "exp": exp, "name": "Ada L.", "color": "#00ff7F", "jti": "t-1", "iat": iat as f64 + 0.25,
            "nbf": now_s() - 1, "role": "facilitator", "unknown": { "more": [1] },
        }));
        let caller = auth.admit(Some(&token(alg, &said)), &room("retro"), now_ms()).unwrap();
        println!("{alg}: {caller:?}");
        assert_eq!(caller.user.as_deref(), Some("ada"));
        assert_eq!(caller.name.as_deref(), Some("Ada L."));
        assert_eq!(caller.color.as_deref(), Some("#00ff7F"));
        assert_eq!(caller.role, Role::Facilitator);
        assert_eq!(caller.token.as_deref(), Some("t-1"));
        assert_eq!(caller.issued_ms, iat * 1000 + 250);
        assert_eq!(caller.expires_ms, Some((exp + 10) * 1000), "with the leeway");
        assert_eq!(refused(&auth, ""), AuthError::Missing);
        assert_eq!(auth.admit(None, &room("retro"), now_ms()), Err(AuthError::Missing));
    }
}

/// [A3] A key has one algorithm: a token that names another, or none, is refused, also if its signature would hold with
/// the public key as a secret.
#[test]
fn algorithms_cannot_be_confused() {
    for alg in ["RS256", "ES256", "EdDSA"] {
        let auth = auth(&[public_key(alg)]);
        let public = std::fs::read(public_key(alg)).unwrap();
        for secret in [public.clone(), public.trim_ascii().to_vec(), der(public_key(alg).to_str().unwrap())] {
            let header = json!({ "alg": "HS256" });
            let forged = token_of(&header, &claims(&json!({})), |message| hmac_sign(&secret, message));
            assert_eq!(refused(&auth, &forged), AuthError::Algorithm, "{alg} as HS256");
        }
        for other in ["HS256", "RS256", "ES256", "EdDSA"].into_iter().filter(|other| *other != alg) {
            let header = json!({ "alg": other });
            let signed = token_of(&header, &claims(&json!({})), |message| sign(alg, message));
            assert_eq!(refused(&auth, &signed), AuthError::Algorithm, "{alg} named {other}");
        }
    }
    let auth = auth(&[public_key("HS256")]);
    for none in ["none", "None", "NONE", "", "HS1", "hs256"] {
        for signature in [Vec::new(), hmac_sign(SECRET.as_bytes(), b"")] {
            let token = token_of(&json!({ "alg": none }), &claims(&json!({})), |_| signature.clone());
            assert_eq!(refused(&auth, &token), AuthError::Malformed, "alg {none:?}");
        }
    }
    for stronger in ["HS384", "HS512"] {
        let header = json!({ "alg": stronger });
        let token = token_of(&header, &claims(&json!({})), |message| sign("HS256", message));
        assert_eq!(refused(&auth, &token), AuthError::Algorithm);
    }
    for family in ["RS384", "RS512", "PS256"] {
        let auth = crate::auth_support::auth(&[public_key("RS256")]);
        let token =
            token_of(&json!({ "alg": family }), &claims(&json!({})), |message| sign("RS256", message));
        assert_eq!(refused(&auth, &token), AuthError::Algorithm);
    }
}

/// [A4] Keys are looked up by name among those that are loaded, and nowhere else; what a token brings along is ignored.
#[test]
fn keys_are_found_by_name_only() {
    let named = |kid: &str, alg: &str| -> ruang::auth::AuthSettings {
        let file = format!("{kid}={}", public_key(alg).display());
        AuthSettings { auth_key_file: vec![file.parse().unwrap()], ..AuthSettings::default() }
    };
    let mut both = named("one", "HS256");
    both.auth_key_file.extend(named("two", "EdDSA").auth_key_file);
    let auth = auth_of(&both);
    let with =
        |header: Value, alg: &str| token_of(&header, &claims(&json!({})), |message| sign(alg, message));
    let admitted = |token: &str| auth.admit(Some(token), &room("retro"), now_ms()).map(|caller| caller.role);
    assert_eq!(admitted(&with(json!({ "alg": "HS256", "kid": "one" }), "HS256")), Ok(Role::Editor));
    assert_eq!(admitted(&with(json!({ "alg": "EdDSA", "kid": "two" }), "EdDSA")), Ok(Role::Editor));
    for kid in ["three", "", "../one", "/etc/passwd", "one' OR '1", "http://127.0.0.1/key", "ONE"] {
        let token = with(json!({ "alg": "HS256", "kid": kid }), "HS256");
        assert_eq!(admitted(&token), Err(AuthError::UnknownKey), "{kid:?}");
    }
    assert_eq!(admitted(&with(json!({ "alg": "HS256" }), "HS256")), Err(AuthError::UnknownKey), "no kid");
    let other = with(json!({ "alg": "HS256", "kid": "two" }), "HS256");
    assert_eq!(admitted(&other), Err(AuthError::Algorithm));
    let hostile = json!({
        "alg": "HS256", "kid": "one", "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/chain",
        "jwk": { "kty": "oct", "k": "AAAA" },
    });
    assert_eq!(admitted(&with(hostile.clone(), "HS256")), Ok(Role::Editor), "ignored");
    let forged = token_of(&hostile, &claims(&json!({})), |message| hmac_sign(&[0, 0, 0], message));
    assert_eq!(admitted(&forged), Err(AuthError::Signature), "the key in the token counts for nothing");
    let critical = with(json!({ "alg": "HS256", "kid": "one", "crit": ["b64"], "b64": false }), "HS256");
    assert_eq!(admitted(&critical), Err(AuthError::Malformed));
    // One key without a name is meant by every token.
    let single = crate::auth_support::auth(&[public_key("HS256")]);
    let token = with(json!({ "alg": "HS256", "kid": "whatever" }), "HS256");
    assert!(single.admit(Some(&token), &room("retro"), now_ms()).is_ok());
    // One with a name is not.
    let single = auth_of(&named("one", "HS256"));
    assert_eq!(refused(&single, &token), AuthError::UnknownKey);
}

/// [A5] Times are numbers: a token without an end, with one that is text, in the past or too far away is refused; so is one
/// that is not valid yet. Clocks may differ by the leeway.
#[test]
fn times_are_looked_at() {
    let auth = auth(&[public_key("HS256")]);
    let now = now_s();
    let check = |what: &str, change: Value, expected: Option<AuthError>| {
        let found = auth.admit(Some(&token("HS256", &claims(&change))), &room("retro"), now * 1000).err();
        println!("{what}: {found:?}");
        assert_eq!(found, expected, "{what}");
    };
    check("no exp", json!({ "exp": null }), Some(AuthError::Claim("exp")));
    for text in [json!("9999999999"), json!(true), json!([now + 60]), json!({ "at": now })] {
        check("exp of another type", json!({ "exp": text }), Some(AuthError::Claim("exp")));
    }
    check("nbf as text", json!({ "nbf": "0" }), Some(AuthError::Claim("nbf")));
    check("iat as text", json!({ "iat": "0" }), Some(AuthError::Claim("iat")));
    check("a negative exp", json!({ "exp": -1 }), Some(AuthError::Claim("exp")));
    check("expired long ago", json!({ "exp": 1 }), Some(AuthError::Expired));
    check("expired beyond the leeway", json!({ "exp": now - 10 }), Some(AuthError::Expired));
    check("expired within the leeway", json!({ "exp": now - 9 }), None);
    check("a fraction", json!({ "exp": now as f64 - 8.5 }), None);
    check("valid in an hour", json!({ "nbf": now + 3600 }), Some(AuthError::NotYet));
    check("valid beyond the leeway", json!({ "nbf": now + 11 }), Some(AuthError::NotYet));
    check("valid within the leeway", json!({ "nbf": now + 10 }), None);
    check("a year", json!({ "exp": now + 365 * 86_400 }), Some(AuthError::TooLong));
    check("for ever", json!({ "exp": 1e18 }), Some(AuthError::TooLong));
    check("a month", json!({ "exp": now + 31 * 86_400 }), None);
    let old = json!({ "iat": now - 40 * 86_400, "exp": now + 60 });
    check("a minute is left of more than a month", old, Some(AuthError::TooLong));
    check("made tomorrow", json!({ "iat": now + 86_400 }), Some(AuthError::NotYet));
}

/// [A6] Issuer and audience are needed once they are set; the user always is.
#[test]
fn issuer_audience_and_user_are_needed() {
    let settings = AuthSettings {
        auth_issuer: vec!["https://id.example".into(), "other".into()],
        auth_audience: vec!["ruang".into()],
        ..settings(&[public_key("HS256")])
    };
    let auth = auth_of(&settings);
    let good = json!({ "iss": "https://id.example", "aud": "ruang" });
    let check = |change: Value, expected: Option<AuthError>| {
        let mut all = good.clone();
        for (name, value) in change.as_object().unwrap() {
            all[name] = value.clone();
        }
        let found = auth.admit(Some(&token("HS256", &claims(&all))), &room("retro"), now_ms()).err();
        println!("{change}: {found:?}");
        assert_eq!(found, expected, "{change}");
    };
    check(json!({}), None);
    check(json!({ "iss": "other", "aud": ["x", "ruang"] }), None);
    for iss in [json!(null), json!("https://id.example/"), json!("evil"), json!(1), json!({})] {
        check(json!({ "iss": iss }), Some(AuthError::Issuer));
    }
    for aud in [json!(null), json!("Ruang"), json!([]), json!(["x"]), json!(1), json!({ "ruang": 1 })] {
        check(json!({ "aud": aud }), Some(AuthError::Audience));
    }
    let long = "x".repeat(257);
    for sub in [json!(null), json!(""), json!(7), json!("a\nb"), json!("a\0b"), json!(long), json!(["ada"])] {
        check(json!({ "sub": sub }), Some(AuthError::Claim("sub")));
    }
}

/// [A7] A token is for the rooms that it names: exactly, or by a prefix that is written as one.
#[test]
fn tokens_are_for_the_rooms_they_name() {
    let auth = auth(&[public_key("HS256")]);
    let check = |change: Value, name: &str, expected: Option<AuthError>| {
        let found = auth.admit(Some(&token("HS256", &claims(&change))), &room(name), now_ms()).err();
        println!("{change} in {name}: {found:?}");
        assert_eq!(found, expected, "{change} in {name}");
    };
    check(json!({}), "retro", None);
    for foreign in
        ["Retro", "retro ", "retro/1", "retr", "", "other"].into_iter().filter(|name| !name.is_empty())
    {
        check(json!({}), foreign, Some(AuthError::Room));
    }
    check(json!({ "room": ["a", "b"] }), "b", None);
    check(json!({ "room": ["a", "b"] }), "c", Some(AuthError::Room));
    check(json!({ "room": "team/*" }), "team/1", Some(AuthError::Room));
    check(json!({ "room": "team/*" }), "team/*", None);
    let rooms = json!({ "room": null, "rooms": ["a", "team/*", "x*y"] });
    check(rooms.clone(), "a", None);
    check(rooms.clone(), "team/1/2", None);
    check(rooms.clone(), "team", Some(AuthError::Room));
    check(rooms.clone(), "x*y", None);
    check(rooms.clone(), "xzy", Some(AuthError::Room));
    check(rooms, "aa", Some(AuthError::Room));
    check(json!({ "room": null, "rooms": ["*"] }), "anything", None);
    check(json!({ "rooms": ["b"] }), "b", None);
    for none in [json!({ "room": null }), json!({ "room": [] }), json!({ "room": null, "rooms": [] })] {
        check(none, "retro", Some(AuthError::Claim("room")));
    }
    for bad in
        [json!(1), json!(""), json!("a\0b"), json!(["a", 1]), json!("x".repeat(129)), json!({ "a": 1 })]
    {
        check(json!({ "room": bad }), "retro", Some(AuthError::Claim("room")));
    }
    for bad in [json!("retro"), json!(1), json!([1]), json!([""]), json!(["a\n*"]), json!(vec!["a"; 257])] {
        check(json!({ "rooms": bad }), "retro", Some(AuthError::Claim("rooms")));
    }
}

/// [A8] A role that is not named is a viewer's, one that is not known refuses the token; only an admin's token may leave
/// rooms out, and then is for all of them.
#[test]
fn roles_are_what_the_token_says() {
    let auth = auth(&[public_key("HS256")]);
    let role = |change: Value, name: &str| {
        let token = token("HS256", &claims(&change));
        auth.admit(Some(&token), &room(name), now_ms()).map(|caller| caller.role)
    };
    assert_eq!(role(json!({ "role": null }), "retro"), Ok(Role::Viewer));
    for known in Role::ALL {
        assert_eq!(role(json!({ "role": known.as_str() }), "retro"), Ok(known));
    }
    for bad in [json!("Editor"), json!("owner"), json!(""), json!(1), json!(["editor"])] {
        assert_eq!(role(json!({ "role": bad }), "retro"), Err(AuthError::Claim("role")));
    }
    for (claim, bad) in [
        ("name", json!("")),
        ("name", json!("a\u{7}b")),
        ("name", json!("x".repeat(129))),
        ("color", json!("red")),
        ("color", json!("#12345")),
        ("color", json!("#12345g")),
        ("jti", json!(7)),
    ] {
        assert_eq!(role(json!({ claim: bad }), "retro"), Err(AuthError::Claim(claim)));
    }
    let admin = json!({ "room": null, "role": "admin" });
    assert_eq!(role(admin.clone(), "any room"), Ok(Role::Admin));
    assert_eq!(role(json!({ "role": "admin" }), "any room"), Err(AuthError::Room));
    let everywhere = |change: &Value| {
        let token = token("HS256", &claims(change));
        auth.admit_everywhere(Some(&token), now_ms()).map(|caller| caller.role)
    };
    assert_eq!(everywhere(&admin), Ok(Role::Admin));
    assert_eq!(everywhere(&json!({ "role": "admin" })), Err(AuthError::Room));
    assert_eq!(everywhere(&json!({ "room": null, "rooms": ["*"] })), Err(AuthError::Room));
    assert_eq!(auth.admit_everywhere(None, now_ms()), Err(AuthError::Missing));
}

/// [A9] Bytes that are no token, and tokens of which one bit was changed, are refused; the text of a refusal holds
/// nothing of them.
#[test]
fn garbage_and_changed_tokens_are_refused() {
    for alg in ALGORITHMS {
        let auth = auth(&[public_key(alg)]);
        let good = token(alg, &claims(&json!({})));
        assert!(auth.admit(Some(&good), &room("retro"), now_ms()).is_ok());
        let (signed, signature) = good.rsplit_once('.').unwrap();
        for len in (0..signature.len()).step_by(if alg == "RS256" { 17 } else { 1 }) {
            let cut = format!("{signed}.{}", &signature[..len]);
            assert!(
                matches!(refused(&auth, &cut), AuthError::Signature | AuthError::Malformed),
                "{alg} {len}"
            );
        }
        let mut refusals = 0;
        let step = if alg == "HS256" { 1 } else { 7 };
        for at in (0..good.len()).step_by(step) {
            for change in [1u8, 2, 32] {
                let mut bytes = good.clone().into_bytes();
                bytes[at] ^= change;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                if let Err(error) = auth.admit(Some(&changed), &room("retro"), now_ms()) {
                    assert!(error.to_string().len() < 100, "{error}");
                    refusals += 1;
                } else {
                    // The last letter of a signature has bits that mean nothing; decoders that are strict refuse it.
                    panic!("{alg}: a token with byte {at} changed by {change} is let in");
                }
            }
        }
        println!("{alg}: {refusals} changed tokens refused");
        let parts: Vec<&str> = good.split('.').collect();
        for garbage in [
            ".",
            "..",
            "...",
            "a",
            "a.b",
            "a.b.c",
            "🦀.🦀.🦀",
            "\0",
            &good[1..],
            &format!("{good}."),
            &format!("{good}.x"),
            &format!("{} ", good),
            &format!(" {good}"),
            &format!("{}.{}", parts[0], parts[1]),
            &format!("{}..{}", parts[0], parts[2]),
            &format!(".{}.{}", parts[1], parts[2]),
        ] {
            let error = refused(&auth, garbage);
            assert!(matches!(error, AuthError::Malformed | AuthError::Signature), "{garbage:?}: {error}");
        }
    }
}

/// [A9] A token of 100 KB is not even looked at; claims that are there twice, or nested without end, are refused.
#[test]
fn large_and_odd_tokens_are_refused() {
    let auth = auth(&[public_key("HS256")]);
    let large = token("HS256", &claims(&json!({ "name": "x".repeat(75_000) })));
    assert!(large.len() > 100_000);
    assert_eq!(refused(&auth, &large), AuthError::TooLarge);
    assert_eq!(refused(&auth, &"a".repeat(100_000)), AuthError::TooLarge);
    let raw = |claims: &str| {
        let parts = format!("{}.{}", base64(br#"{"alg":"HS256"}"#), base64(claims.as_bytes()));
        format!("{parts}.{}", base64(&hmac_sign(SECRET.as_bytes(), parts.as_bytes())))
    };
    let exp = now_s() + 60;
    let good = format!(r#"{{"sub":"a","room":"retro","exp":{exp}}}"#);
    assert!(auth.admit(Some(&raw(&good)), &room("retro"), now_ms()).is_ok());
    for odd in [
        format!(r#"{{"sub":"a","room":"retro","exp":1,"exp":{exp}}}"#),
        format!(r#"{{"sub":"a","sub":"b","room":"retro","exp":{exp}}}"#),
        format!(r#"{{"sub":"a","room":"other","room":"retro","exp":{exp}}}"#),
        format!(r#"["a","retro",{exp}]"#),
        "1".to_owned(),
        String::new(),
        format!(r#"{{"sub":"a","room":"retro","exp":{exp}"#),
        format!(r#"{{"sub":"a","room":{}"#, "[".repeat(4000)),
    ] {
        let error = refused(&auth, &raw(&odd));
        assert_eq!(error, AuthError::Malformed, "{}", &odd[..odd.len().min(60)]);
    }
}
