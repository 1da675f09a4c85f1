//! Which cores a thread may run on. What a thread starts has the cores of that thread.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Result;

/// The cores that this process has.
pub(crate) fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// From now on the calling thread runs on these only.
pub(crate) fn take(cores: &[usize]) -> Result {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    Ok(sched_setaffinity(None, &set)?)
}

/// Gives the calling thread what it had when this is dropped.
pub(crate) struct Back(Vec<usize>);

impl Back {
    pub(crate) fn later() -> Result<Self> {
        Ok(Self(allowed()?))
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        // It had them before.
        let _ = take(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_to_its_cores_and_gets_the_others_back() {
        let all = allowed().unwrap();
        let back = Back::later().unwrap();
        take(&all[..1]).unwrap();
        assert_eq!(allowed().unwrap(), all[..1]);
        drop(back);
        assert_eq!(allowed().unwrap(), all);
    }
}
