//! Load for Referee servers: thousands of bots that play, and an honest report of what they saw.
