//! What is printed once the server can be visited: where, and by whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::config::Config;

/// Addresses that nobody has, kept for documentation: to ask the system by which of its own
/// addresses it would reach others. Nothing is sent there.
const ELSEWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The addresses under which others in its network reach this machine.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    let own = |elsewhere: &IpAddr| {
        let any: IpAddr = match elsewhere {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
        socket.connect(SocketAddr::new(*elsewhere, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let usable = |address: &IpAddr| !address.is_loopback() && !address.is_unspecified();
    ELSEWHERE.iter().filter_map(own).filter(usable).collect()
}

/// The lines: where this machine finds the server, then who else does, given this machine's own
/// addresses.
pub(crate) fn lines(names: &[&str], config: &Config, port: u16, own: &[IpAddr]) -> String {
    let scheme = if config.is_secure() { "https" } else { "http" };
    let host = shown_host(config);
    let place = format!("Referee hosts {}: open {scheme}://{host}:{port}", names.join(", "));
    format!("{place}\n{}", reach(config, scheme, port, own))
}

fn reach(config: &Config, scheme: &str, port: u16, own: &[IpAddr]) -> String {
    let bind = config.bind;
    if bind.is_loopback() {
        return "Only this machine reaches it; start it with --bind 0.0.0.0 to let others on your \
                network in"
            .to_owned();
    }
    let reachable = |address: &&IpAddr| bind.is_ipv6() || address.is_ipv4();
    let shown: Vec<IpAddr> = match bind.is_unspecified() {
        true => own.iter().filter(reachable).copied().collect(),
        false => vec![bind],
    };
    if shown.is_empty() {
        return "Others reach it under any address this machine gets; it has none in a network now"
            .to_owned();
    }
    let at: Vec<_> =
        shown.iter().map(|address| format!("{scheme}://{}:{port}", in_url(*address))).collect();
    format!("Others on your network reach it at {}", at.join(" or "))
}

/// The host under which a person at this machine reaches the server.
fn shown_host(config: &Config) -> String {
    let bind = config.bind;
    match config.hosts.first() {
        Some(name) if !bind.is_loopback() => name.clone(),
        _ if bind.is_loopback() || bind.is_unspecified() => "localhost".to_owned(),
        _ => in_url(bind),
    }
}

fn in_url(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bind: &str, hosts: &[&str], own: &[&str]) -> (String, String) {
        let hosts = hosts.iter().map(ToString::to_string).collect();
        let config = Config { bind: bind.parse().unwrap(), hosts, ..Config::default() };
        let own: Vec<_> = own.iter().map(|address| address.parse().unwrap()).collect();
        let lines = lines(&["a", "b"], &config, 7777, &own);
        let (place, reach) = lines.split_once('\n').unwrap();
        (place.strip_prefix("Referee hosts a, b: open ").unwrap().to_owned(), reach.to_owned())
    }

    #[test]
    fn the_first_line_says_where_this_machine_finds_the_server() {
        let place = |bind, hosts: &[&str]| said(bind, hosts, &[]).0;
        assert_eq!(place("127.0.0.1", &[]), "http://localhost:7777");
        assert_eq!(place("127.0.0.1", &["play.example"]), "http://localhost:7777");
        assert_eq!(place("0.0.0.0", &[]), "http://localhost:7777");
        assert_eq!(place("0.0.0.0", &["play.example"]), "http://play.example:7777");
        assert_eq!(place("192.168.1.5", &[]), "http://192.168.1.5:7777");
        assert_eq!(place("fd00::5", &[]), "http://[fd00::5]:7777");
    }

    #[test]
    fn the_second_line_says_who_else_does() {
        let reach = |bind, own: &[&str]| said(bind, &[], own).1;
        for bind in ["127.0.0.1", "::1"] {
            let only = reach(bind, &["192.168.1.5"]);
            assert!(
                only.contains("Only this machine") && only.contains("--bind 0.0.0.0"),
                "{only}"
            );
        }
        let at = "Others on your network reach it at ";
        let own = ["192.168.1.5", "fd00::5"];
        assert_eq!(reach("0.0.0.0", &own), format!("{at}http://192.168.1.5:7777"));
        let both = format!("{at}http://192.168.1.5:7777 or http://[fd00::5]:7777");
        assert_eq!(reach("::", &own), both);
        assert_eq!(reach("10.0.0.1", &own), format!("{at}http://10.0.0.1:7777"));
        assert!(reach("0.0.0.0", &[]).contains("none in a network"));
    }
}
