//! What people's sign-ins gave.

use super::*;

#[async_trait]
impl SignInStore for MemoryStore {
    async fn grants(&self) -> Result<Vec<StoredGrant>, StoreError> {
        Ok(self.state().grants.values().cloned().collect())
    }

    async fn save_grant(&self, new: NewGrant) -> Result<StoredGrant, StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(fault());
        }
        let now = self.timeline.now();
        let mut state = self.state();
        let NewGrant { sign_in, client, token, change } = new;
        let was = state.grants.get(&sign_in).cloned();
        let (account, granted, renewed) = match (change, was) {
            (GrantChange::SignedIn { account }, _) => (account, now, now),
            (GrantChange::Renewed, Some(was)) => (was.account, was.granted, now),
            (GrantChange::Rewritten, Some(was)) => (was.account, was.granted, was.renewed),
            (GrantChange::Renewed | GrantChange::Rewritten, None) => (None, now, now),
        };
        let grant = StoredGrant { sign_in: sign_in.clone(), client, account, token, granted, renewed };
        state.grants.insert(sign_in, grant.clone());
        Ok(grant)
    }
}
