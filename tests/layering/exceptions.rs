//! What is not as the rules ask, each with its reason: no more than tables of data.

/// Files that import each other: a circle is known if all its files are in one entry.
pub(crate) const CIRCLES: &[&[&str]] = &[];

/// Types that have the name of another one, each with its file.
pub(crate) const NAMES: &[(&str, &str)] = &[];

/// Files that are too long.
pub(crate) const FILES: &[&str] = &[];

/// Functions that are too long: tables of data, each with its reason.
pub(crate) const FUNCTIONS: &[(&str, &str)] = &[];

/// Rooms that hold too much.
pub(crate) const ROOMS: &[&str] = &[];

/// Functions that fold the case of something whose name sounds like an address, each with its file.
pub(crate) const FOLDING: &[(&str, &str)] = &[];

/// SQL that folds the case of what is no address, each with its file.
pub(crate) const SQL: &[(&str, &str)] = &[
    // A user's name, in a step that has been released.
    ("store/sqlite/schema_fair.sql", "lower(nullif(user"),
];
