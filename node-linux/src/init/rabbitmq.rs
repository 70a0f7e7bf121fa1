//! RabbitMQ's definitions: one account, one virtual host, and no guest.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Bytes of salt that RabbitMQ puts before a password.
const SALT_SIZE: usize = 4;

/// Definitions that RabbitMQ reads at its start. The roles declare the queues themselves.
pub(super) fn definitions(account: &str, password: &str) -> io::Result<String> {
    let mut salt = [0; SALT_SIZE];
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    let definitions = json!({
        "users": [{
            "name": account,
            "password_hash": hash(salt, password),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": [],
        }],
        "vhosts": [{ "name": account }],
        "permissions": [{ "user": account, "vhost": account, "configure": ".*", "write": ".*", "read": ".*" }],
    });
    Ok(format!("{definitions:#}\n"))
}

/// The salt, and the SHA-256 of salt and password, in base 64.
fn hash(salt: [u8; SALT_SIZE], password: &str) -> String {
    let digest = Sha256::new().chain_update(salt).chain_update(password).finalize();
    let mut bytes = salt.to_vec();
    bytes.extend_from_slice(&digest);
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_one_that_rabbitmq_documents() {
        // The example of RabbitMQ's guide on passwords.
        let hash = hash([0x90, 0x8d, 0xc6, 0x0a], "test12");
        assert_eq!(hash, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
    }

    #[test]
    fn there_is_one_account_and_it_may_do_nothing_outside_its_virtual_host() {
        let definitions: serde_json::Value = serde_json::from_str(&definitions("one", "secret").unwrap()).unwrap();
        assert_eq!(definitions["users"].as_array().map(Vec::len), Some(1));
        assert_eq!(definitions["users"][0]["tags"], json!([]));
        assert_eq!(definitions["permissions"][0]["vhost"], "one");
        assert!(!definitions.to_string().contains("secret"));
    }
}
