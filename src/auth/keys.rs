//! Keys: what tokens are verified with, and, where the private half is here, signed with.
//!
//! Pure: text to keys. The algorithm follows from the key and never from a token, so no token can have a public key
//! taken for a secret. What was meant as a key and cannot be read is refused, and never becomes a secret itself.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};

use crate::limits::{AUTH_KEYS_MAX, SECRET_BYTES_MIN, SECRET_VARIETY_MIN};

/// Bytes of the DER of a 2048 bit RSA public key, at least.
const RSA_DER_BYTES_MIN: usize = 266;
/// Bytes of the modulus of such a key.
const RSA_MODULUS_BYTES_MIN: usize = 256;
/// Bytes of a point of P-256, uncompressed.
const P256_POINT_BYTES: usize = 65;

/// Secrets that stand in examples.
const WELL_KNOWN: [&str; 3] = [
    "a-string-secret-at-least-256-bits-long",
    "your-256-bit-secret-your-256-bit-secret",
    "change-me-change-me-change-me-change-me",
];

/// One key, with the one algorithm that it is good for.
pub(super) struct Key {
    /// Its name in tokens.
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) verifies: DecodingKey,
    /// The half that signs, if it is here.
    pub(super) signs: Option<EncodingKey>,
}

/// Why a text is no key. It says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// Too little to be a secret.
    #[error(
        "a secret has at least {SECRET_BYTES_MIN} bytes, this one has {0}; `openssl rand -hex 32` makes one"
    )]
    Short(usize),
    /// Anybody could guess it.
    #[error("the secret is a well-known or a monotonous one; `openssl rand -hex 32` makes a good one")]
    Weak,
    /// It begins like a PEM file.
    #[error(
        "it looks like PEM, but is no public key and no unencrypted private key in PKCS#8 of RSA with 2048 bits or \
         more, of P-256 or of Ed25519"
    )]
    Pem,
    /// A certificate expires and has a chain, neither of which is looked at here.
    #[error("it is a certificate; give the public key: `openssl x509 -pubkey -noout`")]
    Certificate,
    /// It begins like a public key without its frame, or like an address.
    #[error(
        "it looks like a bare public key or an address, which others know; give PEM, JWK or JWKS, or a random secret"
    )]
    Public,
    /// It begins like JSON.
    #[error("it looks like JSON, but is no JWK or JWKS with keys for HS256, RS256, ES256 or EdDSA")]
    Json,
    /// In a set of several keys each has a name.
    #[error("where there are several keys, each has a name of its own (`kid`)")]
    Unnamed,
    /// Tokens could not say which of them they mean.
    #[error("two keys have the same name (`kid`)")]
    Twice,
    /// That many are a mistake.
    #[error("there are more than {AUTH_KEYS_MAX} keys")]
    Many,
}

impl Key {
    /// A shared secret.
    ///
    /// # Errors
    /// [`KeyError`] for what others could guess, or what is a public key.
    pub(super) fn secret(kid: Option<String>, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::Short(secret.len()));
        }
        if secret.starts_with(b"-----BEGIN") {
            return Err(KeyError::Pem);
        }
        if std::str::from_utf8(secret).is_ok_and(looks_public) {
            return Err(KeyError::Public);
        }
        let mut seen = [false; 256];
        secret.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        let variety = seen.iter().filter(|seen| **seen).count();
        if variety < SECRET_VARIETY_MIN || WELL_KNOWN.iter().any(|known| known.as_bytes() == secret) {
            return Err(KeyError::Weak);
        }
        Ok(Self {
            kid,
            algorithm: Algorithm::HS256,
            verifies: DecodingKey::from_secret(secret),
            signs: Some(EncodingKey::from_secret(secret)),
        })
    }

    /// Bytes that only who knows the signing half knows.
    pub(super) fn private_bytes(&self) -> Option<&[u8]> {
        self.signs.as_ref().map(EncodingKey::as_bytes)
    }
}

/// The keys in a text: PEM, JWK, JWKS, or else a secret as it stands, without white space around it.
///
/// # Errors
/// [`KeyError`] if there is none, or one that should not be used.
pub(super) fn parse(kid: Option<&str>, text: &str) -> Result<Vec<Key>, KeyError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let kid = kid.map(ToOwned::to_owned);
    if text.is_empty() {
        Err(KeyError::Empty)
    } else if text.contains("-----BEGIN") {
        pem(kid, text).map(|key| vec![key])
    } else if text.starts_with('{') || text.starts_with('[') {
        json(kid, text)
    } else {
        Key::secret(kid, text.as_bytes()).map(|key| vec![key])
    }
}

/// Whether a text is what people paste by mistake: the inside of a PEM file of a public key, a key of SSH, an address.
fn looks_public(text: &str) -> bool {
    const BEGINNINGS: [&str; 5] = ["MII", "MFkw", "MCow", "ssh-", "ecdsa-"];
    BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) || text.contains("://")
}

fn pem(kid: Option<String>, text: &str) -> Result<Key, KeyError> {
    if text.contains("BEGIN CERTIFICATE") {
        return Err(KeyError::Certificate);
    }
    if text.matches("-----BEGIN").count() > 1 {
        return Err(KeyError::Pem);
    }
    let bytes = text.as_bytes();
    let key = if text.contains("PRIVATE KEY-----") { private_pem(bytes) } else { public_pem(bytes) };
    let (algorithm, verifies, signs) = key.ok_or(KeyError::Pem)?;
    Ok(Key { kid, algorithm, verifies, signs })
}

type Halves = (Algorithm, DecodingKey, Option<EncodingKey>);

fn public_pem(pem: &[u8]) -> Option<Halves> {
    let long_enough = |key: &DecodingKey, bytes_min: usize| {
        key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() >= bytes_min)
    };
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        return long_enough(&key, RSA_DER_BYTES_MIN).then_some((Algorithm::RS256, key, None));
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        let is_p256 = key.try_get_as_bytes().is_ok_and(|point| point.len() == P256_POINT_BYTES);
        return is_p256.then_some((Algorithm::ES256, key, None));
    }
    let key = DecodingKey::from_ed_pem(pem).ok()?;
    long_enough(&key, 32).then_some((Algorithm::EdDSA, key, None))
}

/// The public half follows from the private one.
fn private_pem(pem: &[u8]) -> Option<Halves> {
    if let Ok(key) = EncodingKey::from_rsa_pem(pem) {
        let pair = RsaKeyPair::from_der(key.as_bytes()).ok()?;
        let public = DecodingKey::from_rsa_der(pair.public_key().as_ref());
        return Some((Algorithm::RS256, public, Some(key)));
    }
    if let Ok(key) = EncodingKey::from_ec_pem(pem) {
        let random = SystemRandom::new();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_bytes(), &random).ok()?;
        let public = DecodingKey::from_ec_der(pair.public_key().as_ref());
        return Some((Algorithm::ES256, public, Some(key)));
    }
    let key = EncodingKey::from_ed_pem(pem).ok()?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.as_bytes()).ok()?;
    Some((Algorithm::EdDSA, DecodingKey::from_ed_der(pair.public_key().as_ref()), Some(key)))
}

/// Keys of a set that are for other uses, or of kinds that are not spoken here, are left out; but one has to be left.
fn json(kid: Option<String>, text: &str) -> Result<Vec<Key>, KeyError> {
    if let Ok(set) = serde_json::from_str::<JwkSet>(text) {
        let keys: Vec<Key> =
            set.keys.iter().filter_map(|jwk| jwk_key(None, jwk).transpose()).collect::<Result<_, _>>()?;
        return if keys.is_empty() { Err(KeyError::Json) } else { Ok(keys) };
    }
    let jwk: Jwk = serde_json::from_str(text).map_err(|_| KeyError::Json)?;
    Ok(vec![jwk_key(kid, &jwk)?.ok_or(KeyError::Json)?])
}

fn jwk_key(kid: Option<String>, jwk: &Jwk) -> Result<Option<Key>, KeyError> {
    let common = &jwk.common;
    if common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return Ok(None);
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(ed) if ed.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return Ok(None),
    };
    let is_ours = |named: &KeyAlgorithm| {
        matches!(
            (named, algorithm),
            (KeyAlgorithm::HS256, Algorithm::HS256)
                | (KeyAlgorithm::RS256, Algorithm::RS256)
                | (KeyAlgorithm::ES256, Algorithm::ES256)
                | (KeyAlgorithm::EdDSA, Algorithm::EdDSA)
        )
    };
    if common.key_algorithm.as_ref().is_some_and(|named| !is_ours(named)) {
        return Ok(None);
    }
    let verifies = DecodingKey::from_jwk(jwk).map_err(|_| KeyError::Json)?;
    let kid = kid.or_else(|| common.key_id.clone());
    if verifies.family() == AlgorithmFamily::Hmac {
        let secret = verifies.try_get_as_bytes().map_err(|_| KeyError::Json)?;
        return Key::secret(kid, secret).map(Some);
    }
    if let jsonwebtoken::DecodingKeyKind::RsaModulusExponent { n, .. } = verifies.kind()
        && n.len() < RSA_MODULUS_BYTES_MIN
    {
        return Err(KeyError::Json);
    }
    Ok(Some(Key { kid, algorithm, verifies, signs: None }))
}

/// All keys that tokens may be signed with. Not empty.
pub(super) struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// # Errors
    /// [`KeyError`] if a token could not say which of them it means.
    pub(super) fn new(keys: Vec<Key>) -> Result<Self, KeyError> {
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        if keys.len() > AUTH_KEYS_MAX {
            return Err(KeyError::Many);
        }
        if keys.len() > 1 {
            let mut names: Vec<_> = keys
                .iter()
                .map(|key| key.kid.as_deref().ok_or(KeyError::Unnamed))
                .collect::<Result<_, _>>()?;
            names.sort_unstable();
            if names.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(KeyError::Twice);
            }
        }
        Ok(Self { keys })
    }

    /// The key that a token names. Who names none means the only one; who names one means no other.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match (kid, self.keys.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            // A single key without a name takes what issuers call it.
            (Some(_), [only]) if only.kid.is_none() => Some(only),
            (Some(kid), keys) => keys.iter().find(|key| key.kid.as_deref() == Some(kid)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }
}
