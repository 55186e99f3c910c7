//! Versions and their dates, from the entries of the registry's index that cargo keeps.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use jiff::{ToSpan, civil::Date};
use serde::Deserialize;

use crate::ownership::format::Library;

/// Cargo's copy of the index.
#[derive(Debug)]
pub struct Index {
    /// The entries of each registry that cargo knows.
    caches: Vec<PathBuf>,
}

/// One published version, as the index tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Release {
    vers: String,
    #[serde(default)]
    yanked: bool,
    /// RFC 3339; old indexes do not tell.
    pubtime: Option<String>,
}

/// A version in the order in which versions are newer than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64, u64, u64);

impl Version {
    /// `None` for what is no version, and for a pre-release. What stands behind `+` orders nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('+').next()?.splitn(3, '.').map(|number| number.parse().ok());
        Some(Self(numbers.next()??, numbers.next()??, numbers.next()??))
    }
}

impl Release {
    /// Its version, if somebody who asks for the crate might get it.
    fn version(&self) -> Option<Version> {
        if self.yanked { None } else { Version::parse(&self.vers) }
    }

    fn date(&self) -> Option<Date> {
        self.pubtime.as_ref()?.get(..10)?.parse().ok()
    }
}

impl Index {
    /// Where cargo keeps it.
    pub fn of_cargo() -> Result<Self> {
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
        let dir = home.context("neither CARGO_HOME nor HOME is set")?.join("registry/index");
        let entries = fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
        let caches = entries.filter_map(|entry| Some(entry.ok()?.path().join(".cache")));
        Ok(Self { caches: caches.filter(|cache| cache.is_dir()).collect() })
    }

    /// What the index tells of a library.
    pub fn library(&self, name: &str, locked: &str, today: Date) -> Result<Library> {
        let relative = entry_path(name);
        let found = self.caches.iter().find_map(|cache| fs::read(cache.join(&relative)).ok());
        let entry = found.with_context(|| format!("cargo keeps no index entry of `{name}`; run: cargo info {name}"))?;
        let releases = releases(&entry);
        ensure!(!releases.is_empty(), "cargo's index entry of `{name}` is not of a form known here");
        Ok(summary(name, locked, &releases, today))
    }
}

/// Where an entry lies: `1/a`, `2/ab`, `3/a/abc`, `ab/cd/abcd…`.
fn entry_path(name: &str) -> PathBuf {
    let name = name.to_lowercase();
    match name.len() {
        1 | 2 => Path::new(&name.len().to_string()).join(&name),
        3 => Path::new("3").join(&name[..1]).join(&name),
        _ => Path::new(&name[..2]).join(&name[2..4]).join(&name),
    }
}

/// The releases of an entry. Cargo's file holds, between zero bytes, each version and then what the registry says of it
/// as JSON; what is not of that form is its own bookkeeping.
fn releases(entry: &[u8]) -> Vec<Release> {
    let json = entry.split(|byte| *byte == 0).filter(|part| part.first() == Some(&b'{'));
    json.filter_map(|part| serde_json::from_slice(part).ok()).collect()
}

fn summary(name: &str, locked: &str, releases: &[Release], today: Date) -> Library {
    let a_year_ago = today.saturating_sub(1.year());
    let newest = releases.iter().filter(|release| release.version().is_some()).max_by_key(|release| release.version());
    let recent = releases.iter().filter(|release| {
        release.version().is_some() && release.date().is_some_and(|date| date > a_year_ago && date <= today)
    });
    let date = |release: &Release| release.date().map(|date| date.to_string());
    Library {
        name: name.to_owned(),
        locked: locked.to_owned(),
        locked_date: releases.iter().find(|release| release.vers == locked).and_then(date),
        newest: newest.map(|release| release.vers.clone()),
        newest_date: newest.and_then(date),
        releases_12_months: u32::try_from(recent.count()).unwrap_or(u32::MAX),
        as_of: today.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &[u8] = b"\x03\x02\0\0\0etag: \"abc\"\0\
        0.9.0\0{\"name\":\"t\",\"vers\":\"0.9.0\",\"yanked\":false,\"v\":2}\0\
        0.10.0\0{\"name\":\"t\",\"vers\":\"0.10.0\",\"yanked\":false,\"pubtime\":\"2025-11-01T10:00:00Z\"}\0\
        1.0.0\0{\"name\":\"t\",\"vers\":\"1.0.0\",\"yanked\":false,\"pubtime\":\"2026-01-02T10:00:00Z\"}\0\
        1.0.1\0{\"name\":\"t\",\"vers\":\"1.0.1\",\"yanked\":true,\"pubtime\":\"2026-02-02T10:00:00Z\"}\0\
        2.0.0-rc.1\0{\"name\":\"t\",\"vers\":\"2.0.0-rc.1\",\"yanked\":false,\"pubtime\":\"2026-03-02T10:00:00Z\"}\0\
        0.10.1\0{\"name\":\"t\",\"vers\":\"0.10.1\",\"yanked\":false,\"pubtime\":\"2026-05-02T10:00:00Z\"}\0";

    fn today() -> Date {
        "2026-11-21".parse().unwrap()
    }

    #[test]
    fn the_newest_version_is_neither_yanked_nor_a_pre_release_nor_a_later_repair_of_an_older_one() {
        let library = summary("t", "0.10.0", &releases(ENTRY), today());
        assert_eq!((library.newest.as_deref(), library.newest_date.as_deref()), (Some("1.0.0"), Some("2026-01-02")));
        assert_eq!(library.locked_date.as_deref(), Some("2025-11-01"));
    }

    #[test]
    fn releases_of_the_last_twelve_months_are_counted() {
        assert_eq!(summary("t", "1.0.0", &releases(ENTRY), today()).releases_12_months, 2);
    }

    #[test]
    fn a_version_without_a_date_is_still_a_version() {
        let library = summary("t", "0.9.0", &releases(ENTRY)[..1], today());
        assert_eq!(
            (library.newest.as_deref(), library.newest_date, library.releases_12_months),
            (Some("0.9.0"), None, 0)
        );
    }

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(Version::parse("0.10.0") > Version::parse("0.9.0"));
        assert_eq!(Version::parse("1.0.0+build.5"), Some(Version(1, 0, 0)));
        assert_eq!([Version::parse("1.0.0-rc.1"), Version::parse("1.0")], [None, None]);
    }

    #[test]
    fn entries_lie_where_cargo_puts_them() {
        let paths = ["a", "ab", "may", "hyper", "Inflector"].map(|name| entry_path(name).display().to_string());
        assert_eq!(paths, ["1/a", "2/ab", "3/m/may", "hy/pe/hyper", "in/fl/inflector"]);
    }

    #[test]
    fn a_library_that_cargo_never_met_is_named_with_the_remedy() {
        let error = Index { caches: Vec::new() }.library("nope", "1.0.0", today()).unwrap_err().to_string();
        assert!(error.contains("`nope`") && error.contains("cargo info nope"), "{error}");
    }
}
