//! tic-tac-toe
