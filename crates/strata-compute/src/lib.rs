//! Where programs run: here, as supervised child processes.
