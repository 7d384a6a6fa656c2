//! dot_stuffing
