//! Surveying a journal: every segment, every checksum, from outside and without a lock.
//!
//! In: a journal's directory, whose writer may run. Out: a [`Survey`]: each segment with what it holds and what is wrong in it,
//! and for a spill what is still to be delivered. Refuses: a directory without an identity. Promises: reads only; memory is one
//! frame and, of a spill, the index of what is pending. What lies behind the synced position of a running writer is not judged: it is being written.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::directory::{self, JournalId, Mark};
use super::error::{At, OpenError};
use super::frame::{Kind, Reason, Seal};
use super::recovery::open_scan;
use super::scan::{self, Item, Scan};
use super::segment::{self, Header, SEGMENT_HEADER_BYTES};
use super::strikes::{self, Index, Pending};

/// Findings that are listed; more are counted only. A journal with so many is not read, it is restored.
const FINDINGS_MAX: usize = 1000;

/// Bytes of a tail that are looked at to tell zeros from words.
const TAIL_BYTES_MAX: usize = 1 << 20;

/// What a journal's files hold.
#[derive(Debug)]
pub struct Survey {
    /// Which journal.
    pub journal: JournalId,
    /// True while a process holds the writer's lock.
    pub is_written: bool,
    /// Everything below it was fsynced, as far as the file `synced` tells.
    pub synced: Option<u64>,
    /// Everything below it is consumed, as far as the consumer has told.
    pub consumed: Option<u64>,
    /// The segments, oldest first.
    pub segments: Vec<SegmentSurvey>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// How many findings there are, those that are not listed included.
    pub finding_count: u64,
    /// Of a spill: what is to be delivered, and the first offset of it.
    pub pending: Option<(Pending, Option<u64>)>,
}

/// One segment.
#[derive(Clone, Debug)]
pub struct SegmentSurvey {
    /// Its file.
    pub path: PathBuf,
    /// Its first offset.
    pub first: u64,
    /// The offset after its last frame.
    pub end: u64,
    /// Its size, in bytes.
    pub bytes: u64,
    /// When it was created, in milliseconds since 1970; 0 when its header can't be read.
    pub created_ms: u64,
    /// Records in it.
    pub records: u64,
}

/// Something wrong in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub damage: DamageSort,
    /// In which file.
    pub path: PathBuf,
    /// At which byte of it.
    pub position: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The first offset that can't be read.
    pub first_offset: u64,
    /// How many acknowledged offsets can't be read.
    pub lost: u64,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageSort {
    /// The last segment ends inside a frame, or in zeros, behind everything that was acknowledged: what a crash leaves. The next start cuts it.
    TornTail,
    /// A segment ends too early: acknowledged records are cut off.
    Truncated,
    /// Bits have changed inside a segment.
    Changed,
    /// Offsets are missing between two frames or two segments.
    Missing,
    /// A segment's header can't be read; its frames are read all the same.
    Header,
}

impl DamageSort {
    /// As a person says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::TornTail => "torn tail",
            Self::Truncated => "truncated",
            Self::Changed => "changed bits",
            Self::Missing => "missing records",
            Self::Header => "changed header",
        }
    }
}

impl Survey {
    /// Walks over all segments. `is_spill`: segments without pending records are deleted wherever they stand, so gaps between segments are usual.
    pub fn of(directory: &Path, is_spill: bool) -> Result<Self, OpenError> {
        let journal = directory::read_identity(directory)?
            .ok_or_else(|| OpenError::Absent { directory: directory.into() })?;
        let seal = Seal::new(&journal.0);
        let mark = |mark| directory::read_mark(directory, mark, seal).unwrap_or(None);
        let mut survey = Self {
            journal,
            is_written: is_locked(directory).at("look at the journal's lock", directory)?,
            // Before the segments are read: what is synced later is not judged.
            synced: mark(Mark::Synced),
            consumed: mark(Mark::Consumed),
            segments: Vec::new(),
            findings: Vec::new(),
            finding_count: 0,
            pending: None,
        };
        let mut index = is_spill.then(Index::default);
        let firsts = segment::list(directory).at("list the journal", directory)?;
        let mut firsts = VecDeque::from(firsts);
        while let Some(first) = firsts.pop_front() {
            survey.segment(directory, first, firsts.front().copied(), index.as_mut())?;
        }
        survey.pending = index.map(|index| (index.pending(), index.next(0)));
        Ok(survey)
    }

    /// Acknowledged offsets that can't be read.
    pub fn lost(&self) -> u64 {
        self.findings.iter().map(|finding| finding.lost).sum()
    }

    /// True when nothing is wrong but what the next start mends.
    pub fn is_sound(&self) -> bool {
        self.finding_count as usize == self.findings.len()
            && self.findings.iter().all(|finding| finding.damage == DamageSort::TornTail)
    }

    fn segment(
        &mut self,
        directory: &Path,
        first: u64,
        next: Option<u64>,
        mut index: Option<&mut Index>,
    ) -> Result<(), OpenError> {
        let path = segment::path(directory, first);
        let file = match File::open(&path) {
            // Consumed, or delivered, and deleted since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.at("open a journal segment", &path)?,
        };
        let what = "read a journal segment";
        let bytes = file.metadata().at(what, &path)?.len();
        let header = scan::read(&file, 0, SEGMENT_HEADER_BYTES).at(what, &path)?;
        let header = Header::decode(&header, Seal::new(&self.journal.0), &self.journal.0, first);
        let (_, mut scan) = open_scan(file, &self.journal, first).at(what, &path)?;
        let created_ms = header.map_or(0, |header| header.created_ms);
        let mut seen = SegmentSurvey { path, first, end: first, bytes, created_ms, records: 0 };
        let is_new =
            next.is_none() && self.is_written && self.synced.is_none_or(|end| first >= end);
        if header.is_none() && bytes > 0 && !is_new {
            self.find(DamageSort::Header, &seen.path, (0, SEGMENT_HEADER_BYTES as u64), (first, 0));
        }
        let is_spill = index.is_some();
        let bound = next.unwrap_or(u64::MAX);
        while scan.expected() < bound {
            match scan.step().at(what, &seen.path)? {
                Item::Frame { frame, payload } => match frame.kind {
                    Kind::Record => {
                        seen.records += 1;
                        if let Some(index) = &mut index {
                            index.insert(frame.offset, payload.len());
                        }
                    }
                    Kind::Strike => {
                        if let Some(index) = &mut index {
                            for struck in strikes::decode(&payload).flatten() {
                                index.strike(struck);
                            }
                        }
                    }
                    Kind::Void => {}
                },
                Item::Damage { first, count, position, bytes, reason } => {
                    let sort = match reason {
                        Reason::Offset | Reason::Missing => DamageSort::Missing,
                        _ => DamageSort::Changed,
                    };
                    let count = count.min(bound - first);
                    self.find(sort, &seen.path, (position, bytes), (first, count));
                }
                Item::Tail { reason } => {
                    self.tail(&scan, &seen, next, reason, is_spill).at(what, &seen.path)?;
                    break;
                }
                Item::End => {
                    self.end(&scan, &seen, next, is_spill);
                    break;
                }
            }
        }
        seen.end = scan.expected().min(bound);
        self.segments.push(seen);
        Ok(())
    }

    /// Up to where records of this segment were acknowledged: the next segment, or the synced position.
    fn acknowledged(&self, next: Option<u64>, is_spill: bool) -> u64 {
        match next {
            // Between a spill's segments others were deleted.
            Some(_) if is_spill => 0,
            Some(next) => next,
            None => self.synced.unwrap_or(0),
        }
    }

    /// Nothing readable follows in this segment.
    fn tail(
        &mut self,
        scan: &Scan,
        seen: &SegmentSurvey,
        next: Option<u64>,
        reason: Reason,
        is_spill: bool,
    ) -> io::Result<()> {
        let (at, position) = (scan.expected(), scan.position());
        let lost = self.acknowledged(next, is_spill).saturating_sub(at);
        if lost == 0 && next.is_none() && self.is_written {
            return Ok(());
        }
        let rest = scan::read(scan.file(), position, TAIL_BYTES_MAX)?;
        let is_cut = reason == Reason::Torn || rest.iter().all(|byte| *byte == 0);
        let sort = match (is_cut, lost, next) {
            (true, 0, None) => DamageSort::TornTail,
            (true, ..) => DamageSort::Truncated,
            (false, ..) => DamageSort::Changed,
        };
        self.find(sort, &seen.path, (position, seen.bytes.saturating_sub(position)), (at, lost));
        Ok(())
    }

    /// The segment ends cleanly: is it all there?
    fn end(&mut self, scan: &Scan, seen: &SegmentSurvey, next: Option<u64>, is_spill: bool) {
        let lost = self.acknowledged(next, is_spill).saturating_sub(scan.expected());
        if lost > 0 {
            let place = (scan.position(), 0);
            self.find(DamageSort::Truncated, &seen.path, place, (scan.expected(), lost));
        }
    }

    fn find(
        &mut self,
        damage: DamageSort,
        path: &Path,
        (position, bytes): (u64, u64),
        (first_offset, lost): (u64, u64),
    ) {
        self.finding_count += 1;
        if self.findings.len() < FINDINGS_MAX {
            let path = path.to_owned();
            self.findings.push(Finding { damage, path, position, bytes, first_offset, lost });
        }
    }
}

/// Whether a process holds the lock: asked of the kernel's list, for to try the lock would refuse a writer that starts at this moment.
fn is_locked(directory: &Path) -> io::Result<bool> {
    let metadata = match fs::metadata(directory.join(directory::LOCK)) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // `1: FLOCK  ADVISORY  WRITE 123 fe:01:4567 0 EOF`. Devices are compared by the inode alone: overlays show another device here.
    let inode = metadata.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    Ok(locks.lines().filter(|line| line.contains("FLOCK")).any(|line| {
        line.split_whitespace()
            .any(|word| word.rsplit(':').next() == Some(&inode) && word.matches(':').count() == 2)
    }))
}
