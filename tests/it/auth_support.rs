//! Tokens made by hand, so that nothing of the server's own is believed.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::{digest, hmac};
use ruang::auth::{Auth, AuthError, AuthSettings};
use ruang::ids::RoomName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::PATIENCE;

pub const SECRET: &str = "f2b4c8a97d10e35b6c92847fae10d3c5";
pub const ALGORITHMS: [&str; 4] = ["HS256", "RS256", "ES256", "EdDSA"];

pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

pub fn now_s() -> u64 {
    now_ms() / 1000
}

pub fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/auth").join(name)
}

/// Why a token is no good for the room `retro`.
pub fn refused(auth: &Auth, token: &str) -> AuthError {
    auth.admit(Some(token), &room("retro"), now_ms()).expect_err("it is refused")
}

/// Base64 for URLs, without padding.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            out.push(char::from(LETTERS[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    out
}

fn unbase64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    };
    let text: Vec<u8> = text.bytes().filter(|c| !c.is_ascii_whitespace() && *c != b'=').collect();
    let mut out = Vec::new();
    for chunk in text.chunks(4) {
        let bits =
            chunk.iter().fold(0u32, |bits, c| bits << 6 | u32::from(value(*c))) << (6 * (4 - chunk.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    out
}

/// The DER in a PEM file.
pub fn der(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(fixture(name)).unwrap();
    let lines: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    unbase64(&lines)
}

/// Signs as `alg` says, with the key of the fixtures that is for it.
pub fn sign(alg: &str, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    match alg {
        "HS256" => hmac_sign(SECRET.as_bytes(), message),
        "RS256" => {
            let pair = RsaKeyPair::from_pkcs8(&der("rsa-2048.pem")).unwrap();
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
            signature
        }
        "ES256" => {
            let key = der("p256.pem");
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key, &random).unwrap();
            pair.sign(&random, message).unwrap().as_ref().to_vec()
        }
        "EdDSA" => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der("ed25519.pem")).unwrap();
            pair.sign(message).as_ref().to_vec()
        }
        other => panic!("no key for {other}"),
    }
}

pub fn hmac_sign(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}

/// A token of any header and claims.
pub fn token_of(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let parts =
        format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    let signature = base64(&sign(parts.as_bytes()));
    format!("{parts}.{signature}")
}

/// A token with a good signature.
pub fn token(alg: &str, claims: &Value) -> String {
    token_of(&json!({ "alg": alg, "typ": "JWT" }), claims, |message| sign(alg, message))
}

/// Claims that are good for an hour in a room; `change` alters them, `null` takes one away.
pub fn claims(change: &Value) -> Value {
    let mut claims = json!({ "sub": "ada", "room": "retro", "role": "editor", "exp": now_s() + 3600 });
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// The public key of the fixtures for an algorithm; the secret for HS256.
pub fn public_key(alg: &str) -> PathBuf {
    match alg {
        "HS256" => write_key(SECRET),
        "RS256" => fixture("rsa-2048.pub.pem"),
        "ES256" => fixture("p256.pub.pem"),
        "EdDSA" => fixture("ed25519.pub.pem"),
        other => panic!("no key for {other}"),
    }
}

/// A file that holds a key; it goes with the system's temporary directory.
pub fn write_key(text: &str) -> PathBuf {
    let name: String = digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..8]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let dir = std::env::temp_dir().join(format!("ruang-auth-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join(name);
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    path
}

pub fn settings(keys: &[PathBuf]) -> AuthSettings {
    let auth_key_file = keys.iter().map(|path| path.to_str().unwrap().parse().unwrap()).collect();
    AuthSettings { auth_key_file, ..AuthSettings::default() }
}

/// Authentication with keys of files, and nothing from the environment.
pub fn auth(keys: &[PathBuf]) -> Auth {
    auth_of(&settings(keys))
}

pub fn auth_of(settings: &AuthSettings) -> Auth {
    Auth::from_settings_and(settings, &|_| None).unwrap()
}

/// One request; all of the answer but its date.
pub async fn request(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let len = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n");
    stream.write_all(format!("{head}{headers}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A body that is too large is not read to its end; the answer is there all the same.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time");
    let text = String::from_utf8_lossy(&answer);
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("date: ")).collect()
}
