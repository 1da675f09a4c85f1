//! The whole server over real sockets: what it refuses, what it survives, what it keeps.

mod door;
mod games;
mod load;
mod rooms;
mod seats;
mod site;
