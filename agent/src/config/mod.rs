//! Configuration: YAML and flags to typed values; errors name file, line and what was expected.
