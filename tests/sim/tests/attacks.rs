//! Attacks on a cluster's datagrams, by name.

use symphony_sim::attacks::ATTACKS;

#[test]
fn no_attack_achieves_anything() {
    for (name, attack) in ATTACKS {
        println!("{name}");
        assert_eq!(attack(), Ok(()), "{name}");
    }
}
