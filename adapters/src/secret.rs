//! Files with secrets in them.

/// Permissions that nobody may have but the owner; and those that even a group that may read has not.
const RIGHTS_OF_OTHERS: u32 = 0o077;
const RIGHTS_OF_NO_GROUP: u32 = 0o037;

/// Whether anybody has a right to a secret's file of this mode and owner who should not.
///
/// Only the owner may have one. What root owns may also be read by its group, because that is how Docker and Kubernetes
/// mount a secret.
#[must_use]
pub const fn is_exposed(mode: u32, owner: u32) -> bool {
    let forbidden = if owner == 0 { RIGHTS_OF_NO_GROUP } else { RIGHTS_OF_OTHERS };
    mode & forbidden != 0
}

/// Whether a secret's file of this owner was written by nobody but root or `user`, who reads it.
#[must_use]
pub const fn is_trusted(owner: u32, user: u32) -> bool {
    owner == 0 || owner == user
}

/// Whose rights this process has.
#[must_use]
pub fn current_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_roots_or_the_readers_own() {
        for (owner, user, trusted) in
            [(0, 0, true), (0, 1000, true), (1000, 1000, true), (1000, 0, false), (1, 2, false)]
        {
            assert_eq!(is_trusted(owner, user), trusted, "of {owner}, read by {user}");
        }
    }

    #[test]
    fn only_the_owner_has_rights_or_the_group_of_a_file_of_roots() {
        for (mode, owner, exposed) in [
            (0o100_600, 1000, false),
            (0o100_400, 0, false),
            (0o100_440, 0, false),
            (0o100_640, 0, false),
            (0o100_440, 1000, true),
            (0o100_640, 1000, true),
            (0o100_660, 0, true),
            (0o100_450, 0, true),
            (0o100_444, 0, true),
            (0o100_604, 1000, true),
            (0o100_602, 0, true),
        ] {
            assert_eq!(is_exposed(mode, owner), exposed, "{mode:o} of {owner}");
        }
    }
}
