//! Reports over tables that were filled by hand: every figure is known beforehand.

mod facts;
mod figures;
