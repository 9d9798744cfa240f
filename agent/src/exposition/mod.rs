//! From families to bytes.
