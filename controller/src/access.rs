//! Who may open a notebook: whoever shows its token. A token derives from the operator's key and the notebook's uid, so none is
//! stored anywhere; a host is told only the hash. Whoever has the key can make the token of every notebook.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use sha2::{Digest as _, Sha256};

/// The shortest key, in characters: what a random text of 256 bits takes in base64.
const KEY_LENGTH_MIN: usize = 43;
/// How many keys hold at once: the present one, and the one before it until everybody has a new token.
const KEYS_MAX: usize = 2;

/// The operator's keys, the present one first. Without any, nobody gets in.
#[derive(Clone, Default)]
pub struct AccessKeys(Vec<hmac::Key>);

/// What a host compares with what it is shown: hashes, never a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessHashes {
    /// The SHA-256, in hexadecimal, of each token that opens the notebook.
    pub people: Vec<String>,
    /// The SHA-256 of the controller's own token for the status port; none without a key.
    pub status: Option<String>,
}

/// What a token is for. A token for the one is nothing to the other.
#[derive(Clone, Copy)]
enum Purpose {
    /// Opening the notebook.
    Access,
    /// Reading what its host says of itself.
    Status,
}

/// Why a file holds no keys. It never says what is in the file.
#[derive(Debug, thiserror::Error)]
pub enum AccessKeysError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    /// A key that could be guessed.
    #[error(
        "the key in line {line} has {length} characters: write at least {KEY_LENGTH_MIN} random ones, as `openssl rand -base64 32` does"
    )]
    Short {
        /// Which line, from 1.
        line: usize,
        /// Its length.
        length: usize,
    },
    /// None, or more than can be told to a host.
    #[error("there are {0} keys: write one in a line, and while keys are changed the new one above the old one")]
    Count(usize),
}

impl AccessKeys {
    /// Reads keys from a file, one a line, the present one first.
    pub fn read(path: &Path) -> Result<Self, AccessKeysError> {
        Self::parse(&std::fs::read_to_string(path)?)
    }

    /// Reads keys from the text of such a file.
    pub fn parse(text: &str) -> Result<Self, AccessKeysError> {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if !(1..=KEYS_MAX).contains(&lines.len()) {
            return Err(AccessKeysError::Count(lines.len()));
        }
        if let Some((index, short)) = lines.iter().enumerate().find(|(_, line)| line.len() < KEY_LENGTH_MIN) {
            return Err(AccessKeysError::Short { line: index + 1, length: short.len() });
        }
        Ok(Self(lines.iter().map(|line| hmac::Key::new(hmac::HMAC_SHA256, line.as_bytes())).collect()))
    }

    /// The token that opens the notebook with this uid; none without a key.
    #[must_use]
    pub fn token(&self, uid: &str) -> Option<String> {
        self.0.first().map(|key| token(key, Purpose::Access, uid))
    }

    /// The tokens that open the status port of that notebook's host, the present key's first: while keys change, a host still
    /// knows the one of the key before.
    #[must_use]
    pub fn status_tokens(&self, uid: &str) -> Vec<String> {
        self.0.iter().map(|key| token(key, Purpose::Status, uid)).collect()
    }

    /// What a host of that notebook compares with.
    #[must_use]
    pub fn hashes(&self, uid: &str) -> AccessHashes {
        let hash = |key, purpose| hexadecimal(&Sha256::digest(token(key, purpose, uid)));
        AccessHashes {
            people: self.0.iter().map(|key| hash(key, Purpose::Access)).collect(),
            status: self.0.first().map(|key| hash(key, Purpose::Status)),
        }
    }
}

impl std::fmt::Debug for AccessKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "AccessKeys({})", self.0.len())
    }
}

fn token(key: &hmac::Key, purpose: Purpose, uid: &str) -> String {
    let purpose = match purpose {
        Purpose::Access => "access",
        Purpose::Status => "status",
    };
    URL_SAFE_NO_PAD.encode(hmac::sign(key, format!("rehost/{purpose}/1/{uid}").as_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "new-new-new-new-new-new-new-new-new-new-new-new-new";
    const OLD: &str = "old-old-old-old-old-old-old-old-old-old-old-old-old";

    fn keys(text: &str) -> AccessKeys {
        AccessKeys::parse(text).unwrap()
    }

    #[test]
    fn a_token_is_of_one_notebook_and_one_key() {
        let token = keys(NEW).token("u-1").unwrap();
        assert_eq!(keys(&format!(" {NEW}\n\n")).token("u-1").as_ref(), Some(&token));
        assert_ne!(keys(NEW).token("u-2").as_ref(), Some(&token));
        assert_ne!(keys(OLD).token("u-1").as_ref(), Some(&token));
        assert_eq!(token.len(), 43, "256 bits");
        assert_eq!(keys(NEW).hashes("u-1").people, [hexadecimal(&Sha256::digest(&token))]);
    }

    #[test]
    fn while_keys_change_the_old_token_still_opens() {
        let both = keys(&format!("{NEW}\n{OLD}\n"));
        assert_eq!(both.token("u"), keys(NEW).token("u"));
        assert_eq!(both.hashes("u").people, [keys(NEW).hashes("u").people, keys(OLD).hashes("u").people].concat());
    }

    #[test]
    fn the_token_of_the_status_port_is_another_than_peoples() {
        let both = keys(&format!("{NEW}\n{OLD}\n"));
        assert_eq!(both.status_tokens("u"), [keys(NEW).status_tokens("u"), keys(OLD).status_tokens("u")].concat());
        let token = &both.status_tokens("u")[0];
        assert_ne!(both.token("u").as_ref(), Some(token));
        assert_eq!(both.hashes("u").status, Some(hexadecimal(&Sha256::digest(token))));
    }

    #[test]
    fn without_a_key_nobody_gets_in() {
        assert_eq!(AccessKeys::default().token("u"), None);
        assert_eq!(AccessKeys::default().hashes("u"), AccessHashes::default());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_its_content() {
        for (text, says) in [
            ("", "there are 0 keys"),
            ("short", "the key in line 1 has 5 characters"),
            (&format!("{NEW}\nshort"), "the key in line 2 has 5 characters"),
            (&format!("{NEW}\n{OLD}\n{NEW}"), "there are 3 keys"),
        ] {
            let error = AccessKeys::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(says) && !error.contains("short-") && !error.contains(NEW), "{error}");
        }
        assert!(matches!(AccessKeys::read(Path::new("/nonexistent")), Err(AccessKeysError::Unreadable(_))));
        assert_eq!(format!("{:?}", keys(NEW)), "AccessKeys(1)");
    }
}
