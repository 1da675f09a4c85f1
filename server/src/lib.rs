//! The server around Referee's rooms: everything with a clock, a socket, a disk or a thread.
//!
//! | module | what it owns |
//! |---|---|
//! | [`key`] | what a room is called |
//! | [`games`] | the games this server hosts |
//! | [`config`], [`cli`] | every setting and limit, and the command line that sets them |
//! | [`store`] | the database; nothing else touches it |
//! | [`http`] | the accept loop, pages, assets, requests into rooms, the doors (Host, Origin) |
//! | [`assets`] | the pages and the browser client inside the binary |

pub mod assets;
pub mod cli;
pub mod config;
pub mod games;
pub mod http;
pub mod key;
pub mod store;
