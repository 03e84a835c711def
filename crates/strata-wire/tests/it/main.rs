//! The door as clients meet it: a real port, real requests, toy operations.

mod bodies;
mod connections;
mod dispatch;
mod world;
