//! long_lines
