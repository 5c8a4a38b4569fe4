//! Keys of webhooks, and signatures by them. Source: Standard Webhooks 1.0, "Signature scheme".

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of a key, by the specification.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A key that a receiver shares.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Why a text is no key. It never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret is whsec_ and the base64 of 24 to 64 random bytes (openssl rand -base64 32); several are parted by spaces"
)]
pub struct SecretError;

impl Secret {
    /// Keys as they are written: `whsec_` and base64, parted by white space. While one is replaced there are two: what
    /// is told is signed by both.
    ///
    /// # Errors
    /// [`SecretError`] if one of them is none, or if there is none.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, SecretError> {
        let secrets: Vec<Self> = text.split_whitespace().map(Self::parse).collect::<Result<_, _>>()?;
        if secrets.is_empty() { Err(SecretError) } else { Ok(secrets) }
    }

    fn parse(text: &str) -> Result<Self, SecretError> {
        let key = text.strip_prefix("whsec_").and_then(|base64| STANDARD.decode(base64).ok());
        key.filter(|key| KEY_BYTES.contains(&key.len())).map(Self).ok_or(SecretError)
    }

    fn sign(&self, id: &str, timestamp: &str, body: &str) -> String {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in [id, ".", timestamp, ".", body] {
            mac.update(part.as_bytes());
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The header with the signatures of all keys.
pub(super) fn signatures(secrets: &[Secret], id: &str, timestamp: &str, body: &str) -> String {
    secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect::<Vec<_>>().join(" ")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// [P20] Signatures are those of the specification's own example, in the libraries of others.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secrets = Secret::parse_all(KEY).unwrap();
        let body = "{\"test\": 2432232314}";
        let signature = signatures(&secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let two = Secret::parse_all(&format!("{KEY}\n whsec_{}", STANDARD.encode([7; 24]))).unwrap();
        let signed = signatures(&two, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert!(signed.starts_with(&format!("{signature} v1,")), "{signed}");
    }

    /// [P24] What is no key is refused without being repeated.
    #[test]
    fn bad_keys_are_refused() {
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        let second_is_bad = format!("{KEY} x");
        for bad in [
            "",
            " \n",
            "secret",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_!",
            &short,
            &long,
            &second_is_bad,
        ] {
            assert_eq!(Secret::parse_all(bad).unwrap_err(), SecretError, "{bad:?}");
        }
        assert_eq!(format!("{:?}", Secret::parse_all(KEY).unwrap()), "[Secret(…)]");
    }
}
