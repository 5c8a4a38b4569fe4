//! Which keys are taken, and which are refused before a server starts with them.

use ruang::auth::{Auth, AuthError, AuthSettings, KeyError, SettingsError};
use serde_json::json;

use crate::auth_support::*;

fn refusal(text: &str) -> (KeyError, String) {
    let settings = settings(&[write_key(text)]);
    match Auth::from_settings_and(&settings, &|_| None) {
        Err(error @ SettingsError::Key { source, .. }) => (source, error.to_string()),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a bad key is taken"),
    }
}

/// [A13] Secrets that are short, monotonous or stand in examples are refused, and no text repeats them.
#[test]
fn weak_secrets_are_refused() {
    for (secret, expected) in [
        ("", KeyError::Empty),
        (" \n", KeyError::Empty),
        ("secret", KeyError::Short(6)),
        ("0123456789abcdef0123456789abcde", KeyError::Short(31)),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", KeyError::Weak),
        ("secretsecretsecretsecretsecretsecret", KeyError::Weak),
        ("a-string-secret-at-least-256-bits-long", KeyError::Weak),
        ("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA", KeyError::Public),
        ("\u{feff}MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=", KeyError::Public),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9", KeyError::Public),
        ("https://login.example.com/realms/retro/protocol/openid-connect/certs", KeyError::Public),
    ] {
        let (error, text) = refusal(secret);
        println!("{secret:?}: {text}");
        assert_eq!(error, expected);
        assert!(text.contains("--auth-key-file") && !text.contains('\n'));
        assert!(secret.len() < 30 || !text.contains(secret), "{text}");
    }
    assert!(!auth(&[write_key(&format!("{SECRET}\n"))]).is_open());
}

/// [A13] What was meant as a key and is none never becomes a secret: mangled PEM, other curves, short RSA, certificates,
/// JSON that is no JWK.
#[test]
fn broken_keys_are_no_secrets() {
    let pem = std::fs::read_to_string(fixture("rsa-2048.pub.pem")).unwrap();
    let two = format!("{pem}{pem}");
    for (text, expected) in [
        (pem.replace("MII", "MIX"), KeyError::Pem),
        (pem.replace("-----END", "--END"), KeyError::Pem),
        (two, KeyError::Pem),
        (std::fs::read_to_string(fixture("rsa-1024.pub.pem")).unwrap(), KeyError::Pem),
        (std::fs::read_to_string(fixture("p384.pub.pem")).unwrap(), KeyError::Pem),
        (std::fs::read_to_string(fixture("p256-traditional.pem")).unwrap(), KeyError::Pem),
        (pem.replace("PUBLIC KEY", "CERTIFICATE"), KeyError::Certificate),
        ("{\"kty\":\"oct\"}".to_owned(), KeyError::Json),
        ("{\"keys\":[]}".to_owned(), KeyError::Json),
        ("[\"a list that is longer than thirty-two bytes\"]".to_owned(), KeyError::Json),
        (json!({ "kty": "oct", "k": base64(b"short") }).to_string(), KeyError::Short(5)),
        (json!({ "kty": "oct", "alg": "HS512", "k": base64(SECRET.as_bytes()) }).to_string(), KeyError::Json),
        (json!({ "kty": "oct", "k": base64(pem.as_bytes()) }).to_string(), KeyError::Pem),
    ] {
        assert_eq!(refusal(&text).0, expected, "{}", &text[..text.len().min(40)]);
    }
}

/// [A13] JWKs and sets of them are taken; in a set, keys for other uses are left out.
#[test]
fn jwks_are_taken() {
    let ed = der("ed25519.pub.pem");
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig", "x": base64(&ed[ed.len() - 32..]) });
    let ec = der("p256.pub.pem");
    let point = &ec[ec.len() - 64..];
    let ec = json!({
        "kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256", "x": base64(&point[..32]), "y": base64(&point[32..]),
    });
    let oct = json!({ "kty": "oct", "kid": "oct", "alg": "HS256", "k": base64(SECRET.as_bytes()) });
    let other = json!({ "kty": "oct", "kid": "enc", "use": "enc", "k": base64(SECRET.as_bytes()) });
    let set = json!({ "keys": [ed, ec, oct, other] });
    let auth = auth(&[write_key(&set.to_string())]);
    for (kid, alg) in [("ed", "EdDSA"), ("ec", "ES256"), ("oct", "HS256")] {
        let header = json!({ "alg": alg, "kid": kid });
        let token = token_of(&header, &claims(&json!({})), |message| sign(alg, message));
        let admitted = auth.admit(Some(&token), &room("retro"), now_ms());
        assert!(admitted.is_ok(), "{kid}: {admitted:?}");
    }
    let token = token_of(&json!({ "alg": "HS256", "kid": "enc" }), &claims(&json!({})), |message| {
        sign("HS256", message)
    });
    assert_eq!(auth.admit(Some(&token), &room("retro"), now_ms()), Err(AuthError::UnknownKey));
}

/// [A4] Several keys have names, each its own.
#[test]
fn several_keys_have_names() {
    let settings = |files: &[String]| AuthSettings {
        auth_key_file: files.iter().map(|file| file.parse().unwrap()).collect(),
        ..AuthSettings::default()
    };
    let (secret, ed) = (public_key("HS256").display().to_string(), public_key("EdDSA").display().to_string());
    let error = |files: &[String]| match Auth::from_settings_and(&settings(files), &|_| None) {
        Err(SettingsError::Key { source, .. }) => source,
        _ => panic!("they are taken"),
    };
    assert_eq!(error(&[secret.clone(), ed.clone()]), KeyError::Unnamed);
    assert_eq!(error(&[format!("a={secret}"), format!("a={ed}")]), KeyError::Twice);
    assert!(
        Auth::from_settings_and(&settings(&[format!("a={secret}"), format!("b={ed}")]), &|_| None).is_ok()
    );
    assert!("ruang.document=x".parse::<ruang::auth::KeyFile>().is_err());
    assert!("a=".parse::<ruang::auth::KeyFile>().is_err());
    let absent = Auth::from_settings_and(&settings(&["/nowhere/key".to_owned()]), &|_| None);
    let text = absent.err().unwrap().to_string();
    assert!(text.starts_with("--auth-key-file /nowhere/key: "), "{text}");
}

/// [A13] A key may come from the environment; files that are read again replace keys, and a bad one leaves them as they are.
#[test]
fn keys_come_from_the_environment_and_are_read_again() {
    let variable = |name: &str| (name == "RUANG_AUTH_KEY").then(|| SECRET.to_owned());
    let from_variable = Auth::from_settings_and(&AuthSettings::default(), &variable).unwrap();
    assert!(!from_variable.is_open() && !from_variable.is_reloadable());
    let signed = token("HS256", &claims(&json!({})));
    assert!(from_variable.admit(Some(&signed), &room("retro"), now_ms()).is_ok());

    let path = write_key(&format!("{SECRET}-to-be-replaced"));
    std::fs::write(&path, SECRET).unwrap();
    let auth = auth(std::slice::from_ref(&path));
    assert!(auth.is_reloadable());
    let admitted = |token: &str| auth.admit(Some(token), &room("retro"), now_ms()).map(|_| ());
    assert_eq!(admitted(&signed), Ok(()));
    std::fs::write(&path, "short").unwrap();
    println!("{}", auth.reload().unwrap_err());
    assert_eq!(admitted(&signed), Ok(()), "as it was");
    std::fs::write(&path, std::fs::read(public_key("EdDSA")).unwrap()).unwrap();
    auth.reload().unwrap();
    assert_eq!(admitted(&signed), Err(AuthError::Algorithm));
    assert_eq!(admitted(&token("EdDSA", &claims(&json!({})))), Ok(()));
}
