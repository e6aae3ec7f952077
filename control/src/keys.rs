//! The keys that tokens are verified with, and the one that signs tickets.
//!
//! A key has one algorithm, which is stated beside it, and verifies tokens of that algorithm alone: what a token's header says
//! chooses among the keys, and never how a key is used. The first HS256 key signs. A server that has public keys alone signs
//! its tickets with a key of its own, which nobody else knows.
//!
//! Keys come from `auth.secret`, and from a JSON Web Key Set (RFC 7517). The set of an identity provider has keys for other
//! purposes too, so a key that is of no use here is left out, with a line in the log. A set without a usable key is an error.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use onmic_media::gate::Refusal;
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::random;

/// The least bytes of an HS256 key: as many as the hash that it keys has (RFC 7518 3.2).
pub const SECRET_BYTES: usize = 32;
/// The least bytes of an RSA modulus (RFC 7518 3.3).
const MODULUS_BYTES: usize = 256;
/// The most keys of a set. A token that names none is tried with those of its algorithm, and each trial takes up to 100 µs. One that
/// none has signed costs its sender as much as this many requests (`http/src/toll.rs`).
const KEYS_MAX: usize = 16;
/// The algorithms that keys may have.
pub(crate) const ALGORITHMS: [Algorithm; 4] = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// A set of keys that cannot be used. Its Display is a sentence.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The text is not a set of keys.
    #[error("it is not a JSON Web Key Set: an object with a list of keys")]
    NotASet(#[source] serde_json::Error),
    /// No key of the set verifies tokens.
    #[error("none of its keys verifies tokens: {0}")]
    NoKey(String),
    /// The set has more keys than any issuer needs.
    #[error("it has {0} keys, of at most {KEYS_MAX}")]
    TooMany(usize),
}

/// A key that verifies tokens.
struct Verifying {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// A key that signs tickets.
struct Signing {
    kid: Option<String>,
    key: EncodingKey,
}

/// The keys of a server at one time. Without keys it asks for no tokens.
#[derive(Default)]
pub struct Keys {
    signing: Option<Signing>,
    verifying: Vec<Verifying>,
}

impl Keys {
    /// Returns the HS256 key `secret`, which has no `kid`. An empty secret is not a key.
    pub fn of_secret(secret: &[u8]) -> Self {
        let mut keys = Self::default();
        if !secret.is_empty() {
            keys.add_symmetric(None, secret);
        }
        keys
    }

    /// Adds the keys of a JSON Web Key Set.
    pub fn with_set(mut self, set: &[u8]) -> Result<Self, KeysError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let Set { keys } = serde_json::from_slice(set).map_err(KeysError::NotASet)?;
        if keys.len() > KEYS_MAX {
            return Err(KeysError::TooMany(keys.len()));
        }
        let before = self.verifying.len();
        let mut reason = "there is no key in it".to_owned();
        for key in keys {
            let kid = key.get("kid").and_then(|kid| kid.as_str()).unwrap_or_default().to_owned();
            if let Err(why) = self.add(key) {
                tracing::info!(kid, why, "a key of auth.keys_file is left out");
                reason = format!("the key {kid:?} is left out, because {why}");
            }
        }
        if self.verifying.len() == before { Err(KeysError::NoKey(reason)) } else { Ok(self) }
    }

    /// Adds a key of a set. The error says why it is of no use.
    fn add(&mut self, key: serde_json::Value) -> Result<(), &'static str> {
        let jwk: Jwk = serde_json::from_value(key).map_err(|_| "it is not a JSON Web Key")?;
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return Err("it does not sign");
        }
        let algorithm = match (jwk.common.key_algorithm, &jwk.algorithm) {
            (None, _) => return Err("it states no alg"),
            (Some(KeyAlgorithm::HS256), AlgorithmParameters::OctetKey(key)) => {
                let secret = bytes(&key.value).ok_or("its k is not base64url")?;
                if secret.len() < SECRET_BYTES {
                    return Err("it has fewer than 32 bytes");
                }
                self.add_symmetric(jwk.common.key_id, &secret);
                return Ok(());
            }
            (Some(KeyAlgorithm::RS256), AlgorithmParameters::RSA(key)) => {
                let modulus = bytes(&key.n).ok_or("its n is not base64url")?;
                if modulus.len() < MODULUS_BYTES {
                    return Err("it has fewer than 2048 bits");
                }
                Algorithm::RS256
            }
            (Some(KeyAlgorithm::ES256), AlgorithmParameters::EllipticCurve(key))
                if key.curve == EllipticCurve::P256 =>
            {
                Algorithm::ES256
            }
            (Some(KeyAlgorithm::EdDSA), AlgorithmParameters::OctetKeyPair(key))
                if key.curve == EllipticCurve::Ed25519 =>
            {
                Algorithm::EdDSA
            }
            _ => return Err("its alg is none of HS256, RS256, ES256 and EdDSA, or not that of its kty and crv"),
        };
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| "its numbers are not base64url")?;
        self.verifying.push(Verifying { kid: jwk.common.key_id, algorithm, key });
        Ok(())
    }

    fn add_symmetric(&mut self, kid: Option<String>, secret: &[u8]) {
        let key = DecodingKey::from_secret(secret);
        self.verifying.push(Verifying { kid: kid.clone(), algorithm: Algorithm::HS256, key });
        self.signing.get_or_insert_with(|| Signing { kid, key: EncodingKey::from_secret(secret) });
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.verifying.is_empty()
    }

    /// Returns the keys that a token may be signed with. A `kid` that no key has may be one of an issuer who shares the secret,
    /// which has none. A token without `kid` is tried with public keys only if they have none either.
    fn candidates<'a>(&'a self, header: &'a Header) -> impl Iterator<Item = &'a Verifying> {
        let kid = header.kid.as_deref().filter(|kid| self.verifying.iter().any(|key| key.kid.as_deref() == Some(*kid)));
        let fits = move |key: &&Verifying| match kid {
            Some(kid) => key.kid.as_deref() == Some(kid),
            None => key.kid.is_none() || (header.kid.is_none() && key.algorithm == Algorithm::HS256),
        };
        self.verifying.iter().filter(|key| key.algorithm == header.alg).filter(fits)
    }

    /// Returns the claims of a token. `validation` gives what has to be checked for an algorithm. A refusal over the signature says how
    /// many keys were tried, because its sender pays for each.
    pub(crate) fn verify<'v, C: DeserializeOwned>(
        &self,
        token: &str,
        validation: impl Fn(Algorithm) -> &'v Validation,
    ) -> Result<C, Refusal> {
        let invalid = |error: jsonwebtoken::errors::Error| Refusal::TokenInvalid(error.to_string());
        let header = decode_header(token).map_err(invalid)?;
        if header.crit.is_some() {
            let reason = "its header has crit, and this server knows no part of it (RFC 7515 4.1.11)";
            return Err(Refusal::TokenInvalid(reason.into()));
        }
        let mut tried = 0;
        for key in self.candidates(&header) {
            match decode::<C>(token, &key.key, validation(key.algorithm)) {
                Ok(token) => return Ok(token.claims),
                Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => tried += 1,
                Err(error) => return Err(invalid(error)),
            }
        }
        if tried > 0 {
            return Err(Refusal::Forged(tried));
        }
        let reason = format!("no key of this server has its kid and its algorithm {:?}", header.alg);
        Err(Refusal::TokenInvalid(reason))
    }

    /// Returns a signed token, or `None` if the server asks for no tokens.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Option<String> {
        let Signing { kid, key } = self.signing.as_ref()?;
        let header = Header { kid: kid.clone(), ..Header::default() };
        Some(encode(&header, claims, key).expect("claims of text and numbers are JSON"))
    }
}

fn bytes(base64url: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(base64url).ok()
}

/// The keys of a server, which may be replaced while it runs. Share it behind an `Arc`.
pub struct Keyring {
    current: RwLock<Arc<Keys>>,
    /// Signs tickets where the other keys cannot.
    own: [u8; SECRET_BYTES],
    is_closed: bool,
}

impl Keyring {
    /// Begins with `keys`.
    pub fn new(keys: Keys) -> Arc<Self> {
        Self::with_own(keys, random::bytes())
    }

    /// Begins with `keys`, and signs tickets with `own` where none of them can. Whether the server asks for tokens is decided
    /// here, and never changes.
    pub fn with_own(keys: Keys, own: [u8; SECRET_BYTES]) -> Arc<Self> {
        let is_closed = !keys.is_empty();
        let ring = Self { current: RwLock::default(), own, is_closed };
        ring.replace(keys);
        Arc::new(ring)
    }

    /// Whether the server asks for tokens.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Replaces the keys. No keys replace none: a server that asks for tokens goes on with those that it has.
    pub fn replace(&self, mut keys: Keys) {
        if keys.is_empty() {
            return;
        }
        if keys.signing.is_none() {
            keys.add_symmetric(Some("onmic".to_owned()), &self.own);
        }
        *self.current.write() = Arc::new(keys);
    }

    /// Returns the keys of now.
    pub(crate) fn current(&self) -> Arc<Keys> {
        self.current.read().clone()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    };
    use onmic_media::gate::{Action, Gate, Shown};
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::TokenGate;
    use crate::ticket::Tickets;

    const ALPHA: &[u8] = b"the key alpha, which has thirty-two bytes and more";
    const BETA: &[u8] = b"the key beta, which also has thirty-two bytes and more";

    fn base64url(bytes: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn symmetric(kid: &str, secret: &[u8]) -> Value {
        json!({"kty": "oct", "kid": kid, "alg": "HS256", "k": base64url(secret)})
    }

    fn set(keys: &[Value]) -> Vec<u8> {
        json!({"keys": keys}).to_string().into_bytes()
    }

    fn signed_by(header: &Header, secret: &[u8]) -> String {
        let claims = json!({"exp": 4_000_000_000_u64, "room": "demo", "role": "viewer"});
        encode(header, &claims, &EncodingKey::from_secret(secret)).unwrap()
    }

    fn header(kid: Option<&str>) -> Header {
        Header { kid: kid.map(str::to_owned), ..Header::default() }
    }

    fn gate(ring: &Arc<Keyring>) -> TokenGate {
        TokenGate::with_keys(ring.clone(), Tickets::with_keys(ring.clone()))
    }

    fn takes(gate: &TokenGate, token: &str) -> bool {
        gate.check(Action::Play(&"demo".parse().unwrap()), Shown::token(Some(token))).is_ok()
    }

    #[test]
    fn the_first_key_signs_and_all_verify_while_keys_are_rotated() {
        let ring = Keyring::new(Keys::default().with_set(&set(&[symmetric("a", ALPHA)])).unwrap());
        let gate = gate(&ring);
        let old = signed_by(&header(Some("a")), ALPHA);
        let claims = json!({"exp": 4_000_000_000_u64, "room": "demo", "role": "viewer"});
        assert!(takes(&gate, &old));
        assert!(!takes(&gate, &signed_by(&header(Some("b")), BETA)), "a key that is not there yet");
        ring.replace(Keys::default().with_set(&set(&[symmetric("b", BETA), symmetric("a", ALPHA)])).unwrap());
        let new = ring.current().sign(&claims).unwrap();
        assert_eq!(decode_header(&new).unwrap().kid.as_deref(), Some("b"));
        for token in [&old, &new, &signed_by(&header(None), ALPHA), &signed_by(&header(None), BETA)] {
            assert!(takes(&gate, token));
        }
        assert!(!takes(&gate, &signed_by(&header(Some("b")), ALPHA)), "a kid has one key");
        ring.replace(Keys::default().with_set(&set(&[symmetric("b", BETA)])).unwrap());
        assert!(takes(&gate, &new) && !takes(&gate, &old), "the old key is gone");
    }

    #[test]
    fn a_forged_token_costs_as_much_as_the_keys_that_it_was_tried_with() {
        let (rsa, _) = provider("RS256");
        let keys: Vec<_> = (0..8).map(|number| symmetric(&number.to_string(), ALPHA)).chain([rsa]).collect();
        let gate = gate(&Keyring::new(Keys::default().with_set(&set(&keys)).unwrap()));
        let refused = |kid, secret| {
            let token = signed_by(&header(kid), secret);
            gate.check(Action::Play(&"demo".parse().unwrap()), Shown::token(Some(&token))).unwrap_err()
        };
        assert_eq!(refused(None, BETA), Refusal::Forged(8), "the keys of its algorithm alone");
        assert_eq!(refused(Some("3"), BETA), Refusal::Forged(1));
        assert!(matches!(refused(Some("x"), ALPHA), Refusal::TokenInvalid(_)), "no key was tried");
    }

    #[test]
    fn a_secret_verifies_tokens_whose_kid_no_key_has() {
        let keys = Keys::of_secret(ALPHA).with_set(&set(&[symmetric("b", BETA)])).unwrap();
        let gate = gate(&Keyring::new(keys));
        assert!(takes(&gate, &signed_by(&header(Some("x")), ALPHA)));
        assert!(!takes(&gate, &signed_by(&header(Some("x")), BETA)));
        assert!(!takes(&gate, &signed_by(&header(Some("b")), ALPHA)));
    }

    #[test]
    fn no_keys_never_open_a_server_that_asks_for_tokens() {
        let ring = Keyring::new(Keys::of_secret(ALPHA));
        ring.replace(Keys::default());
        let gate = gate(&ring);
        assert!(gate.is_closed());
        assert_eq!(gate.check(Action::Play(&"demo".parse().unwrap()), Shown::default()), Err(Refusal::TokenMissing));
        assert!(takes(&gate, &signed_by(&header(None), ALPHA)));
    }

    /// An identity provider: its public key, and a token that it signed.
    fn provider(algorithm: &str) -> (Value, String) {
        let claims = json!({"exp": 4_000_000_000_u64, "room": "demo", "role": "viewer"});
        let encode = |value: &Value| base64url(value.to_string().as_bytes());
        let message = format!("{}.{}", encode(&json!({"alg": algorithm, "kid": "idp"})), encode(&claims));
        let random = SystemRandom::new();
        let (mut key, signature) = match algorithm {
            "RS256" => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                let public = pair.public_key();
                let n = base64url(public.modulus().big_endian_without_leading_zero());
                let e = base64url(public.exponent().big_endian_without_leading_zero());
                (json!({"kty": "RSA", "n": n, "e": e}), signature)
            }
            "ES256" => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
                let signature = pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec();
                let point = pair.public_key().as_ref();
                let (x, y) = (base64url(&point[1..33]), base64url(&point[33..65]));
                (json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}), signature)
            }
            _ => {
                let pair = Ed25519KeyPair::generate().unwrap();
                let signature = pair.sign(message.as_bytes()).as_ref().to_vec();
                (json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key().as_ref())}), signature)
            }
        };
        key["kid"] = "idp".into();
        key["alg"] = algorithm.into();
        (key, format!("{message}.{}", base64url(&signature)))
    }

    #[test]
    fn public_keys_of_an_identity_provider_verify_its_tokens_and_tickets_are_signed_all_the_same() {
        for algorithm in ["RS256", "ES256", "EdDSA"] {
            let (key, token) = provider(algorithm);
            let ring = Keyring::new(Keys::default().with_set(&set(&[key])).unwrap());
            let gate = gate(&ring);
            assert!(takes(&gate, &token), "{algorithm}");
            let (head, signature) = token.rsplit_once('.').unwrap();
            let flipped = if signature.starts_with('A') { "B" } else { "A" };
            assert!(!takes(&gate, &format!("{head}.{flipped}{}", &signature[1..])), "{algorithm}: another signature");
            let ticket = ring.current().sign(&json!({"exp": 4_000_000_000_u64, "room": "demo", "role": "viewer"}));
            assert!(takes(&gate, &ticket.unwrap()), "{algorithm}: the server's own token");
        }
    }

    #[test]
    fn a_public_key_is_no_secret() {
        let (key, _) = provider("RS256");
        let modulus = bytes(key["n"].as_str().unwrap()).unwrap();
        let gate = gate(&Keyring::new(Keys::default().with_set(&set(&[key])).unwrap()));
        assert!(!takes(&gate, &signed_by(&header(Some("idp")), &modulus)));
        assert!(!takes(&gate, &signed_by(&header(None), &modulus)));
    }

    #[test]
    fn keys_of_no_use_are_left_out_and_a_set_of_such_keys_is_refused_with_the_reason() {
        let with = |key: &Value, member: &str, value: Value| {
            let mut key = key.clone();
            key[member] = value;
            key
        };
        let (rsa, _) = provider("RS256");
        let (elliptic, _) = provider("ES256");
        let hmac = symmetric("a", ALPHA);
        for (key, reason) in [
            (with(&rsa, "alg", Value::Null), "states no alg"),
            (with(&rsa, "use", "enc".into()), "does not sign"),
            (with(&rsa, "alg", "RS512".into()), "none of HS256"),
            (with(&rsa, "alg", "HS256".into()), "none of HS256"),
            (with(&rsa, "n", base64url(&[0xff; 128]).into()), "2048 bits"),
            (with(&elliptic, "crv", "P-384".into()), "none of HS256"),
            (with(&hmac, "k", base64url(b"short").into()), "32 bytes"),
            (with(&hmac, "k", "*".into()), "base64url"),
            (json!({"kty": "of tomorrow"}), "states no alg"),
            (json!("a text"), "not a JSON Web Key"),
        ] {
            let refused = Keys::default().with_set(&set(std::slice::from_ref(&key))).err().unwrap().to_string();
            assert!(refused.contains(reason), "{refused}");
            let kept = Keys::default().with_set(&set(&[key, symmetric("b", BETA)])).unwrap();
            assert_eq!(kept.verifying.len(), 1);
        }
        for text in ["", "[]", "{\"keys\": 1}", "{\"keys\": []}"] {
            assert!(Keys::default().with_set(text.as_bytes()).is_err(), "{text}");
        }
        let many: Vec<_> = (0..=KEYS_MAX).map(|number| symmetric(&number.to_string(), ALPHA)).collect();
        assert!(matches!(Keys::default().with_set(&set(&many)), Err(KeysError::TooMany(17))));
    }
}
