//! A node between a caller and carriers that send what they are told.

use super::{Node, Setup};
use crate::ua::Ua;

pub struct World {
    pub caller: Ua,
    pub carriers: Vec<Ua>,
    pub node: Node,
}

impl World {
    /// Carriers `alpha`, `beta`, `gamma` in cost order.
    pub fn new(carriers: usize) -> World {
        World::of(Setup::new(carriers))
    }

    pub fn of(setup: Setup) -> World {
        let count = setup.docs.iter().filter(|d| d["kind"] == "carrier").count();
        let net = setup.net;
        let carriers = (0..count).map(|n| Ua::at(super::setup::CARRIERS[n], net.carrier(n))).collect();
        World { caller: Ua::on("caller", net.caller()), carriers, node: Node::start(setup) }
    }

    pub fn alpha(&self) -> &Ua {
        &self.carriers[0]
    }

    pub fn beta(&self) -> &Ua {
        &self.carriers[1]
    }
}
