//! Where moxi has its configuration from, what it makes of it, and what it says of one that it cannot use.
//!
//! | file | what it proves |
//! |---|---|
//! | `check` | what `--check` finds wrong, what it says would be served, and that it leaves nothing behind |
//! | `cli` | every flag's check, message and exit code |
//! | `deep_check` | `--check=deep` asks servers and cluster managers |
//! | `field` | the command lines that are in use out there start, and serve |
//! | `print_config` | `--print-config`: every setting, its value, and where that comes from |
//! | `reread` | SIGHUP: the static file is read again, clients stay |
//! | `rest` | a cluster manager: documents, buckets that come and go |
//! | `rest_failures` | a manager that is down, refuses, or says what cannot be used |
//! | `tls` | the same behind `https://`, in a build with the feature `tls` |

#[path = "../launch/mod.rs"]
mod launch;

mod check;
mod cli;
mod deep_check;
mod field;
mod print_config;
mod reread;
mod rest;
mod rest_failures;
#[cfg(feature = "tls")]
mod tls;
