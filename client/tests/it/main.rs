//! The client as its users meet it: the binary against scripted servers, and beside the real wrk.

mod answers;
mod behaviours;
mod beside_wrk;
mod command_line;
mod costs;
mod fairness;
mod find_rate;
mod hostile;
mod open_loop;
mod outputs;
mod report;
mod scripts;
mod selftest;
mod stackload;
mod transports;
mod wait;
mod window;

use ::stackload::selftest::server;
