//! What of the environment reaches every program that is measured, and can change its figures.

use std::{collections::BTreeMap, env};

/// Families of variables that runtimes, allocators, the dynamic linker and libc heed. Others are left out of `run.json`:
/// they may hold what is nobody's business.
const FAMILIES: [&str; 12] = [
    "ASYNC_STD_",
    "BLOCKING_",
    "GLIBC_TUNABLES",
    "GOMAXPROCS",
    "LD_",
    "MALLOC_",
    "MAY_",
    "MIMALLOC_",
    "PYTHON",
    "RUST_",
    "SMOL_",
    "TOKIO_",
];

/// Those that are set, by name.
pub fn heeded() -> BTreeMap<String, String> {
    env::vars_os().filter_map(|(name, value)| heed(name.to_str()?, value.to_str()?)).collect()
}

fn heed(name: &str, value: &str) -> Option<(String, String)> {
    FAMILIES.iter().any(|family| name.starts_with(family)).then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_heed_is_kept_and_nothing_else() {
        for name in ["TOKIO_WORKER_THREADS", "LD_PRELOAD", "MIMALLOC_LARGE_OS_PAGES", "RUST_LOG", "GLIBC_TUNABLES"] {
            assert_eq!(heed(name, "1"), Some((name.to_owned(), "1".to_owned())));
        }
        for name in ["PATH", "SECRET_TOKIO_", "AWS_SECRET_ACCESS_KEY"] {
            assert_eq!(heed(name, "1"), None);
        }
    }
}
