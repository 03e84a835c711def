//! Layer 1: framework packages, pinned in `frameworks/*.toml`, installed on first use.
