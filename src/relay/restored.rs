//! The start of a relay whose store came out of a backup or of damaged files.

use jiff::Timestamp;

use crate::config::Config;
use crate::limits::{AccountKey, SHARED};
use crate::store::{Restored, Store, StoreError, StoreOrigin, UsedQuota};

/// Uses up the limits of a store that was put in, and says what is to be known of it.
pub(super) async fn begin(store: &dyn Store, config: &Config) -> Result<(), StoreError> {
    let Some(restored) = store.restored(quotas(config)).await? else { return Ok(()) };
    if restored.is_new || restored.held > 0 {
        log(&restored);
    }
    Ok(())
}

fn log(restored: &Restored) {
    let origin = match restored.origin {
        StoreOrigin::Backup => "a backup was put in place of the store",
        StoreOrigin::Salvage => "the store was saved from damaged files",
    };
    let taken = Timestamp::from_millisecond(restored.made_wall).unwrap_or(Timestamp::UNIX_EPOCH);
    let effect = if restored.limits_used {
        "all its mail is held as possible duplicates, and its limits count as used for the length of each window"
    } else {
        "all its mail is held as possible duplicates"
    };
    tracing::warn!(
        event = "restored",
        reason = format!("{origin}, as of {taken:.3}"),
        messages = restored.messages,
        held = restored.held,
        lost = restored.lost,
        effect,
        action =
            "see what has arrived already; then mailsluice queue release or queue delete, and limits reset"
    );
}

/// All that the limits of a configuration let through, each counted where its scope is: what several accounts share counts by the
/// name of all of them.
fn quotas(config: &Config) -> Vec<UsedQuota> {
    let mut all = Vec::new();
    for upstream in &config.upstreams {
        for account in &upstream.accounts {
            let key = AccountKey::new(upstream.name.as_str(), account.name());
            all.extend(UsedQuota::all(&key, &account.limits.quotas));
        }
        let shared = AccountKey::new(upstream.name.as_str(), SHARED);
        all.extend(UsedQuota::all(&shared, &upstream.shared_limits.quotas));
        if let Some(group) = &upstream.limit_group
            && group.upstreams.first() == Some(&upstream.name)
        {
            all.extend(UsedQuota::all(&shared, &group.limits.quotas));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Window;
    use crate::limits::Amount;

    #[test]
    fn every_limit_counts_in_its_own_scope() {
        let text = "[[upstream]]\nname = \"a\"\nhost = \"h\"\nlimit_group = \"g\"\n\
            [upstream.limits]\nper_minute = { messages = 30 }\nper = { \"5m\" = { octets = \"1MiB\" } }\n\
            [upstream.shared_limits]\nper_day = { recipients = 7 }\n\
            [[limit_group]]\nname = \"g\"\nper_hour = { messages = 9 }\n";
        let config = Config::from_toml(text, Path::new("/")).unwrap().config;
        let amount = |messages, recipients, octets| Amount { messages, recipients, octets };
        let five = Window::from_name("5m").unwrap();
        let own: Vec<_> = quotas(&config)
            .into_iter()
            .map(|one| (one.account.account.to_string(), one.window, one.amount))
            .collect();
        assert_eq!(
            own,
            [
                (String::new(), Window::MINUTE, amount(30, 0, 0)),
                (String::new(), five, amount(0, 0, 1 << 20)),
                (SHARED.to_owned(), Window::DAY, amount(0, 7, 0)),
                (SHARED.to_owned(), Window::HOUR, amount(9, 0, 0)),
            ]
        );
    }
}
