//! The examples and the image: each command line in them is run with the servers that it names, every file that it reads
//! is the one that is shipped, and every health check is the one that is written there.
//!
//! | file | holds |
//! |---|---|
//! | `world` | a command line of an example, brought to this machine and tried |
//! | `gate` | a server of a cluster, in front of a memcached server |
//! | `files` | the example configurations |
//! | `yaml` | the examples for compose and Kubernetes |
//! | `image` | the Dockerfile, as far as that can be told without an engine |

#[path = "../launch/mod.rs"]
mod launch;

mod files;
mod gate;
mod image;
mod world;
mod yaml;
