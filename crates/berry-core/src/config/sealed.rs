//! Keys that a file holds encrypted: `enc:v1:<id of the master key>:<what was encrypted>`.
//!
//! AES-256-GCM-SIV with a random nonce, which stays safe should one ever come twice. Bound to each
//! value is whose key it is: copied to another provider it does not open, so that nobody who can
//! write the file, and does not have the master key, can send a key to an address of theirs. The id
//! tells a wrong master key from a damaged value; it is a digest, and says nothing of the key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::diagnostic::Diagnostic;
use super::source::is_public;
use crate::secret::Secret;

/// How an encrypted value begins.
const PREFIX: &str = "enc:v1:";
/// How it begins whatever the format is.
const MARK: &str = "enc:";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
/// As much of a digest as tells master keys apart.
const ID_BYTES: usize = 4;

/// The variable that holds the master key.
pub const MASTER_KEY: &str = "BERRY_MASTER_KEY";
/// The variable that names the file with it.
pub const MASTER_KEY_FILE: &str = "BERRY_MASTER_KEY_FILE";

/// Why there is no master key, or what it does not open.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Neither variable is set.
    #[error(
        "no master key: set `{MASTER_KEY}`, or `{MASTER_KEY_FILE}` to the path of a file with it"
    )]
    Missing,
    /// What should be a master key is none.
    #[error("the master key is not 32 bytes in base64")]
    Malformed,
    /// The file cannot be read.
    #[error("the file of the master key, `{}`, cannot be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The value was encrypted with another master key.
    #[error(
        "it was encrypted with another master key: its id is `{value}`, that of ours is `{ours}`"
    )]
    OtherKey {
        /// The id in the value.
        value: String,
        /// The id of the key at hand.
        ours: String,
    },
    /// The value was cut, changed, or belongs elsewhere.
    #[error("it is damaged, or was encrypted for another provider")]
    Damaged,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoChance,
}

/// Whether a value is an encrypted one.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Whether a value claims to be encrypted, perhaps in a format that there is not.
pub(super) fn is_marked(text: &str) -> bool {
    let mark = text.get(..MARK.len());
    mark.is_some_and(|mark| mark.eq_ignore_ascii_case(MARK))
}

/// Returns the id of the master key that a value was encrypted with, and what was encrypted.
fn parts(value: &str) -> Option<(&str, &str)> {
    value.strip_prefix(PREFIX)?.split_once(':')
}

/// What keys are encrypted with.
pub struct MasterKey {
    key: LessSafeKey,
    id: String,
    /// The file it is from, where every user of the machine can read that.
    public_file: Option<PathBuf>,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MasterKey").field(&self.id).finish()
    }
}

impl MasterKey {
    /// Takes the key that the environment names.
    ///
    /// # Errors
    /// It names none, or one that is not usable.
    pub fn find(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, SealError> {
        if let Some(text) = environment(MASTER_KEY) {
            return Self::parse(&Zeroizing::new(text));
        }
        let path = environment(MASTER_KEY_FILE).ok_or(SealError::Missing)?;
        Self::read(path)
    }

    /// Takes the key that a file holds.
    ///
    /// # Errors
    /// The file cannot be read, or holds no key.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, SealError> {
        let path = path.into();
        match read_file(&path) {
            Ok((text, is_public)) => Ok(Self {
                public_file: is_public.then_some(path),
                ..Self::parse(&Zeroizing::new(text))?
            }),
            Err(source) => Err(SealError::File { path, source }),
        }
    }

    /// Returns what makes the file of this key one of everybody's, for a warning.
    pub fn exposure(&self) -> Option<Diagnostic> {
        let path = self.public_file.as_ref()?.display();
        let message = format!("every user of this machine can read the master key in `{path}`");
        let help = format!("take that right away: `chmod o-r {path}`");
        Some(Diagnostic::warning(message).help(help))
    }

    /// Whether a value was encrypted with this key, as its id says.
    pub fn has_sealed(&self, value: &str) -> bool {
        parts(value).is_some_and(|(id, _)| id == self.id)
    }

    /// Takes a key from its text: 32 bytes in base64, of either alphabet.
    ///
    /// # Errors
    /// The text is something else.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let text = text.trim();
        let decoded = BASE64_STANDARD
            .decode(text)
            .or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')));
        let bytes = Zeroizing::new(decoded.map_err(|_| SealError::Malformed)?);
        if bytes.len() != KEY_BYTES {
            return Err(SealError::Malformed);
        }
        let key = UnboundKey::new(&AES_256_GCM_SIV, &bytes).map_err(|_| SealError::Malformed)?;
        let id = digest(&SHA256, &bytes);
        Ok(Self {
            key: LessSafeKey::new(key),
            id: BASE64_URL_SAFE_NO_PAD.encode(&id.as_ref()[..ID_BYTES]),
            public_file: None,
        })
    }

    /// Makes the text of a new key.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate() -> Result<Secret, SealError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(&mut *bytes).map_err(|_| SealError::NoChance)?;
        Ok(Secret::new(BASE64_STANDARD.encode(*bytes)))
    }

    /// Encrypts the key of this provider.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn seal(&self, provider: &str, key: &Secret) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce).map_err(|_| SealError::NoChance)?;
        let mut bytes = key.expose().as_bytes().to_vec();
        let sealed = self.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(provider.as_bytes()),
            &mut bytes,
        );
        sealed.map_err(|_| SealError::NoChance)?;
        let text = BASE64_URL_SAFE_NO_PAD.encode([&nonce[..], &bytes].concat());
        Ok(format!("{PREFIX}{}:{text}", self.id))
    }

    /// Decrypts what [`MasterKey::seal`] made for this provider.
    ///
    /// # Errors
    /// It was made with another key or for another provider, or is damaged.
    pub fn open(&self, provider: &str, value: &str) -> Result<Secret, SealError> {
        let (id, text) = parts(value).ok_or(SealError::Damaged)?;
        if id != self.id {
            return Err(SealError::OtherKey {
                value: id.to_owned(),
                ours: self.id.clone(),
            });
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
        let bytes = bytes.map_err(|_| SealError::Damaged)?;
        let (nonce, sealed) = bytes.split_first_chunk().ok_or(SealError::Damaged)?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let aad = Aad::from(provider.as_bytes());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place(nonce, aad, &mut sealed);
        let opened = opened.map_err(|_| SealError::Damaged)?;
        let text = std::str::from_utf8(opened).map_err(|_| SealError::Damaged)?;
        Ok(Secret::new(text))
    }
}

/// Returns a file's text and whether everybody can read it.
fn read_file(path: &Path) -> io::Result<(String, bool)> {
    let text = fs::read_to_string(path)?;
    Ok((text, is_public(&fs::metadata(path)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> MasterKey {
        MasterKey::parse(&BASE64_STANDARD.encode([byte; KEY_BYTES])).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_for_the_same_provider_only() {
        let secret = Secret::new("sk-canary-0123456789");
        let sealed = key(1).seal("openai", &secret).unwrap();

        assert!(is_sealed(&sealed) && !sealed.contains("canary"));
        assert_eq!(key(1).open("openai", &sealed).unwrap(), secret);
        assert!(matches!(
            key(1).open("other", &sealed),
            Err(SealError::Damaged)
        ));
        assert!(matches!(
            key(2).open("openai", &sealed),
            Err(SealError::OtherKey { .. })
        ));
        assert_ne!(key(1).seal("openai", &secret).unwrap(), sealed);
    }

    #[test]
    fn a_value_that_was_changed_anywhere_does_not_open() {
        let sealed = key(1).seal("a", &Secret::new("sk")).unwrap();

        for place in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(key(1).open("a", &changed).is_err(), "{changed}");
            assert!(key(1).open("a", &sealed[..place]).is_err());
        }
    }

    #[test]
    fn a_master_key_comes_from_a_variable_or_a_file() {
        let text = MasterKey::generate().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{}\n", text.expose())).unwrap();
        let path = file.path().to_str().unwrap().to_owned();

        let variable = |name: &str| (name == MASTER_KEY).then(|| text.expose().to_owned());
        let named = |name: &str| (name == MASTER_KEY_FILE).then(|| path.clone());

        let id = MasterKey::find(&variable).unwrap().id;
        assert_eq!(MasterKey::find(&named).unwrap().id, id);
        assert!(matches!(
            MasterKey::find(&|_| None),
            Err(SealError::Missing)
        ));
        let gone = |name: &str| (name == MASTER_KEY_FILE).then(|| "no-such-file".to_owned());
        assert!(matches!(
            MasterKey::find(&gone),
            Err(SealError::File { .. })
        ));
    }

    #[test]
    fn what_is_not_32_bytes_is_no_master_key() {
        let short = BASE64_STANDARD.encode([1; 31]);
        for text in ["", "short", "not base64!", &short] {
            let parsed = MasterKey::parse(text);
            assert!(matches!(parsed, Err(SealError::Malformed)), "{text}");
        }
    }
}
