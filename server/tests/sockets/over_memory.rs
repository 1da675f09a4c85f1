//! The match suite within one process.

use referee_server::config::Config;

use crate::site::{Site, Transport};

#[path = "load.rs"]
mod load;
#[path = "rooms.rs"]
mod rooms;
#[path = "seats.rs"]
mod seats;

fn site(set: impl FnOnce(&mut Config)) -> Site {
    Site::over(Transport::Memory, set)
}

/// With a short grace for rooms.
fn brief() -> Site {
    site(|config| config.room_grace_ms = 50)
}
