//! Tags: to be written.

use std::sync::Arc;

use crate::Ports;

pub struct Tags {
    #[allow(dead_code)]
    ports: Arc<Ports>,
}

impl Tags {
    pub fn new(ports: Arc<Ports>) -> Self {
        Self { ports }
    }
}
