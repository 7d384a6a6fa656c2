//! What is not as the rules ask, each with its reason: no more than tables of data.

/// Files that import each other: a circle is known if all its files are in one entry.
pub(crate) const CIRCLES: &[&[&str]] = &[];

/// Types that have the name of another one, each with its file.
pub(crate) const NAMES: &[(&str, &str)] = &[];

/// Files that are too long.
pub(crate) const FILES: &[&str] = &[];

/// Functions that are too long: tables of data, each with its reason.
pub(crate) const FUNCTIONS: &[(&str, &str)] = &[];

/// Rooms that hold too much.
pub(crate) const ROOMS: &[&str] = &[];

/// Functions that fold the case of something whose name sounds like an address, each with its file.
pub(crate) const FOLDING: &[(&str, &str)] = &[];

/// SQL that folds the case of what is no address, each with its file.
pub(crate) const SQL: &[(&str, &str)] = &[
    // A user's name, in a step that has been released.
    ("store/sqlite/schema_fair.sql", "lower(nullif(user"),
];

/// Fields that are shown though their names sound like a secret's, each with its file.
pub(crate) const SECRETS: &[(&str, &str)] = &[
    // What `mailsluice connect` hands to the relay, over a socket that is the operator's alone.
    ("control/view/sign_in.rs", "SignInGrantJson.refresh_token"),
    // The library wants to write what it reads.
    ("oauth/endpoint.rs", "IdTokenField.id_token"),
];

/// Types that hold secrets by names that do not say so: none shows itself by a derive.
pub(crate) const CLOSED: &[(&str, &[&str])] = &[
    ("config/alert.rs", &["WebhookUrl"]),
    ("config/files.rs", &["FileText"]),
    ("config/machine.rs", &["Machine"]),
    ("config/scram.rs", &["ScramVerifier"]),
    ("config/tree.rs", &["Node", "Table", "Value"]),
    ("oauth/interactive.rs", &["Authorization", "DeviceCode"]),
    ("policy/users.rs", &["Secret"]),
    ("policy/users/credential.rs", &["Credential", "Keyed"]),
    ("policy/users/secret.rs", &["LoginSecret"]),
    ("session/driver/session.rs", &["Incoming", "SessionDriver"]),
    ("smtp/command.rs", &["Initial"]),
    ("smtp/sasl.rs", &["SaslClient"]),
    ("smtp/sasl_server.rs", &["SaslStep"]),
    ("smtp/scram.rs", &["ScramKeys"]),
    ("smtp/scram_client.rs", &["ChannelBinding", "ScramClient"]),
    ("store/types/sign_in.rs", &["StoredToken"]),
    ("transform/dkim.rs", &["Key", "Signer"]),
    ("transform/smime/cms.rs", &["CmsSigner"]),
    ("upstream/wire.rs", &["Wire"]),
];
