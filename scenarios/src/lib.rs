//! Runs every stack through the same scenarios and tabulates what it found.
//!
//! # Layout
//! - [`run`], [`capacity`], [`check`], [`list`], [`doctor`], [`pick`], [`compare`]: the verbs.
//! - [`scenario`], [`stack`]: the two file formats that people write; [`choose`] picks of them what a run asks for;
//!   [`card`]: what is measured of a stack beside them.
//! - [`setup`]: what every verb that measures begins with.
//! - [`root`], [`rundir`], [`machine`], [`meta`], `environment`: where things are, where rows go, what a run records
//!   of itself.
//! - [`plan`], [`blocks`], [`progress`]: what is measured in which order, and how far it has come; [`resume`] and [`kept`]:
//!   how a run that was ended is finished.
//! - [`trial`]: one trial, from a fresh server to its row; [`verify`] comes before the measurement, [`verdict`] after it.
//! - [`fault`]: what goes wrong in the course of a trial, and what it did to the requests.
//! - [`yardstick`]: how fast the machine is beside each trial.
//! - [`idle`]: what idle connections take of a server's memory; [`store_ceiling`]: what the store alone can do.
//! - [`server`], [`store`]: what a trial starts, on [`process`], [`placement`], [`guard`] and [`interrupt`]; [`strays`] and
//!   [`listeners`] find those who are not where they should be.
//! - [`conformance`]: the contract as a suite; [`wire`] is the connection it speaks through.

pub mod blocks;
pub mod capacity;
pub mod card;
pub mod check;
pub mod choose;
pub mod compare;
pub mod conformance;
pub mod doctor;
mod environment;
pub mod fault;
pub mod guard;
pub mod idle;
pub mod interrupt;
pub mod kept;
pub mod list;
pub mod listeners;
pub mod machine;
pub mod meta;
pub mod pick;
pub mod placement;
pub mod plan;
pub mod process;
pub mod progress;
pub mod resume;
pub mod root;
pub mod run;
pub mod rundir;
mod say;
pub mod scenario;
pub mod server;
pub mod setup;
pub mod stack;
pub mod store;
pub mod store_ceiling;
pub mod strays;
pub mod trial;
pub mod units;
pub mod verdict;
pub mod verify;
mod wire;
pub mod yardstick;
