//! Connections that we make, with or without TLS.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hub::Targets;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::conn::{Conn, prepare};
use crate::tls::TlsError;

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Whose certificates are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Whom the system trusts.
    System,
    /// Only the authorities, or the servers themselves, whose certificates a PEM file holds.
    File(PathBuf),
    /// Anyone: whoever sits on the way can read and change everything. For servers with
    /// self-signed certificates, in networks that are trusted.
    Anyone,
}

/// TLS of the client side.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Reads what is needed to check servers' certificates.
    ///
    /// # Errors
    /// [`TlsError`] when the certificates cannot be read, or there are none.
    pub fn new(trust: &Trust) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let unusable = |error: &dyn fmt::Display| TlsError::Unusable(error.to_string());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(&e))?;
        let config = match trust {
            Trust::Anyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAnyone { provider })),
            Trust::System | Trust::File(_) => {
                let roots = Arc::new(roots(trust)?);
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider);
                builder.with_webpki_verifier(verifier.build().map_err(|e| unusable(&e))?)
            }
        };
        Ok(Self { config: Arc::new(config.with_no_client_auth()) })
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

fn roots(trust: &Trust) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::File(path) => {
            let read = |error: rustls_pki_types::pem::Error| TlsError::Read {
                what: "certificates",
                path: path.clone(),
                error: error.to_string(),
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
                let added = roots.add(certificate.map_err(read)?);
                added.map_err(|e| TlsError::Unusable(e.to_string()))?;
            }
        }
        Trust::System | Trust::Anyone => {
            // Some systems have odd ones among many good ones.
            let loaded = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(loaded.certs);
        }
    }
    if roots.is_empty() {
        let text = "nobody is trusted: no certificates of authorities were found; install \
                    the system's (Debian: ca-certificates), or name a file of them";
        return Err(TlsError::Unusable(text.to_owned()));
    }
    Ok(roots)
}

/// Connects to `host`, a name or an address, if it is one of `targets`, within `limit`; the TLS handshake, if there is to be
/// one, within `limit` again.
///
/// # Errors
/// The resolver's, the socket's, TLS's, [`io::ErrorKind::TimedOut`], or
/// [`io::ErrorKind::PermissionDenied`] where the host is no target.
pub async fn connect(
    host: &str,
    port: u16,
    tls: Option<&ClientTls>,
    targets: Targets,
    limit: Duration,
) -> io::Result<Conn> {
    let late = |what: &'static str| move |_| io::Error::new(io::ErrorKind::TimedOut, what);
    // URLs have IPv6 addresses in brackets; resolvers and certificates do not.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let connecting = timeout(limit, dial(host, port, targets));
    let socket = connecting.await.map_err(late("no answer in time"))??;
    prepare(&socket)?;
    let Some(tls) = tls else { return Ok(Conn::Plain(socket)) };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    let handshake = TlsConnector::from(tls.config.clone()).connect(name, socket);
    let stream = timeout(limit, handshake).await.map_err(late("no TLS handshake in time"))??;
    Ok(Conn::Tls(Box::new(TlsStream::Client(stream))))
}

/// A connection to one of the addresses that the host has now; no other is looked up between the
/// look at it and the call.
async fn dial(host: &str, port: u16, targets: Targets) -> io::Result<TcpStream> {
    let found = lookup_host((host, port)).await?;
    let mut last = None;
    for address in found.take(MAX_ADDRESSES) {
        if !targets.admit(address.ip()) {
            let text = "it is on this host or in a private network, which is closed";
            last = Some(io::Error::new(io::ErrorKind::PermissionDenied, text));
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

/// Takes every certificate, but checks that the server has its key.
#[derive(Debug)]
struct AcceptAnyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{Listening, Tls};

    const LIMIT: Duration = Duration::from_secs(10);

    /// A server that sends back the first five bytes of each connection; its port.
    fn echo(tls: Option<Tls>) -> u16 {
        let listening = Listening::bind("127.0.0.1:0", tls).expect("a port");
        let port = listening.address().port();
        let listener = listening.start().expect("a runtime");
        tokio::spawn(async move {
            loop {
                let connecting = listener.accept().await;
                let Ok(mut conn) = connecting.establish(LIMIT).await else { continue };
                let mut said = [0; 5];
                conn.read_exact(&mut said).await.expect("five bytes");
                conn.close(said.to_vec().into()).await;
            }
        });
        port
    }

    async fn talk(host: &str, port: u16, tls: Option<&ClientTls>) -> io::Result<String> {
        let mut conn = connect(host, port, tls, Targets::Any, LIMIT).await?;
        conn.write_all(b"hello").await?;
        let mut answer = String::new();
        conn.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn talks_with_and_without_tls() {
        let port = echo(None);
        assert_eq!(talk("127.0.0.1", port, None).await.expect("an answer"), "hello");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let port = echo(Some(Tls::self_signed(&names).expect("a certificate")));
        let anyone = ClientTls::new(&Trust::Anyone).expect("no roots are needed");
        for host in ["localhost", "127.0.0.1"] {
            assert_eq!(talk(host, port, Some(&anyone)).await.expect("an answer"), "hello");
        }
        let nobody =
            connect("127.0.0.1", 1, None, Targets::Any, LIMIT).await.expect_err("nobody listens");
        assert_eq!(nobody.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn private_addresses_are_closed_by_name_and_by_number() {
        let port = echo(None);
        for host in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"] {
            let refused = connect(host, port, None, Targets::Public, LIMIT).await;
            let kind = refused.expect_err("it is closed").kind();
            assert_eq!(kind, io::ErrorKind::PermissionDenied, "{host}");
        }
    }

    #[tokio::test]
    async fn a_certificate_is_checked() {
        let folder = tempfile::tempdir().expect("a folder");
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
        std::fs::write(&cert, made.cert.pem()).expect("a file");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
        let port = echo(Some(Tls::from_files(&cert, &key).expect("a certificate")));

        let known = ClientTls::new(&Trust::File(cert)).expect("a certificate");
        assert_eq!(talk("localhost", port, Some(&known)).await.expect("an answer"), "hello");
        // Another name, and another authority.
        assert!(talk("127.0.0.1", port, Some(&known)).await.is_err());
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
        let path = folder.path().join("other.pem");
        std::fs::write(&path, other.cert.pem()).expect("a file");
        let stranger = ClientTls::new(&Trust::File(path)).expect("a certificate");
        assert!(talk("localhost", port, Some(&stranger)).await.is_err());

        assert!(matches!(ClientTls::new(&Trust::File(key)), Err(TlsError::Unusable(_))));
        let nowhere = Trust::File(folder.path().join("nowhere"));
        assert!(matches!(ClientTls::new(&nowhere), Err(TlsError::Read { .. })));
    }
}
