//! Kernel tiers.
