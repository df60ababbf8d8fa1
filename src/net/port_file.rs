//! The file that tells a test program which ports the built-in server has got (01 §5).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Writes a line for each address to `path`. The file appears complete: it is written beside its place, with `.lck`
/// added to the name, and then renamed.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, tcp: &[SocketAddr], udp: &[SocketAddr]) -> io::Result<()> {
    let mut text = String::new();
    for (kind, addresses) in [("TCP", tcp), ("UDP", udp)] {
        for address in addresses {
            let family = if address.is_ipv4() { "INET" } else { "INET6" };
            text.push_str(&format!("{kind} {family}: {}\n", address.port()));
        }
    }
    let draft = draft(path);
    let mut file = OpenOptions::new().append(true).create(true).open(&draft)?;
    file.write_all(text.as_bytes())?;
    fs::rename(draft, path)
}

/// Where the file is written first.
pub fn draft(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lck");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_address() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ports");
        let addresses = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        write(&path, &addresses(&["127.0.0.1:45712", "[::1]:45712"]), &addresses(&["127.0.0.1:45713"])).unwrap();
        let expected = "TCP INET: 45712\nTCP INET6: 45712\nUDP INET: 45713\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert!(!draft(&path).exists());
        assert!(write(&directory.path().join("no/such"), &[], &[]).is_err());
    }
}
