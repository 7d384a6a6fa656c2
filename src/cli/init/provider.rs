//! Who takes the mail: a provider that is known, or any host.

use std::net::IpAddr;

use super::way::Way;
use crate::config::{PRESETS, Preset, PresetKind, SignInProvider};

/// Who takes the mail.
#[derive(Clone)]
pub(super) enum ChosenProvider {
    /// One that is known, with its host where it has one for each region.
    Preset { preset: &'static Preset, host: Option<String> },
    /// Any other.
    Host(String),
}

impl ChosenProvider {
    /// What the upstream and its sign-in are named.
    pub(super) fn name(&self) -> String {
        let is_name = |text: &str| text.len() <= 64 && !text.contains(':');
        match self {
            Self::Preset { preset, .. } => preset.name.to_owned(),
            Self::Host(host) if is_name(host) => host.clone(),
            Self::Host(_) => "provider".to_owned(),
        }
    }

    /// The host, where the configuration must name it.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Self::Preset { host, .. } => host.as_deref(),
            Self::Host(host) => Some(host),
        }
    }

    /// The ways that it has, the usual one first.
    pub(super) fn ways(&self) -> &'static [Way] {
        match self.sign_in() {
            // There is no password for Microsoft Graph.
            Some(SignInProvider::Microsoft) if self.is_graph() => {
                &[Way::DeviceCode, Way::AuthorizationCode, Way::ClientCredentials]
            }
            Some(SignInProvider::Microsoft) => {
                &[Way::DeviceCode, Way::AuthorizationCode, Way::ClientCredentials, Way::Password]
            }
            Some(SignInProvider::Google) => &[Way::Password, Way::AuthorizationCode],
            Some(SignInProvider::Custom) | None => &[Way::Password],
        }
    }

    /// Whether it is reached by Microsoft Graph.
    pub(super) fn is_graph(&self) -> bool {
        matches!(self, Self::Preset { preset, .. } if preset.kind == PresetKind::Graph)
    }

    /// Where one signs in for it; `None` where it takes passwords alone.
    pub(super) fn sign_in(&self) -> Option<SignInProvider> {
        match self {
            Self::Preset { preset, .. } => preset.sign_in_provider(),
            Self::Host(_) => None,
        }
    }
}

/// What a person writes for a provider.
pub(super) enum WrittenProvider {
    /// One that is known, by its name or by the host that it alone has.
    Known(&'static Preset),
    /// Another one's host.
    Host(String),
}

impl WrittenProvider {
    /// What such a text means.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let is_text = |name: &str| name.eq_ignore_ascii_case(text);
        if let Some(named) = PRESETS.iter().find(|preset| is_text(preset.name)) {
            return Ok(Self::Known(named));
        }
        let at_host: Vec<&Preset> =
            PRESETS.iter().filter(|preset| preset.host.is_some_and(is_text)).collect();
        match at_host[..] {
            [only] => Ok(Self::Known(only)),
            [] => host_name(text).map(Self::Host).map_err(|_| {
                let unknown = quoted(text);
                format!(
                    "{unknown} is no provider that is known: write one of {}, or its host",
                    names(PRESETS.iter())
                )
            }),
            ref several => {
                Err(format!("{text} is the host of several: write one of {}", names(several.iter().copied())))
            }
        }
    }
}

fn names<'p>(presets: impl Iterator<Item = &'p Preset>) -> String {
    presets.map(|preset| preset.name).collect::<Vec<_>>().join(", ")
}

/// A host name or IP address.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let is_name = text.parse::<IpAddr>().is_ok()
        || text.contains('.') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if is_name {
        Ok(text.to_owned())
    } else {
        Err(format!("{} is not a host name or IP address", quoted(text)))
    }
}

/// What was written, where it is repeated.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(60).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_found_by_name_or_host() {
        for (text, want) in [
            ("office365", Ok("office365")),
            ("Office365", Ok("office365")),
            ("smtp.office365.com", Ok("office365")),
            ("mail.firm.example", Ok("mail.firm.example")),
            ("192.0.2.1", Ok("192.0.2.1")),
            ("office356", Err("write one of ")),
            ("", Err("is no provider")),
        ] {
            let got = match WrittenProvider::parse(text) {
                Ok(WrittenProvider::Known(preset)) => Ok(preset.name.to_owned()),
                Ok(WrittenProvider::Host(host)) => Ok(host),
                Err(why) => Err(why),
            };
            match (&got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{text}"),
                (Err(why), Err(words)) => assert!(why.contains(words), "{why}"),
                _ => panic!("{text}: {got:?}"),
            }
        }
    }
}
