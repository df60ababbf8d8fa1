//! Shows the servers of keys according to a bucket's document.

use std::process::ExitCode;

fn main() -> ExitCode {
    moxi::tools::main(moxi::tools::vbuckettool::run)
}
