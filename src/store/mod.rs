//! The warehouse: ClickHouse, a configured server or the embedded engine.

pub mod engine;
