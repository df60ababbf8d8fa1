//! What a service manager that speaks systemd's protocol is told, and what it hands over (sd_notify(3),
//! sd_listen_fds(3)). Without one nothing here does anything.

pub mod manager;

pub use manager::Manager;
