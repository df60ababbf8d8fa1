//! Makes keys for every vbucket of a bucket's document.

use std::process::ExitCode;

fn main() -> ExitCode {
    moxi::tools::main(moxi::tools::vbucketkeygen::run)
}
