//! Where programs run: here, as supervised child processes.

mod guardian;
mod lines;
mod local;

pub use local::{Local, machine_memory};
