//! SCRAM: client and broker prove to each other that they know the password.
//!
//! Source: RFC 5802, with the hashes of RFC 7677. User name and password are used as they are written, without
//! SASLprep, which leaves printable ASCII unchanged.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};

/// The hash function of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScramHash {
    /// The hash of SCRAM-SHA-256.
    Sha256,
    /// The hash of SCRAM-SHA-512.
    Sha512,
}

/// Most iterations that a broker may ask for. Kafka uses 16,384 at most, and each takes about a microsecond.
const ITERATIONS_MAX: u32 = 1_000_000;
/// Random bytes of a nonce.
const NONCE_BYTES: usize = 18;

impl ScramHash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            ScramHash::Sha256 => hmac::HMAC_SHA256,
            ScramHash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        self.hmac().digest_algorithm()
    }

    fn sign(self, key: &[u8], text: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.hmac(), key), text)
    }

    fn salted(self, password: &str, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            ScramHash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            ScramHash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut salted = vec![0; self.digest().output_len()];
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut salted);
        salted
    }
}

/// A user's password, and the key that was derived from it last. The brokers of a cluster have the same salt for a
/// user. Without the cache, each connection would take thousands of iterations on the thread that carries the load.
pub(super) struct ScramUser {
    hash: ScramHash,
    user: String,
    password: String,
    last: Mutex<Option<Salted>>,
}

struct Salted {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    key: Vec<u8>,
}

/// The state after the first message.
pub(super) struct ScramBegun {
    nonce: String,
    bare: String,
}

/// The state after the proof.
pub(super) struct ScramProven {
    /// The text that the broker must have signed.
    text: String,
    key: hmac::Key,
}

impl ScramUser {
    /// Derives no key yet.
    pub(super) fn new(hash: ScramHash, user: String, password: String) -> ScramUser {
        ScramUser { hash, user, password, last: Mutex::new(None) }
    }

    /// The name of the mechanism.
    pub(super) fn mechanism(&self) -> &'static str {
        match self.hash {
            ScramHash::Sha256 => "SCRAM-SHA-256",
            ScramHash::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The first message, with a nonce from the system's random numbers, which cannot be predicted.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn begin(&self) -> Result<(ScramBegun, Vec<u8>), &'static str> {
        let mut random = [0; NONCE_BYTES];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|_| "the system has no random numbers")?;
        Ok(self.begin_with(STANDARD.encode(random)))
    }

    fn begin_with(&self, nonce: String) -> (ScramBegun, Vec<u8>) {
        let name = self.user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={name},r={nonce}");
        let message = format!("n,,{bare}").into_bytes();
        (ScramBegun { nonce, bare }, message)
    }

    fn salted(&self, salt: Vec<u8>, iterations: NonZeroU32) -> Vec<u8> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(its) if its.salt == salt && its.iterations == iterations => its.key.clone(),
            _ => {
                let key = self.hash.salted(&self.password, &salt, iterations);
                *last = Some(Salted { salt, iterations, key: key.clone() });
                key
            }
        }
    }

    /// The message with the proof, in response to the broker's first message.
    ///
    /// # Errors
    /// The broker's message is not valid.
    pub(super) fn prove(
        &self,
        begun: &ScramBegun,
        server_first: &[u8],
    ) -> Result<(ScramProven, Vec<u8>), &'static str> {
        const UNREADABLE: &str = "the broker's first message of SCRAM is not readable";
        let first = std::str::from_utf8(server_first).map_err(|_| UNREADABLE)?;
        let nonce = attribute(first, "r").ok_or(UNREADABLE)?;
        let salt = attribute(first, "s").and_then(|salt| STANDARD.decode(salt).ok());
        let salt = salt.ok_or(UNREADABLE)?;
        let iterations: NonZeroU32 =
            attribute(first, "i").and_then(|count| count.parse().ok()).ok_or(UNREADABLE)?;
        if !nonce.starts_with(&begun.nonce) || nonce.len() == begun.nonce.len() {
            return Err("the broker's nonce of SCRAM does not go with this client's");
        }
        if iterations.get() > ITERATIONS_MAX {
            return Err("the broker asks for more than a million rounds of SCRAM");
        }
        let salted = self.salted(salt, iterations);
        // `biws` is the header `n,,` of the first message in Base64.
        let without_proof = format!("c=biws,r={nonce}");
        let text = format!("{},{first},{without_proof}", begun.bare);
        let client_key = self.hash.sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), client_key.as_ref());
        let signature = self.hash.sign(stored_key.as_ref(), text.as_bytes());
        let both = client_key.as_ref().iter().zip(signature.as_ref());
        let proof: Vec<u8> = both.map(|(key, signature)| key ^ signature).collect();
        let server_key = self.hash.sign(&salted, b"Server Key");
        let key = hmac::Key::new(self.hash.hmac(), server_key.as_ref());
        let message = format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes();
        Ok((ScramProven { text, key }, message))
    }
}

impl ScramProven {
    /// Checks that the broker knows the password, too.
    ///
    /// # Errors
    /// The broker does not know it, or refuses the client's proof.
    pub(super) fn check(&self, server_final: &[u8]) -> Result<(), &'static str> {
        let text = std::str::from_utf8(server_final).unwrap_or_default();
        let found = attribute(text, "v").and_then(|its| STANDARD.decode(its).ok());
        let found = found.ok_or("the broker does not take the proof of SCRAM")?;
        let signed = hmac::verify(&self.key, self.text.as_bytes(), &found);
        signed.map_err(|_| "the broker does not know this password")
    }
}

/// The value of an attribute of a message such as `r=…,s=…`.
fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let mut attributes = message.split(',').filter_map(|part| part.split_once('='));
    attributes.find(|(its, _)| *its == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] =
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn user(password: &str) -> ScramUser {
        ScramUser::new(ScramHash::Sha256, "user".to_owned(), password.to_owned())
    }

    /// The exchange of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_standard_is_computed() {
        let user = user("pencil");
        let (begun, first) = user.begin_with("rOprNGfwEbeRWgbNEkqO".to_owned());
        assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        // The second iteration uses the cached key.
        for _ in 0..2 {
            let (proven, message) = user.prove(&begun, FIRST).expect("a proof");
            let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
            assert_eq!(String::from_utf8(message).expect("text"), expected);
            let right = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
            assert_eq!(proven.check(right), Ok(()));
            assert!(proven.check(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").is_err());
            assert!(proven.check(b"e=invalid-proof").is_err());
        }
    }

    #[test]
    fn another_password_has_another_proof_and_names_are_escaped() {
        let user = user("pencil2");
        let (begun, _) = user.begin_with("rOprNGfwEbeRWgbNEkqO".to_owned());
        let (proven, message) = user.prove(&begun, FIRST).expect("a proof");
        assert!(!message.ends_with(b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert!(proven.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").is_err());
        let odd = ScramUser::new(ScramHash::Sha512, "a=b,c".to_owned(), String::new());
        assert_eq!(odd.begin_with("x".to_owned()).1, b"n,,n=a=3Db=2Cc,r=x");
    }

    #[test]
    fn what_no_broker_sends_is_refused() {
        let user = user("pencil");
        let (begun, _) = user.begin_with("abc".to_owned());
        for first in [
            &b""[..],
            b"\xff",
            b"r=abc,s=W22Z,i=4096",
            b"r=abX1,s=W22Z,i=4096",
            b"r=abc1,s=!,i=4096",
            b"r=abc1,s=W22Z,i=0",
            b"r=abc1,s=W22Z,i=4000000",
        ] {
            assert!(user.prove(&begun, first).is_err(), "{}", String::from_utf8_lossy(first));
        }
        let (one, other) = (user.begin().expect("random").1, user.begin().expect("random").1);
        assert_ne!(one, other);
    }
}
