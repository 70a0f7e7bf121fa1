//! The one account, and the check of its password.

use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use tokio::time;
use tracing::warn;
use unftp_core::auth::{AuthenticationError, Authenticator, Credentials, Principal};

/// Wait before a wrong password is refused, so that guessing takes long.
const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// User and password, kept and compared as hashes: a comparison tells neither how long they are nor how much of a
/// guess was right.
#[derive(Debug)]
pub(super) struct Account {
    user: [u8; 32],
    /// None lets nobody in.
    password: Option<[u8; 32]>,
}

impl Account {
    pub(super) fn new(user: String, password: &str) -> Self {
        Self { user: hash(&user), password: (!password.is_empty()).then(|| hash(password)) }
    }

    fn admits(&self, user: &str, password: Option<&str>) -> bool {
        let (Some(expected), Some(password)) = (self.password, password) else { return false };
        let same = |left: [u8; 32], right: [u8; 32]| -> Choice { left.ct_eq(&right) };
        (same(self.user, hash(user)) & same(expected, hash(password))).into()
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[async_trait]
impl Authenticator for Account {
    async fn authenticate(&self, user: &str, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        if self.admits(user, credentials.password.as_deref()) {
            return Ok(Principal { username: user.to_owned() });
        }
        warn!(?user, peer = %credentials.source_ip, "refused an FTP login");
        time::sleep(REFUSAL_DELAY).await;
        Err(AuthenticationError::BadPassword)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_user_with_the_right_password_is_admitted() {
        let account = Account::new("symphony".to_owned(), "secret");
        assert!(account.admits("symphony", Some("secret")));
        let wrong = [
            ("symphony", Some("Secret")),
            ("symphony", Some("secret ")),
            ("symphony", Some("")),
            ("symphony", None),
            ("anonymous", Some("secret")),
            ("", Some("secret")),
            ("secret", Some("symphony")),
        ];
        for (user, password) in wrong {
            assert!(!account.admits(user, password), "{user:?} {password:?}");
        }
    }

    #[test]
    fn an_account_without_a_password_admits_nobody() {
        let account = Account::new("symphony".to_owned(), "");
        assert!(!account.admits("symphony", Some("")));
        assert!(!account.admits("symphony", None));
    }
}
