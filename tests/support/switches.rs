//! Who answers for the configuration where there is no file: switches are kept in the store.

use std::sync::Arc;

use mailsluice::config::FileChange;
use mailsluice::control::{ConfigRequest, ConfigRequests, KeptIn};
use mailsluice::policy::test_mode::Switch;

/// Answers requests, within the runtime in which it is called, for as long as somebody may ask.
pub(crate) fn without_a_file(test_mode: Arc<Switch>) -> ConfigRequests {
    let (requests, mut asked) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(request) = asked.recv().await {
            match request {
                ConfigRequest::Reload(answer) => drop(answer.send(Ok(Vec::new()))),
                ConfigRequest::Switch(change, answer) => {
                    let kept = KeptIn::Store { why: "there is no configuration file".to_owned() };
                    let set = match change {
                        FileChange::TestMode { enabled, action, address } => {
                            test_mode.set(enabled, action, address).await.map(drop)
                        }
                        FileChange::DefaultUpstream(_) | FileChange::UpstreamEnabled { .. } => Ok(()),
                    };
                    drop(answer.send(set.map(|()| kept).map_err(Into::into)));
                }
            }
        }
    });
    requests
}
