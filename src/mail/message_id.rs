//! The Message-ID that a message gets when it has none (RFC 6409 8.3).

use super::QueueId;

/// A Message-ID with its angle brackets (RFC 5322 3.6.4). A queue id is never given twice, nor is this.
#[must_use]
pub fn generate(id: &QueueId, hostname: &str) -> String {
    format!("<{id}@{hostname}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_made_of_queue_id_and_host() {
        let id = QueueId::new(1_795_329_600_000, 7);
        assert_eq!(generate(&id, "relay.example"), format!("<{}@relay.example>", id.as_str()));
    }
}
