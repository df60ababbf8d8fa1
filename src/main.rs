//! The moxi program.

fn main() {}
