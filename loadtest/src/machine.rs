//! What this machine's /proc says of threads and processes. Where there is none, nothing is said.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Instant;

/// CPU time of the calling thread, in nanoseconds; 0 where that is not to be had.
pub(crate) fn thread_cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// A clock that stands while the calling thread does not run; where there is none, the time of day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadClock(
    #[allow(dead_code, reason = "only where there is no such clock")] Instant,
);

impl ThreadClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since some time.
    #[cfg(target_os = "linux")]
    pub(crate) fn us(self) -> u64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000
    }

    /// Microseconds since some time.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn us(self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
}

/// CPU time of a process, in nanoseconds, over its threads that live.
pub(crate) fn process_cpu_ns(pid: u32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let of = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(threads.flatten().filter_map(|thread| of(thread.path())).sum())
}

/// Memory of a process, in bytes.
pub(crate) fn rss_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Whether an address is one of this machine's own: only there a socket may be bound to it.
pub(crate) fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

/// The process that listens on a TCP address of this machine, where it can be seen: on the address itself,
/// or else on all of the machine's.
pub(crate) fn listener(address: SocketAddr) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    let port = address.port();
    let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let owner = |ip: IpAddr| {
        let of = |table: &String| inodes(table, &format!("{}:{port:04X}", hex(ip)));
        process(&tables.iter().flat_map(of).collect::<Vec<_>>())
    };
    owner(address.ip()).or_else(|| all.into_iter().find_map(owner))
}

/// An address as those tables have it: words of 32 bits in the machine's order.
fn hex(ip: IpAddr) -> String {
    let bytes = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).map(|word| word.try_into().map_or(0, u32::from_ne_bytes));
    words.map(|word| format!("{word:08X}")).collect()
}

/// The process that has one of these sockets open.
fn process(inodes: &[u64]) -> Option<u32> {
    let sockets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let links = files.filter_map(|file| fs::read_link(file.path()).ok());
        links.into_iter().any(|link| sockets.iter().any(|socket| link.as_os_str() == &**socket))
    })
}

/// The inodes of the sockets that listen on an address, of a table as /proc/net/tcp has it.
fn inodes(table: &str, address: &str) -> Vec<u64> {
    let of = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        let listens = *state == "0A" && *local == address;
        listens.then(|| inode.parse().ok()).flatten()
    };
    table.lines().skip(1).filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_address() {
        let listens = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listens.local_addr().unwrap();
        assert_eq!(listener(at), Some(std::process::id()));
        assert_eq!(listener(SocketAddr::new("127.0.0.2".parse().unwrap(), at.port())), None);
        drop(listens);
        assert_eq!(listener(at), None);
        let everywhere = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = everywhere.local_addr().unwrap().port();
        let here = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
        assert_eq!(listener(here), Some(std::process::id()));
    }

    #[test]
    fn only_this_machines_addresses_are_here() {
        for ip in ["127.0.0.1", "127.3.2.1"] {
            assert!(is_here(ip.parse().unwrap()), "{ip}");
        }
        // Of the block that was never given out (RFC 1112, 4), which no machine has.
        assert!(!is_here("240.0.0.1".parse().unwrap()));
        // The one from which this machine speaks to others, if it has one.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("192.0.2.1:9").is_ok() {
            let own = socket.local_addr().unwrap().ip();
            assert!(is_here(own), "{own}");
        }
    }

    #[test]
    fn this_process_has_memory_and_takes_time() {
        let (clock, before) = (ThreadClock::new(), thread_cpu_ns());
        let begun = clock.us();
        let mut sum = 0_u64;
        while thread_cpu_ns() == before {
            sum = (0..100_000).fold(sum, |sum: u64, n| sum.wrapping_add(n));
        }
        std::hint::black_box(sum);
        assert!(clock.us() > begun);
        let pid = std::process::id();
        assert!(process_cpu_ns(pid) > Some(0) && rss_bytes(pid) > Some(1 << 20));
    }
}
