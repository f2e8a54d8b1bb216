//! TEMPORARY stand-in until the spill lands.
use super::*;
/// x
pub struct SpillJournal(DiskJournal);
/// x
pub struct PendingStats {
    /// x
    pub count: u64,
}
impl SpillJournal {
    /// x
    pub fn open(d: &Path, o: Options) -> Result<Self, OpenError> {
        Ok(Self(DiskJournal::open(d, o)?))
    }
    /// x
    pub fn append(&self, p: &[u8]) -> Result<Ticket, AppendError> {
        self.0.append(p)
    }
    /// x
    pub async fn synced(&self, t: &Ticket) -> Result<(), JournalError> {
        self.0.synced(t).await
    }
    /// x
    pub async fn written(&self, t: &Ticket) -> Result<(), JournalError> {
        self.0.written(t).await
    }
    /// x
    pub fn strike(&self, _: u64) {}
    /// x
    pub fn pending(&self) -> PendingStats {
        PendingStats { count: 0 }
    }
    /// x
    pub fn next_pending(&self, _: u64, _: usize) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
        Ok(vec![])
    }
    /// x
    pub fn is_pending(&self, _: u64) -> bool {
        false
    }
    /// x
    pub fn recovered_below(&self) -> u64 {
        0
    }
}
