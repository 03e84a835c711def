//! Training: to be written.

use std::sync::Arc;

use crate::Ports;

pub struct Training {
    #[allow(dead_code)]
    ports: Arc<Ports>,
}

impl Training {
    pub fn new(ports: Arc<Ports>) -> Self {
        Self { ports }
    }
}
