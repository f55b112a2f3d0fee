//! TLS of the server side. The only module that names the TLS library's construction.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// A server's certificate; the copies that listeners hold change together.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ArcSwap<ServerConfig>>,
}

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or is not PEM.
    #[error("cannot read {what} from {path}: {error}")]
    Read {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: String,
    },
    /// Certificate and key do not fit together, or the library refuses them.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
}

impl Tls {
    /// Reads a certificate chain and its key from PEM files.
    ///
    /// # Errors
    /// [`TlsError`] says which file is wrong.
    pub fn from_files(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = load(cert, key)?;
        Ok(Self { config: Arc::new(ArcSwap::from_pointee(config)) })
    }

    /// Makes a certificate for `names` that no browser trusts, for trying things out.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when a name is no DNS name or address.
    pub fn self_signed(names: &[String]) -> Result<Self, TlsError> {
        let unusable = |error: rcgen::Error| TlsError::Unusable(error.to_string());
        let made = rcgen::generate_simple_self_signed(names).map_err(unusable)?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = build(vec![made.cert.der().clone()], key.into())?;
        Ok(Self { config: Arc::new(ArcSwap::from_pointee(config)) })
    }

    /// Takes new files into use for connections that begin from now on.
    ///
    /// # Errors
    /// [`TlsError`]; the old certificate stays then.
    pub fn reload(&self, cert: &Path, key: &Path) -> Result<(), TlsError> {
        self.config.store(Arc::new(load(cert, key)?));
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

fn load(cert: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let read = |what, path: &Path, error: rustls_pki_types::pem::Error| TlsError::Read {
        what,
        path: path.to_owned(),
        error: error.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| read("the certificate", cert, e))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| read("the key", key, e))?;
    build(chain, key)
}

fn build(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)
}
