//! The client as its users meet it: the binary against scripted servers, and beside the real wrk.

mod answers;
mod behaviours;
mod beside_wrk;
mod command_line;
mod costs;
mod fairness;
mod report;
mod server;
mod stackload;
mod window;
