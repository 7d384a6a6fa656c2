//! Sees when an account has a token to log in with again, or none any more, and wakes who waits for it.

use std::sync::{Arc, Weak};

use super::login::Account;
use super::tasks::Spawner;
use crate::lane::Wakeups;
use crate::oauth::{NoToken, TokenHandle, TokenOrigin};
use crate::time::Timeline;

/// Watches the token of the account's settings in force from now on, and no other any more.
pub(super) fn watch_token(
    account: &Arc<Account>,
    timeline: &Timeline,
    wakeups: &Arc<Wakeups>,
    spawner: &Spawner,
) {
    let settings = account.settings();
    let changes = settings.token().map(|token| TokenChanges {
        token: token.clone(),
        timeline: timeline.clone(),
        wakeups: wakeups.clone(),
    });
    let task = changes.and_then(|changes| spawner.begin(changes.tell(Arc::downgrade(account))));
    account.token_watch.replace(task);
}

/// What a change of the token is told by.
struct TokenChanges {
    token: TokenHandle,
    timeline: Timeline,
    wakeups: Arc<Wakeups>,
}

impl TokenChanges {
    /// Whose the token is, or why there is none.
    fn seen(&self) -> Result<TokenOrigin, NoToken> {
        self.token.current().map(|token| token.origin())
    }

    /// Tells until nobody keeps the token any more.
    async fn tell(mut self, account: Weak<Account>) {
        let mut known = self.seen();
        while self.token.changed().await {
            let Some(account) = account.upgrade() else { return };
            let before = std::mem::replace(&mut known, self.seen());
            match (&before, &known) {
                // One token takes another's place, which is no news but to who waits for that.
                (Ok(before), Ok(known)) if before == known => {
                    if account.condition.token_came(self.timeline.now()) {
                        account.wake_all();
                    }
                    continue;
                }
                (before, known) if before == known => continue,
                // Who signs in anew while the old token is still good may be somebody else, as whom nobody is logged in yet.
                (Ok(_), Ok(_)) => {
                    account.pool.close_idle();
                    account.condition.probe_now(self.timeline.now());
                }
                // Who has signed in has mended whatever was wrong with the login.
                (Err(_), Ok(_)) => account.condition.probe_now(self.timeline.now()),
                (_, Err(_)) => account.pool.close_idle(),
            }
            account.wake_all();
            // Lanes that have nothing to send now show how they are, too.
            self.wakeups.wake_all();
            self.wakeups.call_troubled();
        }
    }
}
