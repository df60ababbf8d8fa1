//! TLS over a connection, for `https://` URLs. The certificates that the system trusts are trusted
//! (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), and the server's must be for the host of the URL.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error, RootCertStore, StreamOwned};
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};

use super::fetch::FetchError;
use super::roots::Roots;
use super::stream::{Stream, is_timeout};

impl Stream for StreamOwned<ClientConnection, Box<dyn Stream>> {
    fn set_limit(&mut self, until: Option<Instant>) {
        self.sock.set_limit(until);
    }

    fn socket(&self) -> &TcpStream {
        self.sock.socket()
    }
}

/// Makes sure who is at the other end of `stream`, and encrypts what follows.
pub(super) fn secure(stream: Box<dyn Stream>, host: &str, roots: &Roots) -> Result<Box<dyn Stream>, FetchError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| FetchError::BadUrl)?;
    let connection = ClientConnection::new(Arc::new(config(roots)?), name).map_err(failed)?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
            if is_timeout(&error) {
                return Err(FetchError::Timeout);
            }
            return Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                Some(inner) => failed(inner.clone()),
                None => FetchError::Tls(error.to_string()),
            });
        }
    }
    Ok(Box::new(stream))
}

/// Read anew for each connection: there are few, and the system's certificates change while the program runs.
fn config(trusted: &Roots) -> Result<ClientConfig, FetchError> {
    let mut roots = RootCertStore::empty();
    let loaded = load(trusted);
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let why = loaded.errors.first().map_or_else(|| "the system has none".to_owned(), ToString::to_string);
        return Err(FetchError::NoRoots(why));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(failed)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn load(trusted: &Roots) -> CertificateResult {
    if trusted.are_the_systems() {
        return load_native_certs();
    }
    let mut all = load_certs_from_paths(trusted.file.as_deref(), None);
    for directory in &trusted.directories {
        let CertificateResult { certs, errors, .. } = load_certs_from_paths(None, Some(directory));
        all.certs.extend(certs);
        all.errors.extend(errors);
    }
    all
}

fn failed(error: Error) -> FetchError {
    match error {
        Error::InvalidCertificate(_) => FetchError::Certificate(error.to_string()),
        other => FetchError::Tls(other.to_string()),
    }
}
