//! Access: to be written.

use std::sync::Arc;

use crate::Ports;

pub struct Access {
    #[allow(dead_code)]
    ports: Arc<Ports>,
}

impl Access {
    pub fn new(ports: Arc<Ports>) -> Self {
        Self { ports }
    }
}
