//! How the relay proves itself to a provider.

use clap::ValueEnum;

/// How the relay proves itself to the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(in crate::cli) enum Way {
    /// A person signs in once, with any browser
    DeviceCode,
    /// The relay signs in by itself, with a secret of the application
    ClientCredentials,
    /// A person signs in once, with a browser on this machine
    AuthorizationCode,
    /// A password that the provider takes from programs
    Password,
}

impl Way {
    /// Its word in the configuration.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::DeviceCode => "device_code",
            Self::ClientCredentials => "client_credentials",
            Self::AuthorizationCode => "authorization_code",
            Self::Password => "password",
        }
    }

    /// What it is, in words for who chooses.
    pub(super) fn explained(self) -> &'static str {
        match self {
            Self::DeviceCode => "a person signs in once, with any browser",
            Self::ClientCredentials => "the relay signs in by itself, with a secret of the application",
            Self::AuthorizationCode => "a person signs in once, with a browser on this machine (or --paste)",
            Self::Password => "a password that the provider takes from programs",
        }
    }
}
