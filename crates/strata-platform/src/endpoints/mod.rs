//! Endpoints: to be written.

use std::sync::Arc;

use crate::Ports;

pub struct Endpoints {
    #[allow(dead_code)]
    ports: Arc<Ports>,
}

impl Endpoints {
    pub fn new(ports: Arc<Ports>) -> Self {
        Self { ports }
    }
}
