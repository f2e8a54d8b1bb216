//! What a process has spent. In: a process id. Out: user plus system time of all its threads, living
//! and ended, from `/proc/<pid>/stat` (fields 14 and 15), in steps of one clock tick (10 ms).

use std::time::Duration;

/// Why a process cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorTimeError {
    /// There is no such process, or `/proc` is hidden.
    #[error("the processor time of process {0} cannot be read; is it the right --pid?")]
    Unreadable(u32, #[source] std::io::Error),
    /// The kernel wrote something else than proc(5) says.
    #[error("/proc/{0}/stat is not as proc(5) says")]
    Format(u32),
}

/// User and system time of process `pid` so far.
///
/// # Errors
/// When there is no such process.
pub fn processor_time(pid: u32) -> Result<Duration, ProcessorTimeError> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_err(|error| ProcessorTimeError::Unreadable(pid, error))?;
    let ticks = ticks_in(&stat).ok_or(ProcessorTimeError::Format(pid))?;
    Ok(Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32)
}

fn ticks_in(stat: &str) -> Option<u64> {
    // The second field is the name in parentheses, which may itself hold spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// `total` shared by `count`, in microseconds; `None` when `count` is 0.
pub fn per_event_us(total: Duration, count: u64) -> Option<f64> {
    (count > 0).then(|| total.as_secs_f64() * 1e6 / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_ticks_are_added_whatever_the_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 120 30 7 8 20 0 3 0 99";
        assert_eq!(ticks_in(stat), Some(150));
        assert_eq!(ticks_in("42 (cut) S 1"), None);
    }

    #[test]
    fn work_is_seen_and_a_missing_process_is_an_error() {
        let before = processor_time(std::process::id()).unwrap();
        let start = std::time::Instant::now();
        let mut sum = 0_u64;
        while processor_time(std::process::id()).unwrap() < before + Duration::from_millis(50) {
            assert!(start.elapsed() < Duration::from_secs(30), "no processor time was counted");
            sum = (0..100_000_u64).fold(sum, |sum, number| std::hint::black_box(sum ^ number));
        }
        assert!(matches!(processor_time(u32::MAX), Err(ProcessorTimeError::Unreadable(..))));
    }

    #[test]
    fn time_is_shared_by_events() {
        assert_eq!(per_event_us(Duration::from_millis(10), 1000), Some(10.0));
        assert_eq!(per_event_us(Duration::from_millis(10), 0), None);
    }
}
