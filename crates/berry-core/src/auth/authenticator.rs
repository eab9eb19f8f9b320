//! From a token to its user.
//!
//! Tokens are kept and looked up as SHA-256 digests. How long a look-up takes may tell something
//! about a digest, which helps nobody to find a token with it; the final comparison is in constant
//! time all the same. Tokens are long and random, so no slow hash is needed, and a request must
//! not cost one.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use crate::config::User;

/// The SHA-256 digest of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Returns the digest of `token`.
    pub fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }

    /// Returns the digest written as 64 hexadecimal digits, or `None` when `hex` is something else.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let high = char::from(digits[0]).to_digit(16)?;
            let low = char::from(digits[1]).to_digit(16)?;
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        Some(Self(bytes))
    }

    /// Returns the digest as 64 hexadecimal digits, as `token_sha256` takes it.
    pub fn to_hex(self) -> String {
        self.0.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Compares in a time that does not depend on where the two differ.
    fn matches(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// Shows nothing of the digest: who has it can look for weak tokens.
impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a token is refused. For the log only: the client is told the same in every case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Nobody has this token.
    #[error("unknown token")]
    Unknown,
    /// Its user is disabled.
    #[error("user `{0}` is disabled")]
    Disabled(crate::UserName),
    /// It has expired.
    #[error("token of user `{0}` has expired")]
    Expired(crate::UserName),
    /// It is not accepted from this address.
    #[error("token of user `{0}` is not accepted from this address")]
    WrongAddress(crate::UserName),
}

/// Knows every user of one configuration by the digest of their token.
#[derive(Debug, Default)]
pub struct Authenticator {
    users: HashMap<TokenDigest, Arc<User>>,
}

impl Authenticator {
    /// Gathers the users; disabled ones too, so that the log can tell them from strangers.
    pub fn new(users: &[Arc<User>]) -> Self {
        Self {
            users: users
                .iter()
                .map(|user| (user.token, Arc::clone(user)))
                .collect(),
        }
    }

    /// Returns the user who sent `token` from `peer`, when they are let in. `now` is asked where there is one who
    /// expires.
    ///
    /// An IPv4 peer that arrives as an IPv6 address is matched as IPv4.
    ///
    /// # Errors
    /// Says why the token is refused, for the log.
    pub fn authenticate(
        &self,
        token: &str,
        peer: IpAddr,
        now: impl FnOnce() -> jiff::Timestamp,
    ) -> Result<Arc<User>, AuthError> {
        let digest = TokenDigest::of(token);
        let user = self
            .users
            .get(&digest)
            .filter(|user| user.token.matches(&digest))
            .ok_or(AuthError::Unknown)?;

        if !user.enabled {
            return Err(AuthError::Disabled(user.id.clone()));
        }
        if user.expires_at.is_some_and(|end| now() >= end) {
            return Err(AuthError::Expired(user.id.clone()));
        }
        if !user.accepts(peer.to_canonical()) {
            return Err(AuthError::WrongAddress(user.id.clone()));
        }
        Ok(Arc::clone(user))
    }
}

impl User {
    /// Whether this user's token is accepted from `address`.
    fn accepts(&self, address: IpAddr) -> bool {
        self.allowed_ips.is_empty() || self.allowed_ips.iter().any(|net| net.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AllowedModels, RateLimit};
    use crate::name::UserName;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3));

    fn user(id: &str, token: &str) -> User {
        User {
            id: UserName::parse(id).unwrap(),
            name: id.into(),
            token: TokenDigest::of(token),
            enabled: true,
            tags: Vec::new(),
            allowed_models: AllowedModels::All,
            allowed_ips: Vec::new(),
            expires_at: None,
            rate_limit: RateLimit::default(),
        }
    }

    /// Lets `alice` in from `peer` at second 1000, or says why not.
    fn admit(alice: User, peer: &str) -> Result<Arc<User>, AuthError> {
        let now = jiff::Timestamp::from_second(1000).unwrap();
        Authenticator::new(&[Arc::new(alice)]).authenticate(
            "alice-token",
            peer.parse().unwrap(),
            || now,
        )
    }

    fn alice() -> User {
        user("alice", "alice-token")
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = TokenDigest::of("token");

        assert_eq!(TokenDigest::from_hex(&digest.to_hex()), Some(digest));
    }

    #[test]
    fn a_token_finds_its_user_among_others() {
        let users = [Arc::new(user("bob", "bob-token")), Arc::new(alice())];
        let authenticator = Authenticator::new(&users);

        let found = authenticator.authenticate("alice-token", HOME, || jiff::Timestamp::UNIX_EPOCH);

        assert_eq!(found.unwrap().id.as_str(), "alice");
    }

    #[test]
    fn an_unknown_token_finds_nobody() {
        let authenticator = Authenticator::new(&[Arc::new(alice())]);
        for token in ["", "alice-toke", "alice-token ", "ALICE-TOKEN"] {
            let found = authenticator.authenticate(token, HOME, || jiff::Timestamp::UNIX_EPOCH);

            assert_eq!(found.err(), Some(AuthError::Unknown), "{token:?}");
        }
    }

    /// What cannot be reached cannot be compared: the patterns name all there is of a user's token
    /// and of an authenticator, so that text kept beside a digest would not compile.
    #[test]
    fn of_a_token_only_the_digest_is_kept_and_it_says_nothing_of_what_is_nearly_right() {
        let User { token, .. } = alice();
        let TokenDigest(bytes): TokenDigest = token;
        let Authenticator { users } = Authenticator::new(&[Arc::new(alice())]);
        let keys: Vec<TokenDigest> = users.into_keys().collect();

        assert_eq!(keys, [TokenDigest(bytes)]);
        for near in ["alice-tokeN", "alice-toke", "alice-token-"] {
            let TokenDigest(other) = TokenDigest::of(near);
            let pairs = bytes.iter().zip(other);
            let differing: u32 = pairs.map(|(one, other)| (one ^ other).count_ones()).sum();
            assert!((64..192).contains(&differing), "{near}: {differing} bits");
        }
    }

    #[test]
    fn a_disabled_user_is_refused() {
        let refused = admit(
            User {
                enabled: false,
                ..alice()
            },
            "10.1.2.3",
        )
        .unwrap_err();

        assert_eq!(refused.to_string(), "user `alice` is disabled");
    }

    #[test]
    fn a_token_is_refused_from_its_expiry_on() {
        let expiring = |second| User {
            expires_at: jiff::Timestamp::from_second(second).ok(),
            ..alice()
        };

        assert!(admit(expiring(1001), "10.1.2.3").is_ok());
        assert!(matches!(
            admit(expiring(1000), "10.1.2.3"),
            Err(AuthError::Expired(_))
        ));
    }

    #[test]
    fn a_token_is_accepted_from_the_allowed_addresses_only() {
        let allowed = ["10.0.0.0/8", "2001:db8::/32"];
        let cases = [
            ("10.200.0.1", true),
            ("::ffff:10.200.0.1", true),
            ("11.0.0.1", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ];
        for (peer, expected) in cases {
            let allowed_ips = allowed.iter().map(|net| net.parse().unwrap()).collect();

            let admitted = admit(
                User {
                    allowed_ips,
                    ..alice()
                },
                peer,
            );

            assert_eq!(admitted.is_ok(), expected, "{peer}");
        }
    }

    #[test]
    fn a_digest_is_read_from_the_digits_that_sha256sum_prints() {
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

        assert_eq!(TokenDigest::from_hex(hex), Some(TokenDigest::of("test")));
        assert_eq!(
            TokenDigest::from_hex(&hex.to_uppercase()),
            Some(TokenDigest::of("test"))
        );
        assert_eq!(TokenDigest::from_hex(&hex[1..]), None);
        assert_eq!(TokenDigest::from_hex(&hex.replace('f', "g")), None);
        assert_eq!(TokenDigest::from_hex(&"é".repeat(32)), None);
    }
}
