//! How connections speak TLS.
//!
//! As wrk, any server is taken unless told otherwise, and a connection that replaces another resumes its session. Other
//! than with wrk, the oldest version is TLS 1.2, and an address gets no SNI, which RFC 6066 §3 does not allow.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;

use crate::engine::transport::Tls;

/// Whom to believe to be the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Whoever answers.
    Anyone,
    /// Who has a certificate for the URL's host that one of the machine's authorities has signed.
    Certified,
}

/// TLS cannot be spoken. The first words are wrk's.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The library refuses.
    #[error("unable to initialize SSL: {0}")]
    Library(#[from] rustls::Error),
    /// Neither a name nor an address.
    #[error("unable to initialize SSL: '{0}' is no name that a certificate could be for")]
    Name(String),
    /// Nobody to trust.
    #[error("unable to initialize SSL: --verify: no certificate authorities found on this machine{0}")]
    NoAuthorities(String),
}

/// For the host of a URL.
pub fn client(host: &str, trust: Trust) -> Result<Tls, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let config = match trust {
        Trust::Anyone => builder.dangerous().with_custom_certificate_verifier(Arc::new(Believe(provider))),
        Trust::Certified => builder.with_root_certificates(authorities()?),
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))?;
    Ok(Tls { config: Arc::new(config.with_no_client_auth()), name })
}

fn authorities() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let why: Vec<String> = found.errors.iter().map(|error| format!(": {error}")).collect();
        return Err(TlsError::NoAuthorities(why.concat()));
    }
    Ok(store)
}

/// Verifies nothing: a load test asks how fast a server is and not who it is.
#[derive(Debug)]
struct Believe(Arc<CryptoProvider>);

impl ServerCertVerifier for Believe {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
