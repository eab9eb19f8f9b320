//! The processor's time that other processes have had, from Linux's scheduler, in nanoseconds.

use std::fs;
use std::io;
use std::time::Duration;

/// Returns what all threads of the processes have had so far.
pub(crate) fn time(processes: &[u32]) -> io::Result<Duration> {
    let mut sum = 0;
    for process in processes {
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            sum += match fs::read_to_string(thread?.path().join("schedstat")) {
                Ok(text) => nanoseconds(&text)?,
                // A thread that has just ended.
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(error),
            };
        }
    }
    Ok(Duration::from_nanos(sum))
}

/// Reads the first of the three numbers: time on a processor, time waiting for one, time slices.
fn nanoseconds(schedstat: &str) -> io::Result<u64> {
    let first = schedstat.split_whitespace().next();
    first
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| io::Error::other(format!("`schedstat` is `{}`", schedstat.trim())))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_the_time_on_a_processor() {
        assert_eq!(nanoseconds("2516537 17 1\n").unwrap(), 2_516_537);
        assert!(nanoseconds("").is_err());
    }

    #[test]
    fn the_time_of_a_process_that_works_grows() {
        let own = [std::process::id()];
        let before = time(&own).unwrap();
        while time(&own).unwrap() <= before {}
    }
}
