//! The network of an installation: one wire for each pair of processes that speak. In: the ports of broker and engine. Out: what
//! each part has to be told. Refuses nothing. Promises: only the pair that is named is cut.

use std::collections::BTreeMap;

use super::env::broker::Door;
use super::installation::Part;
use super::wire::{State, Wire};

/// To whom a wire leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Far {
    /// The broker.
    Broker,
    /// The ClickHouse engine.
    Engine,
}

/// All wires.
#[derive(Default)]
pub struct Wires {
    wires: BTreeMap<(Part, Far), Wire>,
}

impl Wires {
    /// Lays wires to the broker, and gives its doors.
    pub async fn lay_to_broker(
        &mut self,
        free_port: impl Fn() -> u16,
    ) -> std::io::Result<Vec<Door>> {
        let mut doors = Vec::new();
        for part in [Part::Edge, Part::Consumer, Part::Settle] {
            let listens = free_port();
            let wire = Wire::lay(listens).await?;
            doors.push(Door { listens, named: wire.port() });
            self.wires.insert((part, Far::Broker), wire);
        }
        Ok(doors)
    }

    /// Lays wires to the engine.
    pub async fn lay_to_engine(&mut self, port: u16) -> std::io::Result<()> {
        for part in [Part::Consumer, Part::Settle] {
            self.wires.insert((part, Far::Engine), Wire::lay(port).await?);
        }
        Ok(())
    }

    /// Where the part finds the far end; `None` when there is no wire between them.
    pub fn port(&self, part: Part, far: Far) -> Option<u16> {
        self.wires.get(&(part, far)).map(Wire::port)
    }

    /// Sets the wire of a part, or with `None` of all parts, to the far end.
    pub fn set(&self, part: Option<Part>, far: Far, state: State) {
        let meant = self
            .wires
            .iter()
            .filter(|((of, to), _)| *to == far && part.is_none_or(|part| part == *of));
        meant.for_each(|(_, wire)| wire.set(state));
    }
}
