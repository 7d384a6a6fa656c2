//! What is on the blacklist, as far as that must be known of every recipient: a keyed hash of each entry, in memory.
//!
//! It may say too much (two texts may have one hash, an entry may have expired, a write may not be committed yet), and never too
//! little: an entry is in here before the transaction that makes it is committed, and leaves when the one that removes it has
//! been. So whom it does not know is not listed, and the tables are asked about all others. A million entries take 8 MiB.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use rusqlite::Connection;

use crate::store::{PatternKind, covering, pattern_kind};

/// The hash of an entry. Its key is drawn at each start, so nobody can make entries that share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PatternHash(u64);

/// Hashes are kept in so many lists by their first bits: what enters one moves a small part of the others.
const BUCKET_BITS: u32 = 10;

/// The hashes of all entries; one that two entries share is in here twice.
#[derive(Debug)]
pub(super) struct ListedPatterns {
    key: RandomState,
    buckets: RwLock<HashBuckets>,
    /// How many there are, so that nobody waits for nothing.
    length: AtomicUsize,
}

/// Each sorted.
#[derive(Debug)]
struct HashBuckets(Vec<Vec<PatternHash>>);

impl ListedPatterns {
    /// Reads all entries.
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let key = RandomState::new();
        let (buckets, length) = HashBuckets::read(db, &key)?;
        Ok(Self { key, buckets: RwLock::new(buckets), length: AtomicUsize::new(length) })
    }

    /// Reads all entries anew.
    pub(super) fn read_again(&self, db: &Connection) -> rusqlite::Result<()> {
        let (buckets, length) = HashBuckets::read(db, &self.key)?;
        *self.buckets.write().unwrap_or_else(PoisonError::into_inner) = buckets;
        self.length.store(length, Ordering::Release);
        Ok(())
    }

    /// The entries that may cover an address, in any spelling; the closest first. Where there is none, it costs about a microsecond.
    pub(super) fn covering(&self, address: &str) -> Vec<String> {
        if self.length.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        covering(address, |kind, text| buckets.has(hash(&self.key, kind, text)).then(|| kind.pattern(text)))
    }

    /// The hash of an entry.
    pub(super) fn hash(&self, pattern: &str) -> PatternHash {
        let (kind, text) = pattern_kind(pattern);
        hash(&self.key, kind, text)
    }

    /// There is an entry more.
    pub(super) fn insert(&self, hash: PatternHash) {
        self.buckets.write().unwrap_or_else(PoisonError::into_inner).insert(hash);
        self.length.fetch_add(1, Ordering::Release);
    }

    /// There is an entry less.
    pub(super) fn remove(&self, hash: PatternHash) {
        if self.buckets.write().unwrap_or_else(PoisonError::into_inner).remove(hash) {
            self.length.fetch_sub(1, Ordering::Release);
        }
    }
}

impl HashBuckets {
    fn read(db: &Connection, key: &RandomState) -> rusqlite::Result<(Self, usize)> {
        let mut buckets = vec![Vec::new(); 1 << BUCKET_BITS];
        let mut length = 0;
        let mut select = db.prepare_cached("SELECT pattern FROM blacklist")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, text) = pattern_kind(row.get_ref(0)?.as_str()?);
            let hash = hash(key, kind, text);
            buckets[bucket(hash)].push(hash);
            length += 1;
        }
        for hashes in &mut buckets {
            hashes.sort_unstable();
            hashes.shrink_to_fit();
        }
        Ok((Self(buckets), length))
    }

    fn has(&self, hash: PatternHash) -> bool {
        self.0[bucket(hash)].binary_search(&hash).is_ok()
    }

    fn insert(&mut self, hash: PatternHash) {
        let hashes = &mut self.0[bucket(hash)];
        if hashes.len() == hashes.capacity() {
            // Twice as many would cost twice the memory.
            hashes.reserve_exact(hashes.len() / 8 + 4);
        }
        let place = hashes.partition_point(|other| *other < hash);
        hashes.insert(place, hash);
    }

    fn remove(&mut self, hash: PatternHash) -> bool {
        let hashes = &mut self.0[bucket(hash)];
        let found = hashes.binary_search(&hash);
        if let Ok(place) = found {
            hashes.remove(place);
            if hashes.capacity() / 2 > hashes.len() + 4 {
                hashes.shrink_to_fit();
            }
        }
        found.is_ok()
    }
}

fn bucket(hash: PatternHash) -> usize {
    (hash.0 >> (u64::BITS - BUCKET_BITS)) as usize
}

fn hash(key: &RandomState, kind: PatternKind, text: &str) -> PatternHash {
    let mut hasher = key.build_hasher();
    hasher.write_u8(kind as u8);
    hasher.write(text.as_bytes());
    PatternHash(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_covered(listed: &ListedPatterns, address: &str) -> bool {
        !listed.covering(address).is_empty()
    }

    fn empty() -> ListedPatterns {
        let mut db = Connection::open_in_memory().unwrap();
        crate::store::sqlite::schema::prepare_new(&mut db).unwrap();
        ListedPatterns::read(&db).unwrap()
    }

    #[test]
    fn knows_what_covers_an_address() {
        let listed = empty();
        assert!(!is_covered(&listed, "a@firm.example"));
        for pattern in ["a@firm.example", "@gone.example", "*.bad.example", "*.odd@firm.example"] {
            listed.insert(listed.hash(pattern));
        }
        for (address, want) in [
            ("A@Firm.Example", true),
            ("b@firm.example", false),
            ("x@gone.example", true),
            ("x@a.gone.example", false),
            ("x@a.b.bad.example", true),
            ("x@bad.example", false),
            ("*.odd@firm.example", true),
            ("x@odd@firm.example", false),
        ] {
            assert_eq!(is_covered(&listed, address), want, "{address}");
        }
    }

    #[test]
    fn a_hash_that_two_entries_share_stays_for_the_other() {
        let listed = empty();
        let hash = listed.hash("a@firm.example");
        listed.insert(hash);
        listed.insert(hash);
        listed.remove(hash);
        assert!(is_covered(&listed, "a@firm.example"));
        listed.remove(hash);
        assert!(!is_covered(&listed, "a@firm.example"));
        listed.remove(hash);
        assert_eq!(listed.length.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn many_come_and_go() {
        let listed = empty();
        let name = |n: u32| format!("customer{n}@d{}.example", n % 97);
        (0..20_000).for_each(|n| listed.insert(listed.hash(&name(n))));
        (0..20_000).filter(|n| n % 3 == 0).for_each(|n| listed.remove(listed.hash(&name(n))));
        for n in 0..20_000 {
            assert_eq!(is_covered(&listed, &name(n)), n % 3 != 0, "{n}");
        }
        let buckets = listed.buckets.read().unwrap();
        let (used, taken) = buckets.0.iter().fold((0, 0), |(used, taken), each| {
            assert!(each.is_sorted());
            (used + each.len(), taken + each.capacity())
        });
        assert_eq!(used, listed.length.load(Ordering::Relaxed));
        assert!(taken < used * 3, "{taken} {used}");
    }
}
