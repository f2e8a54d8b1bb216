//! The reckoning. In: an installation, the receipts of a load, a patience. Out: what of it is stored, lost or doubled. Refuses: a
//! warehouse that can't be asked.

use std::path::Path;

use crate::faults::installation::Installation;
use crate::receipts::Ledger;
use crate::reconcile::Reconciliation;
use crate::warehouse::{Patience, Warehouse, reconcile_with};

/// Holds the receipts against the warehouse.
///
/// # Errors
/// When the file can't be read, or the warehouse not be asked.
pub async fn reckon(
    installation: &Installation,
    receipts: &Path,
    patience: Patience,
) -> anyhow::Result<(Ledger, Reconciliation)> {
    let ledger = Ledger::read(receipts)?;
    let access = installation.access()?;
    let login = &access.admin;
    let warehouse = Warehouse::new(&access.url, "leadtrail", &login.user, login.password.expose());
    let reconciled = reconcile_with(&warehouse, &ledger, patience).await?;
    Ok((ledger, reconciled))
}
