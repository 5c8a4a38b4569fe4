//! Tokens that the server makes itself, and what refusals do not tell.

use std::sync::Arc;

use ruang::auth::{Auth, AuthError, AuthSettings, DocumentGrant, Grant, MintError};
use ruang::caller::Role;
use ruang::kind::RoomKind;
use serde_json::json;

use crate::auth_support::*;

/// [A10] What `mint` makes is admitted as what it was made for, by every kind of key that can sign; public keys make none.
#[test]
fn minted_tokens_are_admitted() {
    let grant = Grant {
        user: "ada".into(),
        rooms: vec![room("retro"), room("b")],
        prefixes: vec!["team/".into()],
        role: Role::Facilitator,
        ttl_s: 60,
        name: Some("Ada".into()),
        color: Some("#123abc".into()),
        kid: None,
        kind: Some(RoomKind::Board),
    };
    for key in [write_key(SECRET), fixture("rsa-2048.pem"), fixture("p256.pem"), fixture("ed25519.pem")] {
        let settings = AuthSettings {
            auth_issuer: vec!["me".into()],
            auth_audience: vec!["here".into()],
            ..settings(&[key])
        };
        let auth = auth_of(&settings);
        let token = auth.mint(&grant, now_ms()).unwrap();
        for name in ["retro", "b", "team/1"] {
            let caller = auth.admit(Some(&token), &room(name), now_ms()).unwrap();
            assert_eq!((caller.role, caller.user.as_deref()), (Role::Facilitator, Some("ada")));
            assert_eq!((caller.name.as_deref(), caller.color.as_deref()), (Some("Ada"), Some("#123abc")));
            assert!(caller.token.is_some() && caller.issued_ms > 0);
            assert_eq!(caller.kind, Some(RoomKind::Board));
        }
        assert_eq!(auth.admit(Some(&token), &room("c"), now_ms()), Err(AuthError::Room));
        assert_eq!(auth.admit(Some(&token), &room("b"), now_ms() + 71_000), Err(AuthError::Expired));
        let nowhere = Grant { rooms: vec![], prefixes: vec![], ..grant.clone() };
        assert!(matches!(auth.mint(&nowhere, now_ms()), Err(MintError::Refused(_))));
        let admin = auth.mint(&Grant { role: Role::Admin, ..nowhere }, now_ms()).unwrap();
        assert!(auth.admit_everywhere(Some(&admin), now_ms()).is_ok());
        for bad in [
            Grant { user: String::new(), ..grant.clone() },
            Grant { color: Some("red".into()), ..grant.clone() },
            Grant { ttl_s: 0, ..grant.clone() },
            Grant { ttl_s: u64::MAX, ..grant.clone() },
            Grant { name: Some("x\n".into()), ..grant.clone() },
        ] {
            assert!(matches!(auth.mint(&bad, now_ms()), Err(MintError::Refused(_))));
        }
    }
    for alg in ["RS256", "ES256", "EdDSA"] {
        assert_eq!(auth(&[public_key(alg)]).mint(&grant, now_ms()), Err(MintError::NoKey));
    }
    assert_eq!(Auth::open().mint(&grant, now_ms()), Err(MintError::NoKey));
}

/// [A11] Tokens that the server makes for single documents are admitted there and nowhere else, until they expire, by all
/// instances that share a secret; issuers cannot be passed off by them, nor they by issuers.
#[test]
fn document_tokens_are_for_one_document() {
    let name = room("doc");
    let grant = DocumentGrant {
        room: &name,
        role: Role::Viewer,
        user: Some("ada".into()),
        name: Some(Arc::from("Ada")),
        color: None,
        ttl_s: 60,
        kind: Some(RoomKind::Free),
    };
    let check = |minted_by: &Auth, read_by: &Auth| {
        let token = minted_by.mint_document_token(&grant, now_ms()).unwrap();
        let caller = read_by.admit(Some(&token), &name, now_ms())?;
        assert_eq!((caller.role, caller.user.as_deref()), (Role::Viewer, Some("ada")));
        assert_eq!(caller.kind, Some(RoomKind::Free));
        assert_eq!(read_by.admit(Some(&token), &room("other"), now_ms()), Err(AuthError::Room));
        assert_eq!(read_by.admit(Some(&token), &name, now_ms() + 60_001), Err(AuthError::Expired));
        assert_eq!(read_by.admit_everywhere(Some(&token), now_ms()), Err(AuthError::Room));
        Ok(())
    };
    let (first, second) = (auth(&[public_key("HS256")]), auth(&[public_key("HS256")]));
    check(&first, &first).unwrap();
    check(&first, &second).unwrap();
    let public = auth(&[public_key("EdDSA")]);
    check(&public, &public).unwrap();
    assert_eq!(
        check(&public, &auth(&[public_key("EdDSA")])),
        Err(AuthError::Signature),
        "random for each process"
    );
    let token = public.mint_document_token(&grant, now_ms()).unwrap();
    public.reload().unwrap();
    assert!(public.admit(Some(&token), &name, now_ms()).is_ok(), "for as long as the process lives");
    assert_eq!(public.document_key_from(), "chance, for the life of this process");
    assert_eq!(first.document_key_from(), "the first key that signs");
    let shared = |_: &str| Some("another secret with a good thirty-two bytes".to_owned());
    let only_document = |name: &str| shared(name).filter(|_| name == "RUANG_AUTH_DOCUMENT_SECRET");
    let settings = settings(&[public_key("EdDSA")]);
    let with_secret = || Auth::from_settings_and(&settings, &only_document).unwrap();
    check(&with_secret(), &with_secret()).unwrap();
    // The instance that has made it may have a clock that is ahead of the one that reads it.
    for (ahead_ms, admitted) in [(9_000, true), (12_000, false)] {
        let token = first.mint_document_token(&grant, now_ms() + ahead_ms).unwrap();
        let read = second.admit(Some(&token), &name, now_ms());
        println!("made {ahead_ms} ms ahead: {:?}", read.as_ref().err());
        assert_eq!(read.map(|_| ()), if admitted { Ok(()) } else { Err(AuthError::NotYet) });
    }
    // Where everybody is let in, a token that was made here says what it says.
    let open = Auth::open();
    check(&open, &open).unwrap();
    let foreign = first.mint_document_token(&grant, now_ms()).unwrap();
    assert_eq!(open.admit(Some(&foreign), &name, now_ms()).unwrap().role, Role::Admin);
    // A token that names nobody makes no user: its holders are not one person.
    let nobody = DocumentGrant { user: None, ..grant.clone() };
    let token = first.mint_document_token(&nobody, now_ms()).unwrap();
    assert_eq!(first.admit(Some(&token), &name, now_ms()).unwrap().user, None);
    // So nobody can be called what such a token says.
    let called_so = DocumentGrant { user: Some("document".into()), ..grant.clone() };
    let refused_user = first.mint_document_token(&called_so, now_ms());
    println!("{refused_user:?}");
    assert!(matches!(refused_user, Err(MintError::Refused(why)) if why.contains("`document`")));
    // With the issuers' key but our name, and the other way around.
    let forged =
        token_of(&json!({ "alg": "HS256", "kid": "ruang.document" }), &claims(&json!({})), |message| {
            sign("HS256", message)
        });
    assert_eq!(refused(&first, &forged), AuthError::Signature);
}

/// [W48] The server token opens every room, as an admin's does; without another key it and what is made with it are all that
/// is let in, on every instance that has it. It has to be long, and it is compared as a whole.
#[test]
fn the_server_token_opens_everything() {
    const SECRET: &str = "the-server-token-of-some-back-end-0123456789";
    let server = |secret: &'static str| {
        let variable = move |name: &str| (name == "RUANG_Y_SWEET_TOKEN").then(|| secret.to_owned());
        Auth::from_settings_and(&AuthSettings::default(), &variable)
    };
    let (auth, other) = (server(SECRET).unwrap(), server(SECRET).unwrap());
    assert!(!auth.is_open());
    let name = room("doc");
    assert_eq!(auth.admit(Some(SECRET), &name, now_ms()).unwrap().role, Role::Admin);
    assert_eq!(auth.admit_everywhere(Some(SECRET), now_ms()).unwrap().role, Role::Admin);
    for wrong in [&SECRET[1..], &SECRET[..SECRET.len() - 1], "x", &format!("{SECRET}x")] {
        let refused = auth.admit(Some(wrong), &name, now_ms()).unwrap_err();
        assert_eq!(refused.status(), 401, "{refused}");
        assert!(auth.admit_everywhere(Some(wrong), now_ms()).is_err());
    }
    assert_eq!(auth.admit(None, &name, now_ms()), Err(AuthError::Missing));
    let grant = DocumentGrant {
        user: None,
        kind: None,
        room: &name,
        role: Role::Editor,
        name: None,
        color: None,
        ttl_s: 60,
    };
    let token = auth.mint_document_token(&grant, now_ms()).unwrap();
    assert_eq!(other.admit(Some(&token), &name, now_ms()).unwrap().role, Role::Editor);
    assert_eq!(other.admit_everywhere(Some(&token), now_ms()), Err(AuthError::Room));
    let third = server("another-server-token-of-some-back-end-012345").unwrap();
    assert!(third.admit(Some(&token), &name, now_ms()).is_err());
    let short = server("short").map(|_| ()).unwrap_err().to_string();
    assert!(short.starts_with("RUANG_Y_SWEET_TOKEN: ") && !short.contains("short"), "{short}");
}

/// [A12] Whether a room exists makes no difference to who is not let in: the decision is made without knowing.
#[test]
fn refusals_do_not_tell_whether_a_room_exists() {
    let auth = auth(&[public_key("HS256")]);
    let token = token("HS256", &claims(&json!({})));
    let texts: std::collections::BTreeSet<String> = (0..1000)
        .map(|at| {
            let error = auth.admit(Some(&token), &room(&format!("room-{at}")), now_ms()).unwrap_err();
            format!("{} {:?}", error.status(), error.close())
        })
        .collect();
    println!("{texts:?}");
    assert_eq!(texts.len(), 1);
    assert_eq!(AuthError::Room.close().code, 4403);
    for error in [AuthError::Missing, AuthError::Expired, AuthError::Signature, AuthError::Revoked] {
        assert_eq!((error.status(), error.close().code), (401, 4401));
    }
}
