//! Signatures of tokens, on ring: what `jsonwebtoken` asks its backend for.
//!
//! Four algorithms, one for each kind of key. A key of another kind, or another algorithm of the same kind, is refused.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};
use ring::{error, hmac};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // Keys in JWK are read, never made.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has `jsonwebtoken` use ring. Before anything else is asked of it; again does nothing.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A program around this library may have chosen another backend: that one will do.
        let _ = PROVIDER.install_default();
    });
}

/// What is done with a key.
struct WithKey<K> {
    key: K,
    algorithm: Algorithm,
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let family = family(*algorithm).filter(|family| *family == key.family());
    family.ok_or(ErrorKind::InvalidAlgorithm)?;
    Ok(Box::new(WithKey { key: key.clone(), algorithm: *algorithm }))
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    let family = family(*algorithm).filter(|family| *family == key.family());
    family.ok_or(ErrorKind::InvalidAlgorithm)?;
    Ok(Box::new(WithKey { key: key.clone(), algorithm: *algorithm }))
}

/// The kind of key of an algorithm that is spoken here.
fn family(algorithm: Algorithm) -> Option<AlgorithmFamily> {
    match algorithm {
        Algorithm::HS256 => Some(AlgorithmFamily::Hmac),
        Algorithm::RS256 => Some(AlgorithmFamily::Rsa),
        Algorithm::ES256 => Some(AlgorithmFamily::Ec),
        Algorithm::EdDSA => Some(AlgorithmFamily::Ed),
        _ => None,
    }
}

impl JwtVerifier for WithKey<DecodingKey> {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for WithKey<DecodingKey> {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        verified(self.algorithm, self.key.kind(), message, signature).map_err(|_| signature::Error::new())
    }
}

fn verified(
    algorithm: Algorithm,
    key: &DecodingKeyKind,
    message: &[u8],
    signature: &[u8],
) -> Result<(), error::Unspecified> {
    match (algorithm, key) {
        (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) => {
            hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), message, signature)
        }
        (Algorithm::RS256, DecodingKeyKind::SecretOrDer(der)) => {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).verify(message, signature)
        }
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
        }
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
        }
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) => {
            UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
        }
        _ => Err(error::Unspecified),
    }
}

impl JwtSigner for WithKey<EncodingKey> {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Signer<Vec<u8>> for WithKey<EncodingKey> {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        signed(self.algorithm, self.key.as_bytes(), message).ok_or_else(signature::Error::new)
    }
}

fn signed(algorithm: Algorithm, key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    match algorithm {
        Algorithm::HS256 => {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
            Some(tag.as_ref().to_vec())
        }
        Algorithm::RS256 => {
            let pair = RsaKeyPair::from_der(key).ok()?;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
            Some(signature)
        }
        Algorithm::ES256 => {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key, &random).ok()?;
            Some(pair.sign(&random, message).ok()?.as_ref().to_vec())
        }
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).ok()?;
            Some(pair.sign(message).as_ref().to_vec())
        }
        _ => None,
    }
}
