//! The configuration: what `mailsluice.toml` and the environment say, checked once, in our own types.
//!
//! [`Config::load`] finds the file, `tree` parses it and keeps the place of each value, `overrides` writes the
//! environment into it, `sections` reads it with `reader`, which collects every finding, and `check` looks at what
//! concerns several sections.

mod account;
mod addresses;
mod alert;
mod certificate;
mod check;
mod client_id;
mod console;
mod data_dir;
mod der;
mod digest;
mod doubt_pause;
mod edit;
mod fault;
mod files;
mod filter;
mod graph;
mod identity;
mod known_keys;
mod later;
mod limits;
mod lines;
mod load;
mod machine;
mod model;
mod names;
mod overrides;
mod pin;
mod presets;
mod private_key;
mod proxy;
mod reader;
mod rule;
mod schedule;
mod scram;
mod secret;
mod sections;
mod sender;
mod sign_in;
mod signature;
mod size;
mod source;
mod synonyms;
mod syntax;
#[cfg(test)]
mod testing;
mod timeouts;
mod tree;
mod trust;
mod units;
mod upstream;
mod user;
mod window;
mod words;

pub use account::{CausesSet, Fallback, LimitGroup, Login, SharedLimits};
pub use alert::{AlertSettings, WebhookUrl};
pub use certificate::CertificateFacts;
pub use client_id::NO_CLIENT_ID;
pub use console::{ApiRole, ApiToken, Console, MetricsAccess, TokenHash};
pub use data_dir::DataDir;
pub use der::is_self_issued;
pub use digest::TextDigest;
pub use doubt_pause::DoubtPause;
pub use edit::{EditError, FileChange};
pub use fault::{Fault, Faults, Located, Warning};
pub use filter::Filter;
pub use graph::{Graph, GraphMailbox};
pub use identity::Identity;
pub use limits::{Batch, Limits, Pace, Quota, Quotas};
pub use load::{ConfigPlace, LoadedConfig};
pub use machine::Machine;
pub use model::{
    Blacklist, BlacklistAction, BounceFrom, Config, ControlGroup, DkimEntry, Dns, HistorySettings, Language,
    Listener, Log, LogFormat, LogLevel, LongLines, Mode, Newlines, Queue, ServerAuth, ServerTls, Session,
    TestAction, TestMode, TlsMode,
};
pub use names::{authority, dkim_key_name, dns_name, fits_the_dns};
pub use pin::Pin;
pub use presets::{PRESETS, Preset, PresetKind, SendingHosts};
pub use private_key::{SigningKeyFault, SigningKeyFileFault, signing_key, signing_key_file};
pub use proxy::{NotAProxy, Proxy, ProxyLogin, ProxyProtocol};
pub use rule::{HeaderEdit, Rule, RuleActions, RuleCondition, SizeTest, TextPattern, TextTest};
pub use schedule::Schedule;
pub use scram::{NotAVerifier, ScramVerifier};
pub use sender::{SenderWhen, UpstreamSender};
pub use sign_in::{
    ClientCertificate, ClientProof, ExpiryKind, LONGEST_ASSERTION, SealingKey, Secrets, ServiceAccount,
    SignIn, SignInFlow, SignInProvider,
};
pub use signature::{NamedSignature, Signature, SmimeEntry};
pub use size::ByteSize;
pub use source::ConfigSource;
pub use timeouts::Timeouts;
pub use trust::{TrustFault, TrustedCertificates};
pub use units::duration;
pub use upstream::{
    Auth, Capture, ClientTls, Security, SentFolder, Smtp, TextEncoding, Upstream, UpstreamKind,
};
pub use user::{User, UserPassword, UserPriority};
pub use window::Window;
