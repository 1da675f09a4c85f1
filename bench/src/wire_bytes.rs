//! Bytes that went over a host's TCP connections, by the kernel's own count.

use std::process::Command;

use crate::Result;

/// What a host on this port has sent over the connections that are open, in bytes.
pub(crate) fn sent(port: u16) -> Result<f64> {
    let filter = format!("sport = :{port}");
    let output = Command::new("ss").args(["-tinH", "state", "established", &filter]).output();
    let output = output.map_err(|error| format!("ss (Debian: package iproute2): {error}"))?;
    Ok(total(&String::from_utf8_lossy(&output.stdout)))
}

fn total(text: &str) -> f64 {
    let sent = text.split_whitespace().filter_map(|word| word.strip_prefix("bytes_sent:"));
    sent.filter_map(|bytes| bytes.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_all_connections_are_added() {
        let text = "0 0 127.0.0.1:7777 127.0.0.1:50000\n\t cubic wscale:7,7 bytes_sent:100 bytes_acked:90\n\
                    0 0 127.0.0.1:7777 127.0.0.1:50002\n\t cubic bytes_sent:23 bytes_received:5\n";
        assert_eq!(total(text), 123.0);
    }
}
