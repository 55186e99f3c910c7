//! The harness from outside: its command line, its files, and what it leaves behind, with real servers and real stores.

mod bad_input;
mod capacity;
mod cards;
mod comparison;
mod conformance;
mod disturbed_windows;
mod doctor;
mod faults;
mod harness;
mod interruption;
mod pick;
mod rates;
mod repeats;
mod reports;
mod resume;
mod rows;
mod steps;
mod stranger;
mod traps;
mod verdicts;
