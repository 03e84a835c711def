//! Models: to be written.

use std::sync::Arc;

use crate::Ports;

pub struct Models {
    #[allow(dead_code)]
    ports: Arc<Ports>,
}

impl Models {
    pub fn new(ports: Arc<Ports>) -> Self {
        Self { ports }
    }
}
