//! TLS to a ClickHouse server whose certificate no public authority signed.
//!
//! In: a PEM file of authorities. Out: a client that trusts these and no others. Refuses: a file without a certificate. Promises:
//! certificates are always verified; there is no switch that turns it off.

use std::path::Path;

use clickhouse::Client;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::config::ConfigError;

/// Below ClickHouse's own 3 s, so that the server never closes a connection that we are about to use (as in the client crate).
const POOL_IDLE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// The authorities of `warehouse.ca_file`.
pub fn authorities(path: &str) -> Result<RootCertStore, ConfigError> {
    let wrong = |what: String| ConfigError::Wrong(format!("warehouse.ca_file {path:?}: {what}"));
    let text = std::fs::read(path)
        .map_err(|source| ConfigError::Read { path: Path::new(path).to_owned(), source })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| wrong(format!("not PEM: {error:?}")))?;
        roots.add(certificate).map_err(|error| wrong(format!("no certificate: {error}")))?;
    }
    if roots.is_empty() {
        return Err(wrong(
            "no certificate in it; it takes the PEM of the authority that signed the server's"
                .into(),
        ));
    }
    Ok(roots)
}

/// A client that trusts these authorities alone.
pub fn client(roots: RootCertStore) -> Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    let http = HttpClient::builder(TokioExecutor::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .build(connector);
    Client::with_http_client(http)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_authority_is_refused_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let path = path.to_str().unwrap();
        assert!(matches!(authorities(path), Err(ConfigError::Read { .. })));
        for text in
            ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            std::fs::write(path, text).unwrap();
            let words = authorities(path).unwrap_err().to_string();
            assert!(words.starts_with("warehouse.ca_file"), "{words}");
        }
    }
}
