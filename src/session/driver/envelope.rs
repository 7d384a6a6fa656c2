//! Memory for the recipients of the message that is under way: a few are free, more are taken off the shared budget.

use crate::mail::{Address, RecipientRequest};
use crate::memory::{MemoryBudget, MemoryGrant};
use crate::smtp::Reply;

/// What a session may hold of an envelope without taking it off the budget, in octets.
const FREE: usize = 8 * 1024;
/// What is taken off the budget at once, in octets.
const STEP: usize = 16 * 1024;
/// What a recipient costs beside its text: its places in growing lists and tables, in octets.
const OVERHEAD: usize = 220;

/// What an envelope holds of the memory; given back when this is dropped.
#[derive(Debug, Default)]
pub(super) struct EnvelopeMemory {
    used: usize,
    grant: Option<MemoryGrant>,
}

/// Ours: there is no memory for another recipient now.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not enough memory at present; send to the other recipients in another message")]
pub(super) struct Full;

impl Full {
    /// What the client is told (RFC 5321 4.5.3.1.10).
    pub(super) fn reply(&self) -> Reply {
        Reply::new(452, (4, 3, 1), self.to_string())
    }
}

impl EnvelopeMemory {
    /// Makes room for a recipient.
    ///
    /// # Errors
    /// When the budget is used up. Nothing is ever waited for, since the session holds some of it already.
    pub(super) fn take(
        &mut self,
        memory: &MemoryBudget,
        recipient: &Address,
        request: &RecipientRequest,
    ) -> Result<(), Full> {
        self.grow(memory, octets_of(recipient, request))
    }

    /// Gives back what was [taken](Self::take) for a recipient that is refused after all.
    pub(super) fn give_back(&mut self, recipient: &Address, request: &RecipientRequest) {
        self.used = self.used.saturating_sub(octets_of(recipient, request));
        if let Some(grant) = &mut self.grant {
            grant.keep(self.used.saturating_sub(FREE).next_multiple_of(STEP) as u64);
        }
    }

    /// Makes room for what is new of what is asked for a recipient that was given again; returns as much of it as there is
    /// room for.
    pub(super) fn fit(&mut self, memory: &MemoryBudget, request: RecipientRequest) -> RecipientRequest {
        match self.grow(memory, 2 * size_of_original(&request)) {
            Ok(()) => request,
            Err(Full) => RecipientRequest { original: None, ..request },
        }
    }

    fn grow(&mut self, memory: &MemoryBudget, octets: usize) -> Result<(), Full> {
        let used = self.used + octets;
        let grant = self.grant.get_or_insert_with(|| memory.nothing());
        let missing = used.saturating_sub(FREE + grant.octets() as usize);
        if !grant.try_grow(missing.next_multiple_of(STEP) as u64) {
            return Err(Full);
        }
        self.used = used;
        Ok(())
    }
}

/// What a recipient takes, in octets.
fn octets_of(recipient: &Address, request: &RecipientRequest) -> usize {
    // The message is written down from a copy of it. The key is in the envelope alone.
    3 * recipient.as_str().len() + 2 * (size_of_original(request) + OVERHEAD)
}

fn size_of_original(request: &RecipientRequest) -> usize {
    request.original.as_ref().map_or(0, |original| original.to_string().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Notify, OriginalRecipient};

    #[test]
    fn a_few_are_free_and_more_are_counted() {
        let memory = MemoryBudget::new(STEP as u64);
        let recipient = Address::parse(&format!("{}@dest.example", "x".repeat(50))).unwrap();
        let request = RecipientRequest::default();
        let fill = |room: &mut EnvelopeMemory| {
            (0..1000).take_while(|_| room.take(&memory, &recipient, &request).is_ok()).count()
        };
        let (mut first, mut second) = (EnvelopeMemory::default(), EnvelopeMemory::default());
        let each = 3 * recipient.as_str().len() + 2 * OVERHEAD;
        assert_eq!(fill(&mut first), (FREE + STEP) / each);
        assert_eq!(memory.available(), 0);
        assert_eq!(fill(&mut second), FREE / each);
        let original = format!("rfc822;{}", "x".repeat(400));
        let again =
            RecipientRequest { original: OriginalRecipient::parse(&original), notify: Some(Notify::NEVER) };
        let kept = std::iter::repeat_with(|| second.fit(&memory, again.clone())).take(3).last().unwrap();
        assert_eq!(kept, RecipientRequest { original: None, ..again }, "what does not fit is left out");
        drop(first);
        assert_eq!(memory.available(), STEP as u64);
        assert!(Full.reply().to_string().starts_with("452 4.3.1 "));
    }

    #[test]
    fn who_is_refused_after_all_holds_nothing() {
        let memory = MemoryBudget::new(8 * STEP as u64);
        let recipient = Address::parse("x@dest.example").unwrap();
        let original = format!("rfc822;{}", "x".repeat(400));
        let request = RecipientRequest { original: OriginalRecipient::parse(&original), notify: None };
        let mut room = EnvelopeMemory::default();
        for kept in [0, 30] {
            for _ in 0..kept {
                room.take(&memory, &recipient, &request).unwrap();
            }
            let left = memory.available();
            assert_eq!(left == 8 * STEP as u64, kept == 0);
            for _ in 0..100 {
                let used = room.used;
                room.take(&memory, &recipient, &request).unwrap();
                room.give_back(&recipient, &request);
                assert_eq!((room.used, memory.available()), (used, left), "beside {kept}");
            }
        }
    }
}
