//! What rules name that stands in other sections.

use crate::config::fault::SourcePlace;

/// Names of other sections that a rule goes by.
#[derive(Default)]
pub(in crate::config) struct RuleNames {
    pub(in crate::config) upstream: Option<(SourcePlace, String)>,
    pub(in crate::config) signature: Option<(SourcePlace, String)>,
    pub(in crate::config) users: Vec<(SourcePlace, String)>,
    pub(in crate::config) listeners: Vec<(SourcePlace, String)>,
}

impl RuleNames {
    /// Notes users; these are their names.
    pub(super) fn user(&mut self, users: Vec<(SourcePlace, String)>) -> Vec<String> {
        let names = users.iter().map(|(_, name)| name.clone()).collect();
        self.users.extend(users);
        names
    }

    /// Notes listeners; these are their addresses, written as the log writes them.
    pub(super) fn listener(&mut self, listeners: Vec<(SourcePlace, String)>) -> Vec<String> {
        let as_logged = |text: &str| match text.parse::<std::net::SocketAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => text.to_owned(),
        };
        let names = listeners.iter().map(|(_, name)| as_logged(name)).collect();
        self.listeners.extend(listeners.into_iter().map(|(place, name)| (place, as_logged(&name))));
        names
    }
}
