//! Shows what a running moxi does, second by second.

use std::process::ExitCode;

fn main() -> ExitCode {
    moxi::top::main()
}
