//! What happens in one session is no other session's business.

use std::path::Path;

/// A panic ends the task in which it happens; where a profile makes it abort, it would end them all.
#[test]
fn no_profile_aborts() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    let profiles = manifest["profile"].as_table().unwrap();
    assert!(profiles.contains_key("release"), "where are the profiles?");
    for (name, profile) in profiles {
        let panic = profile.get("panic").map_or("unwind", |panic| panic.as_str().unwrap());
        assert_eq!(panic, "unwind", "[profile.{name}]");
    }
}
