//! Where the certificates are that are trusted in place of the system's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The files and directories that the environment names (05 §6.2), to be read anew for each connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// `SSL_CERT_FILE`.
    pub file: Option<PathBuf>,
    /// `SSL_CERT_DIR`, which may name several.
    pub directories: Vec<PathBuf>,
}

impl Roots {
    /// Reads both. The program may leave its directory later, so that relative paths are looked up now.
    pub fn from_env(env: &dyn Fn(&str) -> Option<OsString>) -> Roots {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let directories = env("SSL_CERT_DIR").unwrap_or_default();
        let directories = std::env::split_paths(&directories).filter(|path| !path.as_os_str().is_empty());
        Roots {
            file: env("SSL_CERT_FILE").map(|path| absolute(Path::new(&path))),
            directories: directories.map(|path| absolute(&path)).collect(),
        }
    }

    /// Whether the system's certificates count.
    pub fn are_the_systems(&self) -> bool {
        *self == Roots::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_hold_in_every_directory() {
        let env = |name: &str| match name {
            "SSL_CERT_FILE" => Some("./ca.pem".into()),
            "SSL_CERT_DIR" => Some("certs::/etc/certs".into()),
            _ => None,
        };
        let here = std::env::current_dir().unwrap();
        let roots = Roots::from_env(&env);
        assert_eq!(roots.file, Some(here.join("ca.pem")));
        assert_eq!(roots.directories, [here.join("certs"), "/etc/certs".into()]);
        assert!(!roots.are_the_systems());
        assert!(Roots::from_env(&|_| None).are_the_systems());
    }
}
