//! The one test binary: the real program, the real broker, the real engine. One module per stage, and `env` with what
//! they stand on.

mod env;

mod engine;
mod report;
