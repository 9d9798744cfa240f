//! The recently closed: keeps a late or repeated record from being credited twice.
